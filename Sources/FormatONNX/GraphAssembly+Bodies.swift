internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Bodies: the graphs inside nodes, and instances of functions.
extension GraphAssembly {
  /// Deeper nesting is refused; the encoding's own limit is near it.
  static let depthLimit = 64

  /// The operator of a node that runs bodies; nil where it is none that is known.
  mutating func control(_ message: NodeMessage, version: Int, captures: [(name: String, value: ValueID)]) throws(Failure) -> Translation {
    var bodies: [String: Subgraph] = [:]
    for attribute in message.attributes where !attribute.graphs.isEmpty {
      guard attribute.graphs.count == 1 else { return .unsupported("attribute '\(attribute.name)' holds several graphs") }
      do throws(Failure) {
        bodies[attribute.name] = try body(attribute.graphs[0], captures)
      } catch {
        return .unsupported("its '\(attribute.name)' cannot be read: \(error.message)")
      }
    }
    var view = NodeView(
      message, version: version, operands: [], wanted: [], constant: { _ in nil }, declaredType: { _ in nil },
      decode: { [decoder] (tensor) throws(Failure) in try decoder.tensor(tensor) })
    let reading = try ControlRules.read(&view, bodies)
    if case .steps = reading, let unknown = view.unread.min() { return .unsupported("attribute '\(unknown)' is not known") }
    return reading
  }

  private mutating func body(_ graph: GraphMessage, _ captures: [(name: String, value: ValueID)]) throws(Failure) -> Subgraph {
    var inner: Set<String> = []
    let free = graph.freeNames(&inner)
    let used = captures.indices.filter { free.contains(captures[$0].name) }
    let result = try nested(graph, opsets: nil, captured: used.map { (captures[$0].name, builder.graph[captures[$0].value]) })
    return Subgraph(result, captures: used)
  }

  /// The operator of a call of one of the model's functions.
  mutating func call(_ message: NodeMessage) throws(Failure) -> Op {
    let body = try library.instance(for: message) { (graph, opsets) throws(Failure) in try nested(graph, opsets: opsets, captured: []) }
    return .call(CallOp(domain: message.domain, name: message.opType, overload: message.overload, body: body))
  }

  private mutating func nested(_ graph: GraphMessage, opsets: [String: Int]?, captured: [(name: String, value: Value)]) throws(Failure) -> Graph {
    guard depth < GraphAssembly.depthLimit else { throw Failure(.limitExceeded, "graphs nest more than \(GraphAssembly.depthLimit) deep") }
    var assembly = GraphAssembly(decoder: decoder, opsets: opsets ?? self.opsets, library: library, records: nil, depth: depth + 1)
    try assembly.collectNames(graph)
    let result = try assembly.assembleBody(graph, captured: captured)
    foreign.merge(assembly.foreign)
    return result
  }
}
