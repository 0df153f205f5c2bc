public import Diagnostics
public import Tensors

/// Building a graph from nothing: for readers, the text form and passes that make a new graph. An existing graph is
/// edited only through `Patch`.
public struct GraphBuilder: Sendable {
  public private(set) var graph: Graph

  public init(name: String, opsets: [String: Int] = ["": 18], source: (any SourceRecordKeeper)? = nil) {
    graph = Graph(name: name, opsets: opsets, source: source)
  }

  /// Raises the operator set of ONNX to the one that an operator came with.
  public mutating func requireOpset(_ version: Int) { graph.opsets["", default: version] = max(graph.opsets["", default: version], version) }

  @discardableResult
  public mutating func input(_ name: String, _ type: TensorType?) -> ValueID {
    let id = graph.values.append(Value(name: name, definition: .input(graph.inputs.count), declaredType: type))
    graph.inputs.append(id)
    return id
  }

  public mutating func constant(_ name: String, _ tensor: Tensor, record: Int? = nil) -> ValueID {
    graph.values.append(Value(name: name, definition: .constant(tensor), declaredType: tensor.type, record: record))
  }

  /// Appends `node`, making one value per name of `results` (nil leaves that result out); gives the values.
  @discardableResult
  public mutating func node(_ node: Node, results: [String?], types: [TensorType?] = []) -> [ValueID?] {
    var node = node
    let id = NodeID(raw: UInt32(graph.nodes.count))
    node.outputs = results.enumerated().map { index, name in
      name.map { graph.values.append(Value(name: $0, definition: .node(id, result: index), declaredType: index < types.count ? types[index] : nil)) }
    }
    if node.origins.isEmpty { node.origins = [id] }
    _ = graph.nodes.append(node)
    graph.order.append(id)
    return node.outputs
  }

  /// Appends a node with one result.
  public mutating func node(_ op: Op, _ inputs: [ValueID?], result: String, name: String = "", origins: OriginSet = []) -> ValueID {
    let id = NodeID(raw: UInt32(graph.nodes.count))
    let value = graph.values.append(Value(name: result, definition: .node(id, result: 0)))
    _ = graph.nodes.append(Node(op, inputs, outputs: [value], name: name, origins: origins.isEmpty ? [id] : origins))
    graph.order.append(id)
    return value
  }

  public mutating func declare(_ value: ValueID, _ type: TensorType) { graph.values[value].declaredType = type }
  /// Declares a value that is no tensor.
  public mutating func declare(_ value: ValueID, _ type: ValueType) { graph.values[value].declaredContainer = type }
  public mutating func outputs(_ values: [ValueID]) { graph.outputs = values }

  /// The graph, once it keeps the laws.
  public func finish(named name: String? = nil) throws(Failure) -> Graph {
    try StructuralVerifier.verify(graph)
    var graph = graph
    if let name { graph.name = name }
    return graph
  }
}
