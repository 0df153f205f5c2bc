internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Quantized operators of com.microsoft: numbers are made real, computed with, and quantized again, which is what these
/// operators stand for. Products of integers stay exact.
enum QuantizedRules {
  static let microsoft: [String: ReadingRule] = [
    "QuantizeLinear": CatalogueRules.rule(CataloguedOp.Kind.quantizeLinear.entry),
    "DequantizeLinear": CatalogueRules.rule(CataloguedOp.Kind.dequantizeLinear.entry),
    "QLinearAdd": binary(.add), "QLinearMul": binary(.multiply),
    "QLinearSigmoid": { view throws(Failure) in try unary(.unary(.sigmoid)) },
    "QLinearLeakyRelu": { view throws(Failure) in try unary(.unary(.leakyRelu(alpha: try view.float("alpha", default: 0.01)))) },
    "QLinearWhere": { view throws(Failure) in
      var list = StepList()
      let x = list.append(try dequantize(.operand(1), .operand(2), .operand(3)))
      let y = list.append(try dequantize(.operand(4), .operand(5), .operand(6)))
      return list.giving(list.append(try quantize(list.add(.select, .operand(0), x, y), .operand(7), .operand(8))))
    },
    "QLinearReduceMean": { view throws(Failure) in
      let keepDims = try view.flag("keepdims", default: true)
      let axes = try view.ints("axes") ?? []
      var list = StepList()
      let x = list.append(try dequantize(.operand(0), .operand(1), .operand(2)))
      let mean = list.add(.reduction(.init(.mean, keepDims: keepDims)), [x] + (axes.isEmpty ? [] : [.constant(try Tensor.vector(axes))]))
      return list.giving(list.append(try quantize(mean, .operand(3), .operand(4))))
    },
    "QLinearSoftmax": { view throws(Failure) in
      let axis = try view.int("axis", default: -1)
      guard try view.int("opset", default: 13) >= 13 || axis == -1 else { return .unsupported("a softmax over several axes") }
      return try unary(.softmax(.softmax(axis: axis)))
    },
    "QLinearAveragePool": { view throws(Failure) in
      let last = try view.flag("channels_last")
      guard let pool = try LinearRules.pool("AveragePool", &view) else { return .unsupported("its rank is not declared") }
      return try channels(last: last, &view, pool)
    },
    "QLinearGlobalAveragePool": { view throws(Failure) in try channels(last: try view.flag("channels_last"), &view, .pooling(.globalAverage)) },
    "QLinearConcat": { view throws(Failure) in
      guard let axis = try view.int("axis"), view.operandCount >= 5, (view.operandCount - 2) % 3 == 0 else {
        throw view.bad("axis", "is missing, or operands are")
      }
      let parts = (view.operandCount - 2) / 3
      var steps = try (0..<parts).map { (part) throws(Failure) in try dequantize(.operand(2 + 3 * part), .operand(3 + 3 * part), .operand(4 + 3 * part)) }
      steps.append(.init(.layout(.concat(axis: axis)), (0..<parts).map { .step($0) }))
      steps.append(try quantize(.step(parts), .operand(0), .operand(1)))
      return .steps(steps)
    },
    "QLinearConv": { view throws(Failure) in
      let last = try view.flag("channels_last")
      let op = Op.catalogued(try view.catalogued(CataloguedOp.Kind.qLinearConv.entry))
      if !last { return .op(op, of: view) }
      guard let orders = orders(view) else { return .unsupported("its rank is not declared") }
      let rest = (1..<view.operandCount).map { Translation.Step.Operand.operand($0) }
      return .steps([
        .init(.layout(.transpose(orders.toFirst)), [.operand(0)]), .init(op, [.step(0)] + rest), .init(.layout(.transpose(orders.toLast)), [.step(1)]),
      ])
    },
    "MatMulIntegerToFloat": { view throws(Failure) in
      var steps: [Translation.Step] = [
        .init(.catalogued(try CataloguedOp(.matMulInteger)), [.operand(0), .operand(1), .operand(4), .operand(5)]),
        .init(.cast(to: .float32), [.step(0)]),
        .init(.binary(.multiply), [.operand(2), .operand(3)]),
        .init(.binary(.multiply), [.step(1), .step(2)]),
      ]
      if view.operand(6) != nil { steps.append(.init(.binary(.add), [.step(3), .operand(6)])) }
      return .steps(steps)
    },
    "QGemm": gemm,
    "QAttention": { view throws(Failure) in
      // The operator that gives what this one stands for, of numbers made real; operand 8 is its cache.
      let hasCache = view.operand(8) != nil || view.wants(1)
      let usesMask = view.operand(5) != nil
      let hidden = try view.float("mask_filter_value", default: -10000)
      var list = StepList()
      let x = list.append(try dequantize(.operand(0), .operand(3), .operand(6)))
      let weight = list.append(try dequantize(.operand(1), .operand(4), .operand(7)))
      let mask: StepList.Operand = usesMask ? .operand(5) : .absent
      let past: StepList.Operand = view.operand(8) == nil ? .absent : .operand(8)
      let y: StepList.Operand
      if hasCache || usesMask && hidden != -10000 {
        if try view.flag("do_rotary") { return .unsupported(AttentionRules.rotary) }
        let op = try view.catalogued(CataloguedOp.Kind.microsoftAttention.entry)
        y = list.add(.catalogued(op), x, weight, .operand(2), mask, past)
      } else {
        guard let heads = try view.int("num_heads"), heads > 0 else { throw view.bad("num_heads", "is missing or not positive") }
        let causal = try view.flag("unidirectional")
        let scale = try view.float("scale", default: 0)
        if try view.flag("do_rotary") { return .unsupported(AttentionRules.rotary) }
        view.ignore("past_present_share_buffer")
        let op = AttentionOp.packedProjection(heads: heads, scale: scale == 0 ? nil : scale, qkvHiddenSizes: [], causal: causal)
        y = list.add(.attention(op), x, weight, .operand(2), mask)
      }
      return list.giving(y, list.result(1, of: y))
    },
  ]

