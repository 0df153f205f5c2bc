/// A graph inside a node: the body of a loop, a branch, a function's instance for one call.
///
/// The inputs of `graph` are the formal ones, then one for each of `captures`: the values of the surrounding graph that
/// the body reads. A value of its own with identity: two bodies are equal when they are the same object, so that an
/// operator that carries one can be compared and kept without looking inside.
public final class Subgraph: Sendable, Hashable {
  public let graph: Graph
  /// For each of the last inputs of `graph`, the index among the node's captures.
  public let captures: [Int]

  public init(_ graph: Graph, captures: [Int] = []) {
    self.graph = graph
    self.captures = captures
  }

  /// The inputs that the operator itself fills in.
  public var formals: ArraySlice<ValueID> { graph.inputs.dropLast(captures.count) }

  /// The graph with its formal inputs alone; what it captures is read by the names of those values, as formats write it.
  public var withoutCaptures: Graph {
    var result = graph
    result.inputs = Array(formals)
    return result
  }

  public static func == (a: Subgraph, b: Subgraph) -> Bool { a === b }
  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}
