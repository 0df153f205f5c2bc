internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Operators of com.microsoft that an optimizer made of a product, a convolution or a normalization and what stood
/// around it: read as those.
enum FusedRules {
  static let microsoft: [String: ReadingRule] = [
    "FusedGemm": { view throws(Failure) in
      let (alpha, beta) = (try view.float("alpha", default: 1), try view.float("beta", default: 1))
      let (transposeA, transposeB) = (try view.flag("transA"), try view.flag("transB"))
      let constants = [try view.float("activation_alpha"), try view.float("activation_beta"), try view.float("activation_gamma")].compactMap { $0 }
      let gemm = Op.matrix(.gemm(alpha: alpha, beta: beta, transposeA: transposeA, transposeB: transposeB))
      return try activated([.init(gemm, view.operands.indices.map { .operand($0) })], try view.string("activation", default: ""), constants)
    },
    "GemmFastGelu": { view throws(Failure) in
      var list = StepList()
      var x = list.add(.matrix(.matMul), .operand(0), .operand(1))
      if view.operand(2) != nil { x = list.add(.binary(.add), x, .operand(2)) }
      return list.giving(list.add(.unary(.gelu(.tanh)), x))
    },
    "FusedMatMulActivation": { view throws(Failure) in
      view.ignore("activation_axis")
      let constants = [try view.float("activation_alpha"), try view.float("activation_beta"), try view.float("activation_gamma")].compactMap { $0 }
      let product = Op.matrix(.fusedMatMul(try LinearRules.fused(&view)))
      return try activated([.init(product, [.operand(0), .operand(1)])], try view.string("activation", default: ""), constants)
    },
    "FusedConv": { view throws(Failure) in
      let activation = try view.string("activation", default: "")
      let constants = try view.floats("activation_params") ?? []
      guard let convolution = try LinearRules.convolution(&view) else { return .unsupported("its rank is not declared") }
      var steps: [Translation.Step] = [.init(convolution, [.operand(0), .operand(1), view.operand(2) == nil ? .absent : .operand(2)])]
      if view.operand(3) != nil { steps.append(.init(.binary(.add), [.step(0), .operand(3)])) }
      return try activated(steps, activation, constants)
    },
    // Channels last in the data; in the weight as well for NhwcConv, and not for NhwcFusedConv.
    "NhwcConv": { view throws(Failure) in
      guard let convolution = try LinearRules.convolution(&view), let orders = QuantizedRules.orders(view) else {
        return .unsupported("its rank is not declared")
      }
      var list = StepList()
      let x = list.add(.layout(.transpose(orders.toFirst)), .operand(0))
      let weight = list.add(.layout(.transpose(orders.toFirst)), .operand(1))
      let y = list.add(convolution, x, weight, view.operand(2) == nil ? .absent : .operand(2))
      return list.giving(list.add(.layout(.transpose(orders.toLast)), y))
    },
    "NhwcFusedConv": { view throws(Failure) in
      let activation = try view.string("activation", default: "")
      let constants = try view.floats("activation_params") ?? []
      guard let convolution = try LinearRules.convolution(&view), let orders = QuantizedRules.orders(view) else {
        return .unsupported("its rank is not declared")
      }
      var list = StepList()
      let x = list.add(.layout(.transpose(orders.toFirst)), .operand(0))
      let y = list.add(convolution, x, .operand(1), view.operand(2) == nil ? .absent : .operand(2))
      let last = list.add(.layout(.transpose(orders.toLast)), y)
      if view.operand(3) != nil { _ = list.add(.binary(.add), last, .operand(3)) }
      return try activated(list.steps, activation, constants)
    },
    "NhwcMaxPool": { view throws(Failure) in
      guard let pool = try LinearRules.pool("MaxPool", &view), let orders = QuantizedRules.orders(view) else { return .unsupported("its rank is not declared") }
      return .steps([
        .init(.layout(.transpose(orders.toFirst)), [.operand(0)]), .init(pool, [.step(0)]), .init(.layout(.transpose(orders.toLast)), [.step(1)]),
      ])
    },
    "GroupNorm": { view throws(Failure) in
      var list = StepList()
      return list.giving(try groupNorm(&view, &list, .operand(0), rank: view.type(at: 0)?.shape?.rank ?? 4))
    },
    // The second result is the sum.
    "SkipGroupNorm": { view throws(Failure) in
      let rank = view.type(at: 0)?.shape?.rank ?? 4
      guard rank >= 3 else { return .unsupported("an input of rank \(rank)") }
      let isLast = try view.flag("channels_last", default: true)
      // One number for each channel, and of a sample.
      let besides = try Tensor.vector(isLast ? Array(1..<rank - 1) : Array(2..<rank))
      var list = StepList()
      var skip = StepList.Operand.operand(3)
      if view.type(at: 3)?.shape?.rank == 2 { skip = list.add(.layout(.unsqueeze), skip, .constant(besides)) }
      var sum = list.add(.binary(.add), .operand(0), skip)
      if view.operand(4) != nil {
        let bias = isLast ? .operand(4) : list.add(.layout(.unsqueeze), .operand(4), .constant(try Tensor.vector(Array(1..<rank - 1))))
        sum = list.add(.binary(.add), sum, bias)
      }
      let y = try groupNorm(&view, &list, sum, rank: rank)
      return list.giving(y, sum)
    },
  ]

