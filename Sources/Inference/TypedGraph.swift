public import GraphIR
public import Operators
public import Tensors

/// A graph together with what is known of each of its values. It has one maker, `Inference.infer`, so "not inferred
/// yet" cannot be passed on.
public struct TypedGraph: Sendable {
  public let graph: Graph
  let facts: HandleMap<ValueTag, Fact?>
  let bindings: Bindings
  /// Whether some of it is known only because the file declares it, and no rule tells: what runs must not rely on that.
  public let reliesOnDeclarations: Bool

  init(graph: Graph, facts: HandleMap<ValueTag, Fact?>, bindings: Bindings, reliesOnDeclarations: Bool) {
    self.reliesOnDeclarations = reliesOnDeclarations
    self.graph = graph
    self.facts = facts
    self.bindings = bindings
  }

  /// nil behind operators that vitconv does not know.
  public func fact(of value: ValueID) -> Fact? { facts[value] }
  public func type(of value: ValueID) -> TensorType? { facts[value]?.type }
  public func shape(of value: ValueID) -> Shape? { facts[value]?.type.shape }
  /// The elements, where they are constants or shape arithmetic.
  public func known(_ value: ValueID) -> KnownValue? { facts[value]?.value }
  /// The elements as a tensor: constants and what was folded from them.
  public func constant(_ value: ValueID) -> Tensor? {
    if case .tensor(let tensor)? = facts[value]?.value { tensor } else { nil }
  }

  /// One fact per operand of a node, nil where it is left out or unknown.
  public func operands(of node: NodeID) -> [Fact?] { graph[node].inputs.map { $0.flatMap { facts[$0] } } }
  public func results(of node: NodeID) -> [Fact?] { graph[node].outputs.map { $0.flatMap { facts[$0] } } }

  /// Live values whose type, or whose rank, is not known, in order of making.
  public var untyped: [ValueID] {
    var result = graph.inputs.filter { shape(of: $0) == nil }
    for id in graph.order { result += graph[id].outputs.compactMap { $0 }.filter { shape(of: $0) == nil } }
    return result
  }

  /// The symbols that are left in the shapes of the graph's inputs.
  public var symbols: Set<String> {
    graph.inputs.reduce(into: []) { set, input in for dim in shape(of: input)?.dims ?? [] { set.formUnion(dim.symbols) } }
  }
}
