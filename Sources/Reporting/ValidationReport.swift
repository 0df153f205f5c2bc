public import Diagnostics
public import Validation

/// The outcome of `validate`.
public struct ValidationReport: Sendable {
  public enum Verdict: String, Sendable { case pass, fail }

  public var model: String
  public var reference: String?
  public var verdict: Verdict
  public var checks: [Check]
  public var comparison: Comparison?

  public init(model: String, reference: String? = nil, verdict: Verdict, checks: [Check] = [], comparison: Comparison? = nil) {
    self.model = model
    self.reference = reference
    self.verdict = verdict
    self.checks = checks
    self.comparison = comparison
  }

  /// One thing that was looked at.
  public struct Check: Sendable {
    /// A diagnostic code, or the name of a comparison: `top1-drop`, `nmse` …
    public var id: String
    public var level: Severity
    public var passed: Bool
    public var value: Double?
    public var limit: Double?
    public var message: String
    /// A node, value or block; empty for the whole model.
    public var at: String
    public init(id: String, level: Severity, passed: Bool, value: Double? = nil, limit: Double? = nil, message: String, at: String = "") {
      self.id = id
      self.level = level
      self.passed = passed
      self.value = value
      self.limit = limit
      self.message = message
      self.at = at
    }
  }
}
