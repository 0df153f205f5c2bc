extension GraphMessage {
  /// Names that a subgraph reads from outside; names it defines itself are added to `inner`.
  func freeNames(_ inner: inout Set<String>) -> Set<String> {
    var own = Set(inputs.map(\.name) + initializers.map(\.name) + sparse.map(\.name))
    var free = Set<String>()
    for node in nodes {
      for input in node.inputs where !input.isEmpty && !own.contains(input) { free.insert(input) }
      for attribute in node.attributes {
        for subgraph in attribute.graphs { free.formUnion(subgraph.freeNames(&inner).subtracting(own)) }
      }
      own.formUnion(node.outputs)
    }
    for output in outputs where !output.name.isEmpty && !own.contains(output.name) { free.insert(output.name) }
    inner.formUnion(own)
    return free
  }
}
