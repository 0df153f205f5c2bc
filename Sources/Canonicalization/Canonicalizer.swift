public import Diagnostics
internal import GraphIR
public import Inference

/// Brings the dialects of exporters to one, on a snapshot: recognizers see few spellings, while rewrites still edit the
/// graph as it was read.
///
/// Nodes and values that are kept keep their ids; new ones are appended, each node with the `origins` and each value
/// with the `origin` of what it stands for. One pass in order suffices: every rule sees operands that are canonical,
/// and what a rule makes is brought to canonical form as it is made. Time is linear in the number of nodes.
public enum Canonicalizer {
  /// What the canonical graph is for.
  public enum Purpose: Sendable {
    /// Finding blocks: guards against numbers that are none only stand in the way.
    case recognition
    /// Writing the graph as layers: results are the same for every input, up to rounding.
    case writing
  }

  /// All rules, tried in this order on every node; the first that applies wins.
  static let rules: [Rule] =
    IdentityForm.rules + ConstantForm.rules + ScaleForm.rules + ProductForm.rules + EinsumForm.rules + ShapeForm.rules + PartForm.rules + StackForm.rules
    + NormalizationForm.rules
    + ActivationForm.rules + SoftmaxForm.rules + AttentionForm.rules

  /// The rules of a purpose.
  static func rules(for purpose: Purpose) -> [Rule] {
    switch purpose {
    case .recognition: rules
    case .writing: faithfulRules
    }
  }
  private static let faithfulRules = rules.filter { $0.exactness != .ofNumbers }

  /// Bodies come first: calls of the model's own functions are replaced by what they stand for, branches by the one that
  /// is always taken, and the nodes of a body have the node that held it as their origin.
  public static func canonicalize(_ given: TypedGraph, for purpose: Purpose = .recognition) throws(Failure) -> TypedGraph {
    var sink = DiagnosticSink()
    let typed = try given.inliningBodies(sink: &sink)
    var sweep = Sweep(typed, for: purpose)
    for id in typed.graph.order { sweep.visit(id) }
    if sweep.patch.isEmpty { return typed }
    return try typed.applying(sweep.patch, sink: &sink)
  }
}

/// What a rule keeps: every bit of the results; the results up to rounding; or these as long as all numbers are finite,
/// which serves recognition only.
enum Exactness { case exact, rounding, ofNumbers }

/// One algebraic identity, applied to a node whose operands are canonical.
struct Rule: Sendable {
  let exactness: Exactness
  /// The values that take the place of the node's results (nil: that one is not wanted), or nil when it does not apply.
  let apply: @Sendable (Site, inout Sweep) -> [ValueID?]?

  init(_ exactness: Exactness, _ apply: @escaping @Sendable (Site, inout Sweep) -> [ValueID?]?) {
    self.exactness = exactness
    self.apply = apply
  }
}

/// A node as a rule sees it: of the graph, or about to be made.
struct Site {
  var op: Op
  var inputs: [ValueID?]
  var resultCount: Int
  var origins: OriginSet
  var name: String
  /// The node's own results, where it is of the graph.
  var results: [ValueID?] = []

  func input(_ index: Int) -> ValueID? { index < inputs.count ? inputs[index] : nil }
}
