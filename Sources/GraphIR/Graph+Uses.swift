/// Who reads each value: a side table made once per pass.
public struct Uses: Sendable {
  private var readers: HandleMap<ValueTag, [NodeID]>
  private let outputs: Set<ValueID>

  public init(_ graph: Graph) {
    readers = HandleMap(count: graph.values.count, initial: [])
    for id in graph.order {
      for value in graph.nodes[id].reads where readers[value].last != id { readers[value].append(id) }
    }
    outputs = Set(graph.outputs)
  }

  /// The nodes that read `value`, in order, each once.
  public func readers(of value: ValueID) -> [NodeID] { readers[value] }
  public func isOutput(_ value: ValueID) -> Bool { outputs.contains(value) }

  /// The only reader of a value that is no graph output, else nil.
  public func onlyReader(of value: ValueID) -> NodeID? {
    let all = readers[value]
    return all.count == 1 && !outputs.contains(value) ? all[0] : nil
  }
}

extension Graph {
  /// What messages call a node: its name, or that of its first result where it has none.
  public func label(of node: Node) -> String { node.name.isEmpty ? node.outputs.lazy.compactMap { $0 }.first.map { self[$0].name } ?? "" : node.name }
}
