/// How much a diagnostic weighs. `error` makes a check fail.
public enum Severity: String, Sendable, Hashable, Comparable, CaseIterable {
  case note, warning, error

  public static func < (a: Severity, b: Severity) -> Bool { a.rank < b.rank }
  private var rank: Int { self == .note ? 0 : self == .warning ? 1 : 2 }
}

/// Where in a model something is: a file, a range of its bytes, a name in its graph; any may be absent.
public struct ModelLocation: Sendable, Hashable, CustomStringConvertible {
  public var file: String?
  public var bytes: Range<Int>?
  /// A name as the model spells it: a node, a value, an initializer.
  public var element: String?

  public init(file: String? = nil, bytes: Range<Int>? = nil, element: String? = nil) {
    self.file = file
    self.bytes = bytes
    self.element = element
  }

  public static func element(_ name: String) -> ModelLocation { ModelLocation(element: name) }

  public var description: String {
    var parts: [String] = []
    if let element, !element.isEmpty { parts.append("'\(element)'") }
    if let bytes { parts.append("at byte \(bytes.lowerBound)") }
    return parts.joined(separator: " ")
  }
}

/// One thing worth saying about a model.
public struct Diagnostic: Sendable, Hashable {
  public var code: DiagnosticCode
  public var level: Severity
  public var message: String
  public var at: ModelLocation

  public init(_ code: DiagnosticCode, _ message: String, at: ModelLocation = ModelLocation(), level: Severity? = nil) {
    self.code = code
    self.level = level ?? code.defaultLevel
    self.message = message
    self.at = at
  }
}

/// Collects diagnostics of stages that report many and then stop once.
public struct DiagnosticSink: Sendable {
  public private(set) var diagnostics: [Diagnostic] = []

  public init() {}

  public mutating func report(_ diagnostic: Diagnostic) { diagnostics.append(diagnostic) }
  public mutating func report(_ code: DiagnosticCode, _ message: String, at: ModelLocation = ModelLocation()) {
    diagnostics.append(Diagnostic(code, message, at: at))
  }
  public var worst: Severity? { diagnostics.map(\.level).max() }
}

/// The error every stage throws when it cannot go on; its code's first digit names the stage.
///
/// One type for all stages keeps typed throws composable: a caller that joins stages has nothing to convert.
public struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
  public var code: DiagnosticCode
  public var message: String
  public var at: ModelLocation
  /// What the user can do about it, when something can be done.
  public var advice: String?

  public init(_ code: DiagnosticCode, _ message: String, at: ModelLocation = ModelLocation(), advice: String? = nil) {
    self.code = code
    self.message = message
    self.at = at
    self.advice = advice
  }

  /// The same failure, with what a caller knows of its place filled in where it was unknown.
  public func located(file: String? = nil, element: String? = nil) -> Failure {
    var copy = self
    if copy.at.file == nil { copy.at.file = file }
    if copy.at.element == nil { copy.at.element = element }
    return copy
  }

  public var description: String {
    let place = at.description
    return place.isEmpty ? "\(message) (\(code.id))" : "\(message) (\(place), \(code.id))"
  }
}
