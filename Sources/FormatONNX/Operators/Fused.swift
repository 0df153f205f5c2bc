internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Operators of com.microsoft that an optimizer made of several: read as those.
enum FusedRules {
  static let microsoft: [String: ReadingRule] = [
    // Twins of the standard's operators.
    "GridSample": { view throws(Failure) in
      guard let rule = CatalogueRules.rules(domain: "")["GridSample"] else { return .unsupported("no meaning is known for it") }
      return try rule(&view)
    },
    "Trilu": { view throws(Failure) in .op(.indexing(.trilu(upper: try view.flag("upper", default: true))), of: view) },
    "GatherND": { view throws(Failure) in .op(.indexing(.gatherND(batchDims: 0)), of: view) },
    "BiasAdd": { view throws(Failure) in
      .steps([.init(.binary(.add), [.operand(0), .operand(1)]), .init(.binary(.add), [.step(0), .operand(2)])])
    },
    // The first half of the channels times GELU of the second.
    "BiasSplitGelu": { view throws(Failure) in
      let shape = view.type(at: 1)?.shape ?? view.type(at: 0)?.shape
      guard let width = view.constant(at: 1)?.count ?? shape?.dims.last?.value, width % 2 == 0 else { return .unsupported("its channels are not declared") }
      let half = width / 2
      let axis = Translation.Step.Operand.constant(try Tensor.vector([-1]))
      func part(_ from: Int, _ to: Int) throws(Failure) -> Translation.Step {
        .init(.layout(.slice), [.step(0), .constant(try Tensor.vector([from])), .constant(try Tensor.vector([to])), axis])
      }
      return .steps([
        .init(.binary(.add), [.operand(0), .operand(1)]), try part(0, half), try part(half, width), .init(.unary(.gelu(.exact)), [.step(2)]),
        .init(.binary(.multiply), [.step(1), .step(3)]),
      ])
    },
    "FusedGemm": { view throws(Failure) in
      let (alpha, beta) = (try view.float("alpha", default: 1), try view.float("beta", default: 1))
      let (transposeA, transposeB) = (try view.flag("transA"), try view.flag("transB"))
      let constants = [try view.float("activation_alpha"), try view.float("activation_beta"), try view.float("activation_gamma")].compactMap { $0 }
      let gemm = Op.matrix(.gemm(alpha: alpha, beta: beta, transposeA: transposeA, transposeB: transposeB))
      return try activated([.init(gemm, view.operands.indices.map { .operand($0) })], try view.string("activation", default: ""), constants)
    },
    "FusedConv": { view throws(Failure) in
      let activation = try view.string("activation", default: "")
      let constants = try view.floats("activation_params") ?? []
      guard let convolution = try LinearRules.convolution(&view) else { return .unsupported("its rank is not declared") }
      var steps: [Translation.Step] = [.init(convolution, [.operand(0), .operand(1), view.operand(2) == nil ? .absent : .operand(2)])]
      if view.operand(3) != nil { steps.append(.init(.binary(.add), [.step(0), .operand(3)])) }
      return try activated(steps, activation, constants)
    },
    "NhwcConv": { view throws(Failure) in
      guard let convolution = try LinearRules.convolution(&view), let orders = QuantizedRules.orders(view) else {
        return .unsupported("its rank is not declared")
      }
      return .steps([
        .init(.layout(.transpose(orders.toFirst)), [.operand(0)]),
        .init(convolution, [.step(0), .operand(1), view.operand(2) == nil ? .absent : .operand(2)]),
        .init(.layout(.transpose(orders.toLast)), [.step(1)]),
      ])
    },
    "NhwcMaxPool": { view throws(Failure) in
      guard let pool = try LinearRules.pool("MaxPool", &view), let orders = QuantizedRules.orders(view) else { return .unsupported("its rank is not declared") }
      return .steps([
        .init(.layout(.transpose(orders.toFirst)), [.operand(0)]), .init(pool, [.step(0)]), .init(.layout(.transpose(orders.toLast)), [.step(1)]),
      ])
    },
    "GroupNorm": { view throws(Failure) in
      .steps(try groupNorm(&view, of: [], .operand(0), rank: view.type(at: 0)?.shape?.rank ?? 4))
    },
    "SkipGroupNorm": { view throws(Failure) in
      if view.wants(1) { return .unsupported("its sum is read") }
      let rank = view.type(at: 0)?.shape?.rank ?? 4
      var skip = Translation.Step.Operand.operand(3)
      var steps: [Translation.Step] = []
      if view.type(at: 3)?.shape?.rank == 2 {
        // One number for each channel of a sample.
        steps.append(.init(.layout(.unsqueeze), [skip, .constant(try Tensor.vector(Array(1..<rank - 1)))]))
        skip = .step(0)
      }
      steps.append(.init(.binary(.add), [.operand(0), skip]))
      if view.operand(4) != nil { steps.append(.init(.binary(.add), [.step(steps.count - 1), .operand(4)])) }
      return .steps(try groupNorm(&view, of: steps, .step(steps.count - 1), rank: rank))
    },
  ]

  /// The normalization in the standard's layout, and SiLU where it is asked for.
  private static func groupNorm(_ view: inout NodeView, of before: [Translation.Step], _ x: Translation.Step.Operand, rank: Int) throws(Failure)
    -> [Translation.Step]
  {
    guard let groups = try view.int("groups"), groups > 0, rank >= 3 else { throw view.bad("groups", "is missing or not positive") }
    let epsilon = try view.float("epsilon", default: 1e-5)
    let activated = try view.flag("activation")
    let last = try view.flag("channels_last", default: true)
    var steps = before
    var x = x
    func add(_ op: Op, _ operands: [Translation.Step.Operand]) {
      steps.append(.init(op, operands))
      x = .step(steps.count - 1)
    }
    if last { add(.layout(.transpose([0, rank - 1] + (1..<rank - 1))), [x]) }
    add(.normalization(.group(groups: groups, epsilon: epsilon)), [x, .operand(1), .operand(2)])
    if last { add(.layout(.transpose([0] + (2..<rank) + [1])), [x]) }
    if activated { add(.unary(.swish(alpha: 1)), [x]) }
    return steps
  }

  /// The steps with an activation behind them, by its name and constants.
  private static func activated(_ steps: [Translation.Step], _ name: String, _ constants: [Float]) throws(Failure) -> Translation {
    func constant(_ index: Int, _ standard: Float) -> Float { index < constants.count ? constants[index] : standard }
    let last = Translation.Step.Operand.step(steps.count - 1)
    let op: Op
    switch name {
    case "": return .steps(steps)
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
