public import GraphIR
public import Operators
public import Tensors

/// A graph together with what is known of each of its values. It has one maker, `Inference.infer`, so "not inferred
/// yet" cannot be passed on.
public struct TypedGraph: Sendable {
  public let graph: Graph
  let facts: HandleMap<ValueTag, Fact?>

  init(graph: Graph, facts: HandleMap<ValueTag, Fact?>) {
    self.graph = graph
    self.facts = facts
  }

  /// nil behind operators that vitconv does not know.
  public func type(of value: ValueID) -> TensorType? { facts[value]?.type }
  public func shape(of value: ValueID) -> Shape? { facts[value]?.type.shape }
  /// The elements, where they are constants or shape arithmetic.
  public func known(_ value: ValueID) -> KnownValue? { facts[value]?.value }
  /// The elements as a tensor: constants and what was folded from them.
  public func constant(_ value: ValueID) -> Tensor? {
    if case .tensor(let tensor)? = facts[value]?.value { tensor } else { nil }
  }
}
