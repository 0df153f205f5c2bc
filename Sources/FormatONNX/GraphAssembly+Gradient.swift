internal import Diagnostics
internal import Differentiation
internal import GraphIR

/// Gradient (ai.onnx.preview.training 1): inputs take the places of the values that `xs` and `zs` name, and the results
/// are the derivatives of `y` with respect to `xs` there.
enum GradientRule {
  static let domain = "ai.onnx.preview.training"
  static let opType = "Gradient"
}

extension GraphAssembly {
  /// The derivatives as a body, and the values of this graph that it reads.
  mutating func gradient(_ message: NodeMessage, version: Int) throws(Failure) -> (op: Op, captures: [ValueID]) {
    var view = NodeView(
      message, version: version, operands: [], wanted: [], constant: { _ in nil }, declaredType: { _ in nil },
      decode: { [decoder] (tensor) throws(Failure) in try decoder.tensor(tensor) })
    let independent = try named(try view.strings("xs") ?? [], message)
    let fixed = try named(try view.strings("zs") ?? [], message)
    guard let name = try view.string("y") else { throw view.bad("y", "is missing") }
    guard message.inputs.count == independent.count + fixed.count, !message.inputs.contains("") else {
      throw Failure(.operandCount, "Gradient takes an input for each of 'xs' and 'zs'", at: .element(message.label))
    }
    let derivative = try ReverseMode(of: try lookUp(name, by: message), in: builder.graph, independent: independent, fixed: fixed)
    derivativeNodesLeft -= derivative.body.order.count
    guard derivativeNodesLeft >= 0 else { throw Failure(.limitExceeded, "the gradients stand for too many nodes", at: .element(message.label)) }
    let body = Subgraph(derivative.body, captures: Array(derivative.captures.indices))
    return (.call(CallOp(domain: message.domain, name: message.opType, body: body)), derivative.captures)
  }

  private func named(_ names: [[UInt8]], _ message: NodeMessage) throws(Failure) -> [ValueID] {
    var result: [ValueID] = []
    for name in names {
      let value = try lookUp(String(decoding: name, as: UTF8.self), by: message)
      guard !result.contains(value) else { throw Failure(.badAttribute, "Gradient names '\(builder.graph[value].name)' twice", at: .element(message.label)) }
      result.append(value)
    }
    return result
  }
}
