internal import Diagnostics
internal import GraphIR
internal import Tensors

/// In what types two models compute, and both without rounding to types narrower than float32: what a run in double
/// precision is made of.
struct ComparedArithmetic {
  /// The narrowest of both.
  let type: ElementType
  let modelIsNarrow: Bool
  let reference: Graph
  let model: Graph

  private static let narrowTypes: [ElementType] = [.bfloat16, .float16]

  init(reference: Graph, model: Graph) throws(Failure) {
    let (own, other) = (ComparedArithmetic.narrow(reference), ComparedArithmetic.narrow(model))
    type = ComparedArithmetic.narrowTypes.first { own.contains($0) || other.contains($0) } ?? .float32
    modelIsNarrow = !other.isEmpty
    self.reference = try ComparedArithmetic.widened(reference, own)
    self.model = try ComparedArithmetic.widened(model, other)
  }

  private static func widened(_ graph: Graph, _ types: [ElementType]) throws(Failure) -> Graph {
    var result = graph
    for narrow in types { result = try result.widened(narrow) }
    return result
  }

  private static func narrow(_ graph: Graph) -> [ElementType] { narrowTypes.filter { graph.computes(in: $0) } }
}
