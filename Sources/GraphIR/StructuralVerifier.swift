public import Diagnostics

/// Checks the laws of the IR. They are:
///
/// 1. Every operand, capture, result, input and output is a value of this graph.
/// 2. A value defined by a node is that node's result at that index, and the other way round.
/// 3. A node stands in `order` once, after every node whose results it reads. (So there are no cycles.)
/// 4. No two live values share a name; names of values are not empty.
/// 5. Every graph output is an input, a constant or the result of a live node.
/// 6. Inputs are the values defined as inputs, in order.
///
/// Not checked here: operand counts and types (Inference), and format rules (the readers).
public enum StructuralVerifier {
  public static func verify(_ graph: Graph) throws(Failure) {
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
}
