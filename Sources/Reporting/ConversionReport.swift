public import Diagnostics
public import Validation

/// What `convert` did, block by block.
public struct ConversionReport: Sendable {
  public var input: String
  public var output: String
  /// What a user should know of the written file.
  public var findings: [Diagnostic]
  /// Known faults of exporters that were mended.
  public var repairs: [RepairFact]
  public var blocks: [BlockConversion]
  public var model: ModelChange
  /// The converted model against the original on held-out samples; nil where there were none.
  public var comparison: Comparison?
  public var budget: BudgetOutcome?

  public init(
    input: String, output: String, findings: [Diagnostic] = [], repairs: [RepairFact] = [], blocks: [BlockConversion] = [], model: ModelChange,
    comparison: Comparison? = nil,
    budget: BudgetOutcome? = nil
  ) {
    self.input = input
    self.output = output
    self.findings = findings
    self.repairs = repairs
    self.blocks = blocks
    self.model = model
    self.comparison = comparison
    self.budget = budget
  }
}

/// One fault that was mended.
public struct RepairFact: Sendable, Hashable {
  public var id: String
  /// A node's name.
  public var at: String
  /// What was wrong there.
  public var fault: String
  public init(id: String, at: String, fault: String) {
    self.id = id
    self.at = at
    self.fault = fault
  }
}

/// One rewrite at one block: applied, or refused for a reason.
public struct BlockConversion: Sendable {
  public var index: Int
  public var name: String
  public var rewrite: String
  public var applied: Bool
  /// Why not; empty when it was applied.
  public var reason: String
  /// Error of the block's output on held-out samples.
  public var nmse: Double?
  public var macsBefore: Int?
  public var macsAfter: Int?
  /// The rewrite's settings for this block, given or fitted.
  public var parameters: [JSONValue.Member]

  public init(
    index: Int, name: String, rewrite: String, applied: Bool, reason: String = "", nmse: Double? = nil, macsBefore: Int? = nil, macsAfter: Int? = nil,
    parameters: [JSONValue.Member] = []
  ) {
    self.index = index
    self.name = name
    self.rewrite = rewrite
    self.applied = applied
    self.reason = reason
    self.nmse = nmse
    self.macsBefore = macsBefore
    self.macsAfter = macsAfter
    self.parameters = parameters
  }
}

/// Cost of the whole model before and after.
public struct ModelChange: Sendable {
  public var macsBefore: Int?
  public var macsAfter: Int?
  public var bytesBefore: Int
  public var bytesAfter: Int
  public var parametersBefore: Int
  public var parametersAfter: Int
  public init(macsBefore: Int?, macsAfter: Int?, bytesBefore: Int, bytesAfter: Int, parametersBefore: Int, parametersAfter: Int) {
    self.macsBefore = macsBefore
    self.macsAfter = macsAfter
    self.bytesBefore = bytesBefore
    self.bytesAfter = bytesAfter
    self.parametersBefore = parametersBefore
    self.parametersAfter = parametersAfter
  }
}

/// What was allowed, and what it came to.
public struct BudgetOutcome: Sendable {
  public var metric: String
  public var limit: Double
  public var value: Double
  public var samples: Int
  public var isKept: Bool { value <= limit }
  public init(metric: String, limit: Double, value: Double, samples: Int) {
    self.metric = metric
    self.limit = limit
    self.value = value
    self.samples = samples
  }
}