  /// The normalization in the standard's layout, and SiLU where it is asked for.
  private static func groupNorm(_ view: inout NodeView, _ list: inout StepList, _ x: StepList.Operand, rank: Int) throws(Failure) -> StepList.Operand {
    guard let groups = try view.int("groups"), groups > 0, rank >= 3 else { throw view.bad("groups", "is missing or not positive") }
    let epsilon = try view.float("epsilon", default: 1e-5)
    let activated = try view.flag("activation")
    let isLast = try view.flag("channels_last", default: true)
    var x = x
    if isLast { x = list.add(.layout(.transpose([0, rank - 1] + (1..<rank - 1))), x) }
    // Scale and bias may be of another type than the data, which they follow.
    var parts: [StepList.Operand] = [.operand(1), .operand(2)]
    if let element = view.type(at: 0)?.element, let own = view.type(at: 1)?.element, own != element {
      parts = parts.map { list.add(.cast(to: element), $0) }
    }
    x = list.add(.normalization(.group(groups: groups, epsilon: epsilon)), [x] + parts)
    if isLast { x = list.add(.layout(.transpose([0] + (2..<rank) + [1])), x) }
    if activated { x = list.add(.unary(.swish(alpha: 1)), x) }
    return x
  }

  /// The steps with an activation behind them, by its name and constants.
  private static func activated(_ steps: [Translation.Step], _ name: String, _ constants: [Float]) throws(Failure) -> Translation {
    func constant(_ index: Int, _ standard: Float) -> Float { index < constants.count ? constants[index] : standard }
    let last = Translation.Step.Operand.step(steps.count - 1)
    let op: Op
    switch name {
    case "", "None": return .steps(steps)
    case "Relu": op = .unary(.relu)
    case "Sigmoid": op = .unary(.sigmoid)
    case "Tanh": op = .unary(.tanh)
    case "Softplus": op = .unary(.softplus)
    case "Softsign": op = .unary(.softsign)
    case "HardSwish": op = .unary(.hardSwish)
    case "LeakyRelu": op = .unary(.leakyRelu(alpha: constant(0, 0.01)))
    case "Elu": op = .unary(.elu(alpha: constant(0, 1)))
    case "HardSigmoid": op = .unary(.hardSigmoid(alpha: constant(0, 0.2), beta: constant(1, 0.5)))
    case "Clip":
      let bounds = [constant(0, -.greatestFiniteMagnitude), constant(1, .greatestFiniteMagnitude)]
      var operands = [last]
      for bound in bounds { operands.append(.constant(try Tensor(float32: [bound], dims: []))) }
      return .steps(steps + [.init(.clip, operands)])
    default: return .unsupported("the activation '\(name)'")
    }
    return .steps(steps + [.init(op, [last])])
  }
}
