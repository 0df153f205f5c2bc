internal import GraphIR
internal import Tensors

/// Which nodes of a graph run, and what nobody reads behind each: made once for a graph or a body.
final class Program {
  let graph: Graph
  let wanted: [ValueID]
  let nodes: [NodeID]
  /// For each node, the values that nobody reads afterwards.
  let freed: [[ValueID]]
  /// Constants in double precision, once they have been read so.
  var widenedConstants: [ValueID: Tensor] = [:]

  init(_ graph: Graph, wanted: [ValueID]) {
    self.graph = graph
    self.wanted = wanted
    var needed = HandleMap<NodeTag, Bool>(count: graph.nodes.count, initial: false)
    var pending = wanted
    while let value = pending.popLast() {
      guard let node = graph.producer(of: value), !needed[node] else { continue }
      needed[node] = true
      pending += graph[node].reads
    }
    nodes = graph.order.filter { needed[$0] }
    var lastReader: [ValueID: Int] = [:]
    for (index, id) in nodes.enumerated() {
      for value in graph[id].reads { lastReader[value] = index }
      // A result that nobody reads goes at once.
      for value in graph[id].outputs.compactMap({ $0 }) where lastReader[value] == nil { lastReader[value] = index }
    }
    for value in wanted { lastReader[value] = nil }
    var freed = [[ValueID]](repeating: [], count: nodes.count)
    for (value, index) in lastReader { freed[index].append(value) }
    self.freed = freed
  }
}