  static func dequantize(
    _ x: Translation.Step.Operand, _ scale: Translation.Step.Operand, _ zero: Translation.Step.Operand, axis: Int = 1
  ) throws(Failure) -> Translation.Step {
    .init(.catalogued(try CataloguedOp(.dequantizeLinear, ["axis": .int(axis)])), [x, scale, zero])
  }

  private static func quantize(_ x: Translation.Step.Operand, _ scale: Translation.Step.Operand, _ zero: Translation.Step.Operand) throws(Failure)
    -> Translation.Step
  {
    .init(.catalogued(try CataloguedOp(.quantizeLinear)), [x, scale, zero])
  }

  /// A, scale, zero point, B, scale, zero point, scale and zero point of the result.
  private static func binary(_ op: BinaryOp) -> ReadingRule {
    { view throws(Failure) in
      .steps([
        try dequantize(.operand(0), .operand(1), .operand(2)), try dequantize(.operand(3), .operand(4), .operand(5)),
        .init(.binary(op), [.step(0), .step(1)]), try quantize(.step(2), .operand(6), .operand(7)),
      ])
    }
  }

  /// X, scale, zero point, scale and zero point of the result.
  private static func unary(_ op: Op) throws(Failure) -> Translation {
    .steps([
      try dequantize(.operand(0), .operand(1), .operand(2)), .init(op, [.step(0)]), try quantize(.step(1), .operand(3), .operand(4)),
    ])
  }

  /// The orders of axes that bring channels from the last place to the second, and back.
  static func orders(_ view: NodeView) -> (toFirst: [Int], toLast: [Int])? {
    guard let rank = view.type(at: 0)?.shape?.rank ?? view.type(at: 1)?.shape?.rank, rank >= 3 else { return nil }
    return ([0, rank - 1] + (1..<rank - 1), [0] + (2..<rank) + [1])
  }

  private static func channels(last: Bool, _ view: inout NodeView, _ pool: Op) throws(Failure) -> Translation {
    if !last { return try unary(pool) }
    guard let orders = orders(view) else { return .unsupported("its rank is not declared") }
    return .steps([
      try dequantize(.operand(0), .operand(1), .operand(2)), .init(.layout(.transpose(orders.toFirst)), [.step(0)]), .init(pool, [.step(1)]),
      .init(.layout(.transpose(orders.toLast)), [.step(2)]), try quantize(.step(3), .operand(3), .operand(4)),
    ])
  }

  /// A, scale, zero point, B, scale, zero point, C in units of the product?, scale and zero point of the result?.
  private static let gemm: ReadingRule = { view throws(Failure) in
    let alpha = try view.float("alpha", default: 1)
    let (transposeA, transposeB) = (try view.flag("transA"), try view.flag("transB"))
    var steps: [Translation.Step] = []
    func matrix(_ index: Int, transposed: Bool) -> Translation.Step.Operand {
      guard transposed else { return .operand(index) }
      steps.append(.init(.layout(.transpose([1, 0])), [.operand(index)]))
      return .step(steps.count - 1)
    }
    func last() -> Translation.Step.Operand { .step(steps.count - 1) }
    let a = matrix(0, transposed: transposeA)
    let b = matrix(3, transposed: transposeB)
    steps.append(.init(.catalogued(try CataloguedOp(.matMulInteger)), [a, b, .operand(2), .operand(5)]))
    if view.operand(6) != nil { steps.append(.init(.binary(.add), [last(), .operand(6)])) }
    steps.append(.init(.cast(to: .float32), [last()]))
    let sum = last()
    steps.append(.init(.binary(.multiply), [.operand(1), .operand(4)]))
    let scale = last()
    steps.append(.init(.binary(.multiply), [sum, scale]))
    if alpha != 1 { steps.append(.init(.binary(.multiply), [last(), .constant(try Tensor(float32: [alpha], dims: []))])) }
    if view.operand(7) != nil { steps.append(try quantize(last(), .operand(7), .operand(8))) }
    return .steps(steps)
  }
}
