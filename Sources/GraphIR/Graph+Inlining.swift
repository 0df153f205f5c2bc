public import Diagnostics

extension Graph {
  public var hasCalls: Bool { order.contains { if case .call = nodes[$0].op { true } else { false } } }

  /// The graph with every call of a function replaced by the nodes of its body, calls inside bodies of functions included.
  ///
  /// Ids stay the same: what a call gave is now given by a node of the body, and everything else of the body is appended,
  /// under names that start with the call's. New nodes have the call's origins and no record. Calls inside loops and
  /// branches stay.
  ///
  /// - Throws: `limitExceeded` where the calls stand for more than `limit` nodes.
  public func inliningCalls(limit: Int = 1 << 20) throws(Failure) -> Graph {
    guard hasCalls else { return self }
    return try inlining(limit: limit) { id in if case .call(let call) = nodes[id].op { call.body } else { nil } }
  }

  /// The same for the bodies that `choose` names: of calls, or the branch that a node is known to take.
  public func inlining(limit: Int = 1 << 20, _ choose: (NodeID) -> Subgraph?) throws(Failure) -> Graph {
    var inlining = Inlining(self, limit: limit)
    for id in order { try inlining.visit(id, choose(id)) }
    return try inlining.finish()
  }
}

private struct Inlining {
  private var graph: Graph
  private var order: [NodeID] = []
  private var names: FreshNames
  private var rest: Int

  init(_ graph: Graph, limit: Int) {
    self.graph = graph
    rest = limit
    names = FreshNames(graph)
  }

  func finish() throws(Failure) -> Graph {
    var result = graph
    result.order = order
    try StructuralVerifier.verify(result)
    return result
  }

  mutating func visit(_ id: NodeID, _ body: Subgraph?) throws(Failure) {
    guard let body else { return order.append(id) }
    let node = graph.nodes[id]
    try expand(body, node, name: node.name.isEmpty ? body.graph.name : node.name, depth: 0)
  }

  /// Appends the body's nodes; the results of `node` become theirs.
  private mutating func expand(_ subgraph: Subgraph, _ node: Node, name: String, depth: Int) throws(Failure) {
    guard depth <= StructuralVerifier.depthLimit else {
      throw Failure(.limitExceeded, "calls nest more than \(StructuralVerifier.depthLimit) deep", at: .element(node.name))
    }
    let body = subgraph.graph
    for (domain, version) in body.opsets where graph.opsets[domain] == nil { graph.opsets[domain] = version }
    // What each value of the body is here.
    var map = HandleMap<ValueTag, ValueID?>(count: body.values.count, initial: nil)
    for (formal, operand) in zip(subgraph.formals, node.inputs.compactMap { $0 }) { map[formal] = operand }
    for (inner, index) in zip(body.inputs.suffix(subgraph.captures.count), subgraph.captures) { map[inner] = node.captures[index] }
    var aliases: [(result: ValueID, source: ValueID)] = []
    for (inner, outer) in zip(body.outputs, node.outputs) {
      guard let outer else { continue }
      if case .node = body.values[inner].definition, map[inner] == nil { map[inner] = outer } else { aliases.append((outer, inner)) }
    }
    func read(_ value: ValueID) -> ValueID {
      if let known = map[value] { return known }
      var copy = body.values[value]
      copy.name = names.make("\(name)/\(copy.name)")
      copy.record = nil
      copy.origin = nil
      let made = graph.values.append(copy)
      map[value] = made
      return made
    }
    for id in body.order {
      rest -= 1
      guard rest >= 0 else { throw Failure(.limitExceeded, "the calls of functions stand for too many nodes", at: .element(node.name)) }
      var copy = body.nodes[id]
      copy.inputs = copy.inputs.map { $0.map(read) }
      copy.captures = copy.captures.map(read)
      copy.outputs = copy.outputs.map { $0.map(read) }
      copy.name = copy.name.isEmpty ? "" : "\(name)/\(copy.name)"
      copy.origins = node.origins
      copy.record = nil
      if case .call(let inner) = copy.op {
        try expand(inner.body, copy, name: copy.name.isEmpty ? "\(name)/\(inner.name)" : copy.name, depth: depth + 1)
      } else {
        append(copy)
      }
    }
    for (result, source) in aliases {
      append(Node(.unary(.identity), [read(source)], outputs: [result], name: name, origins: node.origins))
    }
  }

  private mutating func append(_ node: Node) {
    let id = NodeID(raw: UInt32(graph.nodes.count))
    for (index, output) in node.outputs.enumerated() { if let output { graph.values[output].definition = .node(id, result: index) } }
    _ = graph.nodes.append(node)
    order.append(id)
  }
}
