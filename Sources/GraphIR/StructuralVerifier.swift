public import Diagnostics

/// Checks the laws of the IR. They are:
///
/// 1. Every operand, capture, result, input and output is a value of this graph.
/// 2. A value defined by a node is that node's result at that index, and the other way round.
/// 3. A node stands in `order` once, after every node whose results it reads. (So there are no cycles.)
/// 4. No two live values share a name; names of values are not empty.
/// 5. Every graph output is an input, a constant or the result of a live node.
/// 6. Inputs are the values defined as inputs, in order.
/// 7. Every body keeps these laws itself; its captures are captures of its node, and are as many of its last inputs. Bodies
///    nest at most 64 deep, and give what their operator says: a loop a condition and its carried values, branches and
///    functions at least the node's results.
///
/// Not checked here: operand counts and types (Inference), and format rules (the readers).
public enum StructuralVerifier {
  public static func verify(_ graph: Graph) throws(Failure) {
    var seen = Set<Subgraph>()
    try verify(graph, depth: 0, seen: &seen)
  }

  public static let depthLimit = 64

  private static func verify(_ graph: Graph, depth: Int, seen bodies: inout Set<Subgraph>) throws(Failure) {
    guard depth <= depthLimit else { throw Failure(.limitExceeded, "bodies nest more than \(depthLimit) deep", at: .element(graph.name)) }
    var available = HandleMap<ValueTag, Bool>(count: graph.values.count, initial: false)
    var names = Set<String>(minimumCapacity: graph.values.count)

    func claim(_ id: ValueID) throws(Failure) {
      let name = graph.values[id].name
      guard !name.isEmpty else { throw Failure(.brokenInvariant, "a value has no name") }
      guard names.insert(name).inserted else { throw Failure(.duplicateName, "the value '\(name)' is defined twice", at: .element(name)) }
      available[id] = true
    }

    for id in graph.values.handles {
      if case .constant = graph.values[id].definition { available[id] = true }
    }
    for (index, id) in graph.inputs.enumerated() {
      guard graph.values.contains(id), case .input(index) = graph.values[id].definition else {
        throw Failure(.brokenInvariant, "input \(index) is not defined as one")
      }
      try claim(id)
    }
    var claimedConstants = Set<ValueID>()
    func read(_ id: ValueID, by node: Node) throws(Failure) {
      guard graph.values.contains(id) else { throw Failure(.brokenInvariant, "an operand is of another graph", at: .element(node.name)) }
      guard available[id] else {
        throw Failure(.cyclicGraph, "'\(node.name)' reads '\(graph.values[id].name)' before it is made", at: .element(node.name))
      }
      if case .constant = graph.values[id].definition, claimedConstants.insert(id).inserted { try claim(id) }
    }
    var seen = HandleMap<NodeTag, Bool>(count: graph.nodes.count, initial: false)
    for id in graph.order {
      guard graph.nodes.contains(id), !seen[id] else { throw Failure(.brokenInvariant, "a node stands twice in the order") }
      seen[id] = true
      let node = graph.nodes[id]
      for value in node.reads { try read(value, by: node) }
      try checkBodies(of: node, depth: depth, seen: &bodies)
      for (index, output) in node.outputs.enumerated() {
        guard let output else { continue }
        guard graph.values.contains(output), case .node(id, result: index) = graph.values[output].definition else {
          throw Failure(.brokenInvariant, "a result is not defined by its node", at: .element(node.name))
        }
        try claim(output)
      }
    }
    for id in graph.outputs {
      guard graph.values.contains(id), available[id] else {
        throw Failure(.undefinedValue, "an output is never made", at: .element(graph.values.contains(id) ? graph.values[id].name : ""))
      }
    }
  }

  /// - Parameter seen: bodies that were looked at: many nodes may share one.
  private static func checkBodies(of node: Node, depth: Int, seen: inout Set<Subgraph>) throws(Failure) {
    for body in node.op.bodies {
      guard body.captures.count <= body.graph.inputs.count, body.captures.allSatisfy({ node.captures.indices.contains($0) }) else {
        throw Failure(.brokenInvariant, "a body captures what its node does not", at: .element(node.name))
      }
      if seen.insert(body).inserted { try verify(body.graph, depth: depth + 1, seen: &seen) }
    }
    func expect(_ body: Subgraph, formals: Int, outputs: Int) throws(Failure) {
      guard body.formals.count == formals, body.graph.outputs.count >= outputs else {
        throw Failure(
          .operandCount, "a body takes \(body.formals.count) inputs and gives \(body.graph.outputs.count) outputs, not \(formals) and \(outputs)",
          at: .element(node.name))
      }
    }
    let results = node.outputs.count
    switch node.op {
    case .control(.branch(let then, let otherwise)):
      for body in [then, otherwise] { try expect(body, formals: 0, outputs: results) }
    case .control(.loop(let body)):
      let carried = max(node.inputs.count - 2, 0)
      try expect(body, formals: carried + 2, outputs: max(carried, results) + 1)
    case .control(.flexAttention): for body in node.op.bodies { try expect(body, formals: 1, outputs: 1) }
    case .control(.map(let body)): try expect(body, formals: node.inputs.count, outputs: results)
    case .control(.scan(let scan)):
      let states = node.inputs.count - (scan.isBatched ? 1 : 0) - scan.inputAxes.count
      guard states >= 0, !scan.inputAxes.isEmpty, scan.inputsReversed.count == scan.inputAxes.count, scan.outputsReversed.count == scan.outputAxes.count else {
        throw Failure(.operandCount, "a scan of \(scan.inputAxes.count) values has \(node.inputs.count) operands", at: .element(node.name))
      }
      try expect(scan.body, formals: states + scan.inputAxes.count, outputs: states + scan.outputAxes.count)
      guard results <= states + scan.outputAxes.count else { throw Failure(.operandCount, "a scan has \(results) results", at: .element(node.name)) }
    case .call(let call): try expect(call.body, formals: node.inputs.count { $0 != nil }, outputs: results)
    default: break
    }
  }
}
