public import Diagnostics
internal import Tensors

extension Graph {
  /// The graph with some loops written out: one call of the body for each iteration, in place of the loop.
  ///
  /// Values keep their ids; what a loop gave is given by the last call. Calls have the loop's origins and no record.
  ///
  /// - Parameter counts: iterations of loops that stack nothing and stop for nothing, at least one each.
  public func unrolling(_ counts: [NodeID: Int]) throws(Failure) -> Graph {
    var graph = self
    var names = FreshNames(self)
    graph.order = []
    for id in order {
      guard let count = counts[id], count > 0, case .control(.loop(let body)) = nodes[id].op else {
        graph.order.append(id)
        continue
      }
      let node = nodes[id]
      let stem = node.name.isEmpty ? body.graph.name : node.name
      var carried = Array(node.inputs.dropFirst(2))
      let yes = try Tensor(.bool, dims: [], values: [UInt8(1)])
      let condition = graph.values.append(Value(name: names.make("\(stem)/condition"), definition: .constant(yes), declaredType: yes.type))
      for step in 0..<count {
        let number = try Tensor(int64: [Int64(step)], dims: [])
        let iteration = graph.values.append(Value(name: names.make("\(stem)/\(step)/iteration"), definition: .constant(number), declaredType: number.type))
        let call = NodeID(raw: UInt32(graph.nodes.count))
        var outputs: [ValueID?] = [nil]
        for (index, old) in node.outputs.prefix(carried.count).enumerated() {
          if step + 1 == count {
            outputs.append(old)
            if let old { graph.values[old].definition = .node(call, result: index + 1) }
          } else {
            outputs.append(graph.values.append(Value(name: names.make("\(stem)/\(step)/carried.\(index)"), definition: .node(call, result: index + 1))))
          }
        }
        _ = graph.nodes.append(
          Node(
            .call(CallOp(domain: "", name: "iteration", body: body)), [iteration, condition] + carried, outputs: outputs, captures: node.captures,
            name: "\(stem)/\(step)", origins: node.origins))
        graph.order.append(call)
        carried = Array(outputs.dropFirst())
      }
    }
    return graph
  }
}
