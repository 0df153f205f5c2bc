internal import Diagnostics
internal import GraphIR
internal import Tensors

extension AttentionRules {
  /// MultiHeadAttention (com.microsoft) with what the operator of the IR does not take: a cache of keys and values, or
  /// another value for hidden scores. Read as the standard's Attention, with biases added and the mask made a bias before.
  static func cachedMultiHead(_ view: NodeView, heads: Int, scale: Float?, causal: Bool, hidden: Float) throws(Failure) -> Translation {
    let types = (0..<3).map { view.type(at: $0) }
    guard types.allSatisfy({ $0?.shape?.rank == 3 }) else { return .unsupported("a cache or a filter value beside packed or undeclared operands") }
    if view.operand(8) != nil || view.operand(9) != nil || view.wants(3) { return .unsupported("a shared cache, or its scores are read") }
    guard (view.operand(6) == nil) == (view.operand(7) == nil) else { return .unsupported("only one of past key and past value") }
    var steps: [Translation.Step] = []
    func add(_ op: Op, _ operands: [Translation.Step.Operand]) -> Translation.Step.Operand {
      steps.append(.init(op, operands))
      return .step(steps.count - 1)
    }
    var parts: [Translation.Step.Operand] = [.operand(0), .operand(1), .operand(2)]
    if view.operand(3) != nil {
      var start = 0
      for index in 0..<3 {
        guard let width = types[index]?.shape?[2].value else { return .unsupported("a bias of undeclared parts") }
        let bounds = try [start, start + width].map { (bound) throws(Failure) in Translation.Step.Operand.constant(try Tensor.vector([bound])) }
        let part = add(.layout(.slice), [.operand(3), bounds[0], bounds[1], .constant(try Tensor.vector([0]))])
        parts[index] = add(.binary(.add), [parts[index], part])
        start += width
      }
    }
    var bias: Translation.Step.Operand = view.operand(5) == nil ? .absent : .operand(5)
    if view.operand(4) != nil {
      let element = types[0]?.element ?? .float32
      guard view.type(at: 4)?.shape?.rank == 2, let one = Tensor.scalar(1, element), let depth = Tensor.scalar(-Double(hidden), element) else {
        return .unsupported("its mask beside a cache or a filter value")
      }
      // 1 is kept and 0 hidden.
      let kept = add(.cast(to: element), [.operand(4)])
      let missing = add(.binary(.multiply), [add(.binary(.subtract), [kept, .constant(one)]), .constant(depth)])
      let mask = add(.layout(.unsqueeze), [missing, .constant(try Tensor.vector([1, 2]))])
      bias = view.operand(5) == nil ? mask : add(.binary(.add), [mask, .operand(5)])
    }
    let attention = Op.attention(.standard(.init(queryHeads: heads, keyHeads: heads, scale: scale, softcap: 0, causal: causal)))
    let past: [Translation.Step.Operand] = view.operand(6) == nil ? [] : [.operand(6), .operand(7)]
    _ = add(attention, parts + [bias] + past)
    return .steps(steps)
  }
}
