public import Diagnostics
public import Tensors

extension Graph {
  /// The part of the graph that makes `outputs`, starting from values that are already known: they become inputs, of the
  /// given types. Ids stay the same; inputs that the part does not read are left out.
  public func restricted(to outputs: [ValueID], from known: [ValueID: TensorType]) throws(Failure) -> Graph {
    var result = self
    var needed = HandleMap<NodeTag, Bool>(count: nodes.count, initial: false)
    var seen = HandleMap<ValueTag, Bool>(count: values.count, initial: false)
    var starts: [ValueID] = []
    var stack = outputs
    while let value = stack.popLast() {
      if seen[value] { continue }
      seen[value] = true
      if known[value] != nil {
        starts.append(value)
      } else if let producer = producer(of: value), !needed[producer] {
        needed[producer] = true
        stack.append(contentsOf: nodes[producer].reads)
      }
    }
    // A node with several results may make a known one beside a needed one: its own result then keeps its definition.
    starts.removeAll { value in producer(of: value).map { needed[$0] } ?? false }
    result.inputs = inputs.filter { seen[$0] } + starts.sorted()
    for (index, value) in result.inputs.enumerated() {
      result.values[value].definition = .input(index)
      if let type = known[value] { result.values[value].declaredType = type }
    }
    for value in starts {
      guard let producer = producer(of: value) else { continue }
      for index in result.nodes[producer].outputs.indices where result.nodes[producer].outputs[index] == value { result.nodes[producer].outputs[index] = nil }
    }
    result.order = order.filter { needed[$0] }
    result.outputs = outputs
    try StructuralVerifier.verify(result)
    return result
  }
}
