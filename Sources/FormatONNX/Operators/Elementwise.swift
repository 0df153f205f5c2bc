internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Element-wise operators of ONNX and com.microsoft.
enum ElementwiseRules {
  static let standard: [String: ReadingRule] = [
    "Abs": unary(.abs), "Neg": unary(.neg), "Ceil": unary(.ceil), "Floor": unary(.floor), "Round": unary(.round), "Sqrt": unary(.sqrt),
    "Reciprocal": unary(.reciprocal), "Exp": unary(.exp), "Log": unary(.log), "Sin": unary(.sin), "Cos": unary(.cos), "Tan": unary(.tan),
    "Tanh": unary(.tanh), "Sigmoid": unary(.sigmoid), "Erf": unary(.erf), "Relu": unary(.relu), "Sign": unary(.sign), "Not": unary(.not),
    "Softplus": unary(.softplus), "Softsign": unary(.softsign), "Mish": unary(.mish), "Identity": unary(.identity), "IsNaN": unary(.isNaN),
    "HardSwish": unary(.hardSwish), "Sinh": unary(.sinh), "Cosh": unary(.cosh), "Asin": unary(.asin), "Acos": unary(.acos), "Atan": unary(.atan),
    "Asinh": unary(.asinh), "Acosh": unary(.acosh), "Atanh": unary(.atanh), "BitwiseNot": unary(.bitwiseNot),
    "IsInf": { view throws(Failure) in
      let negative = try view.flag("detect_negative", default: true)
      return .op(.unary(.isInfinite(negative: negative, positive: try view.flag("detect_positive", default: true))), of: view)
    },
    "Celu": { view throws(Failure) in .op(.unary(.celu(alpha: try view.float("alpha", default: 1))), of: view) },
    "ThresholdedRelu": { view throws(Failure) in .op(.unary(.thresholdedRelu(alpha: try view.float("alpha", default: 1))), of: view) },
    "Shrink": { view throws(Failure) in
      let bias = try view.float("bias", default: 0)
      return .op(.unary(.shrink(bias: bias, threshold: try view.float("lambd", default: 0.5))), of: view)
    },
    "HardSigmoid": { view throws(Failure) in
      view.ignore("consumed_inputs")
      return .op(.unary(.hardSigmoid(alpha: try view.float("alpha", default: 0.2), beta: try view.float("beta", default: 0.5))), of: view)
    },
    "LeakyRelu": { view throws(Failure) in
      view.ignore("consumed_inputs")
      return .op(.unary(.leakyRelu(alpha: try view.float("alpha", default: 0.01))), of: view)
    },
    "Elu": { view throws(Failure) in
      view.ignore("consumed_inputs")
      return .op(.unary(.elu(alpha: try view.float("alpha", default: 1))), of: view)
    },
    "Selu": { view throws(Failure) in
      view.ignore("consumed_inputs")
      // Before version 6 the defaults were rounded.
      let defaults: (Float, Float) = view.version < 6 ? (1.6732, 1.0507) : (1.67326319217681884765625, 1.05070102214813232421875)
      let alpha = try view.float("alpha", default: defaults.0)
      return .op(.unary(.selu(alpha: alpha, gamma: try view.float("gamma", default: defaults.1))), of: view)
    },
    "Gelu": { view throws(Failure) in
      switch try view.string("approximate", default: "none") {
      case "none": .op(.unary(.gelu(.exact)), of: view)
      case "tanh": .op(.unary(.gelu(.tanh)), of: view)
      default: throw view.bad("approximate", "is neither 'none' nor 'tanh'")
      }
    },
    "SwiGLU": { view throws(Failure) in
      let alpha = try view.float("alpha", default: 1)
      return .steps([.init(.unary(.swish(alpha: alpha)), [.operand(0)]), .init(.binary(.multiply), [.step(0), .operand(1)])])
    },
    "Swish": { view throws(Failure) in .op(.unary(.swish(alpha: try view.float("alpha", default: 1))), of: view) },
    "Add": binary(.add), "Sub": binary(.subtract), "Mul": binary(.multiply), "Div": binary(.divide), "Pow": binary(.power),
    "Equal": binary(.equal), "Less": binary(.less), "LessOrEqual": binary(.lessOrEqual), "Greater": binary(.greater),
    "GreaterOrEqual": binary(.greaterOrEqual), "And": binary(.and), "Or": binary(.or), "Xor": binary(.xor),
    "BitwiseAnd": binary(.bitwiseAnd), "BitwiseOr": binary(.bitwiseOr), "BitwiseXor": binary(.bitwiseXor),
    "BitShift": { view throws(Failure) in
      switch try view.string("direction") {
      case "LEFT": .op(.binary(.shiftLeft), of: view)
      case "RIGHT": .op(.binary(.shiftRight), of: view)
      default: throw view.bad("direction", "is neither 'LEFT' nor 'RIGHT'")
      }
    },
    "PRelu": { view throws(Failure) in
      view.ignore("consumed_inputs")
      guard view.version < 7 else { return .op(.binary(.prelu), of: view) }
      // Before version 7 a slope for each channel stood along the second axis.
      guard let slope = view.type(at: 1)?.shape else { return .unsupported("the slope's shape is not declared") }
      if slope.rank != 1 || slope[0].value == 1 { return .op(.binary(.prelu), of: view) }
      return try aligned(.prelu, at: 1, view)
    },
    "Mod": { view throws(Failure) in .op(.binary(.modulo(truncated: try view.flag("fmod"))), of: view) },
    "Min": chain(.minimum), "Max": chain(.maximum), "Sum": chain(.add), "Mean": mean,
    "Clip": clip,
    "Where": { view throws(Failure) in .op(.select, of: view) },
  ]

  static let microsoft: [String: ReadingRule] = [
    "Gelu": unary(.gelu(.exact)),
    "QuickGelu": { view throws(Failure) in .op(.unary(.swish(alpha: try view.float("alpha", default: 1.702))), of: view) },
    "FastGelu": { view throws(Failure) in
      guard view.operand(1) != nil else { return .op(.unary(.gelu(.tanh)), of: view, first: 1, then: []) }
      return .steps([
        .init(.binary(.add), [.operand(0), .operand(1)]),
        .init(.unary(.gelu(.tanh)), [.step(0)]),
      ])
    },
    "BiasGelu": binary(.biasGelu),
  ]

  private static func unary(_ op: UnaryOp) -> ReadingRule {
    { view throws(Failure) in
      view.ignore("consumed_inputs")
      return .op(.unary(op), of: view)
    }
  }

  /// Before version 7 operands broadcast on request, aligned to the right unless an axis says otherwise.
  private static func binary(_ op: BinaryOp) -> ReadingRule {
    { view throws(Failure) in
      view.ignore("consumed_inputs", "broadcast")
      guard view.version < 7, let axis = try view.int("axis") else { return .op(.binary(op), of: view) }
      return try aligned(op, at: axis, view)
    }
  }

  /// The second operand's axes stand at those of the first from `axis` on.
  private static func aligned(_ op: BinaryOp, at axis: Int, _ view: NodeView) throws(Failure) -> Translation {
    guard let rank = view.type(at: 0)?.shape?.rank, let own = view.type(at: 1)?.shape?.rank else {
      return .unsupported("broadcasting along an axis of operands whose ranks are not declared")
    }
    let first = axis < 0 ? axis + rank : axis
    guard first >= 0, own <= rank, first <= rank - own else { throw view.bad("axis", "does not fit the operands") }
    let behind = rank - own - first
    if behind == 0 { return .op(.binary(op), of: view) }
    return .steps([
      .init(.layout(.unsqueeze), [.operand(1), .constant(try Tensor.vector(Array(own..<own + behind)))]),
      .init(.binary(op), [.operand(0), .step(0)]),
    ])
  }

  /// An operator of any number of operands as operators of two.
  private static func chain(_ op: BinaryOp) -> ReadingRule {
    { view throws(Failure) in
      view.ignore("consumed_inputs")
      return .steps(try chained(op, view))
    }
  }

  private static func chained(_ op: BinaryOp, _ view: NodeView) throws(Failure) -> [Translation.Step] {
    guard view.operandCount > 0 else { throw Failure(.operandCount, "\(view.message.opType) without operands", at: .element(view.message.label)) }
    if view.operandCount == 1 { return [.init(.unary(.identity), [.operand(0)])] }
    var steps = [Translation.Step(.binary(op), [.operand(0), .operand(1)])]
    for index in 2..<max(view.operandCount, 2) { steps.append(.init(.binary(op), [.step(index - 2), .operand(index)])) }
    return steps
  }

  private static let mean: ReadingRule = { view throws(Failure) in
    view.ignore("consumed_inputs")
    var steps = try chained(.add, view)
    guard view.operandCount > 1 else { return .steps(steps) }
    let element = view.operands.compactMap { $0 }.compactMap(view.declaredType).first?.element
    guard let element, let divisor = Tensor.scalar(Double(view.operandCount), element) else {
      return .unsupported("the element type is not declared")
    }
    steps.append(.init(.binary(.divide), [.step(steps.count - 1), .constant(divisor)]))
    return .steps(steps)
  }

  /// Bounds were attributes before version 11.
  private static let clip: ReadingRule = { view throws(Failure) in
    view.ignore("consumed_inputs")
    guard view.version < 11 else { return .op(.clip, of: view) }
    let low = try view.float("min")
    let high = try view.float("max")
    let element = view.type(at: 0)?.element ?? .float32
    func bound(_ value: Float?) -> Tensor? { value.flatMap { Tensor.scalar(Double($0), element) } }
    guard element.isFloatingPoint, (low == nil) == (bound(low) == nil), (high == nil) == (bound(high) == nil) else {
      return .unsupported("bounds of type \(element.name)")
    }
    return .op(.clip, of: view, first: 1, then: [bound(low), bound(high)])
  }
}

extension SpellingRequest {
  func spelling(of op: UnaryOp) throws(Failure) -> OperatorSpelling {
    switch op {
    case .abs: try plain("Abs")
    case .neg: try plain("Neg")
    case .ceil: try plain("Ceil")
    case .floor: try plain("Floor")
    case .round: try plain("Round", since: 11)
    case .sqrt: try plain("Sqrt")
    case .reciprocal: try plain("Reciprocal")
    case .exp: try plain("Exp")
    case .log: try plain("Log")
    case .sin: try plain("Sin", since: 7)
    case .cos: try plain("Cos", since: 7)
    case .tan: try plain("Tan", since: 7)
    case .tanh: try plain("Tanh")
    case .sigmoid: try plain("Sigmoid")
    case .erf: try plain("Erf", since: 9)
    case .relu: try plain("Relu")
    case .sign: try plain("Sign", since: 9)
    case .not: try plain("Not")
    case .softplus: try plain("Softplus")
    case .softsign: try plain("Softsign")
    case .mish: try plain("Mish", since: 18)
    case .identity: try plain("Identity")
    case .isNaN: try plain("IsNaN", since: 9)
    case .isInfinite(let negative, let positive): try plain("IsInf", since: 10, [("detect_negative", negative.spelled), ("detect_positive", positive.spelled)])
    case .sinh: try plain("Sinh", since: 9)
    case .cosh: try plain("Cosh", since: 9)
    case .asin: try plain("Asin", since: 7)
    case .acos: try plain("Acos", since: 7)
    case .atan: try plain("Atan", since: 7)
    case .asinh: try plain("Asinh", since: 9)
    case .acosh: try plain("Acosh", since: 9)
    case .atanh: try plain("Atanh", since: 9)
    case .bitwiseNot: try plain("BitwiseNot", since: 18)
    case .celu(let alpha): try plain("Celu", since: 12, [("alpha", .float(alpha))])
    case .thresholdedRelu(let alpha): try plain("ThresholdedRelu", since: 10, [("alpha", .float(alpha))])
    case .shrink(let bias, let threshold): try plain("Shrink", since: 9, [("bias", .float(bias)), ("lambd", .float(threshold))])
    case .hardSwish: try plain("HardSwish", since: 14)
    case .hardSigmoid(let alpha, let beta): try plain("HardSigmoid", [("alpha", .float(alpha)), ("beta", .float(beta))])
    case .leakyRelu(let alpha): try plain("LeakyRelu", [("alpha", .float(alpha))])
    case .elu(let alpha): try plain("Elu", [("alpha", .float(alpha))])
    case .selu(let alpha, let gamma): try plain("Selu", [("alpha", .float(alpha)), ("gamma", .float(gamma))])
    case .gelu(let form): try plain("Gelu", since: 20, [("approximate", .string(form == .exact ? "none" : "tanh"))])
    case .swish(let alpha): version >= 24 ? try plain("Swish", [("alpha", .float(alpha))]) : contrib("QuickGelu", [("alpha", .float(alpha))])
    }
  }

  func spelling(of op: BinaryOp) throws(Failure) -> OperatorSpelling {
    switch op {
    // Before version 7 operands of unequal shape needed another spelling.
    case .add: try plain("Add", since: 7)
    case .subtract: try plain("Sub", since: 7)
    case .multiply: try plain("Mul", since: 7)
    case .divide: try plain("Div", since: 7)
    case .power: try plain("Pow", since: 7)
    case .modulo(let truncated): try plain("Mod", since: 10, [("fmod", truncated.spelled)])
    case .minimum: try plain("Min", since: 8)
    case .maximum: try plain("Max", since: 8)
    case .equal: try plain("Equal", since: 7)
    case .less: try plain("Less", since: 7)
    case .lessOrEqual: try plain("LessOrEqual", since: 12)
    case .greater: try plain("Greater", since: 7)
    case .greaterOrEqual: try plain("GreaterOrEqual", since: 12)
    case .and: try plain("And", since: 7)
    case .or: try plain("Or", since: 7)
    case .xor: try plain("Xor", since: 7)
    case .bitwiseAnd: try plain("BitwiseAnd", since: 18)
    case .bitwiseOr: try plain("BitwiseOr", since: 18)
    case .bitwiseXor: try plain("BitwiseXor", since: 18)
    case .shiftLeft: try plain("BitShift", since: 11, [("direction", .string("LEFT"))])
    case .shiftRight: try plain("BitShift", since: 11, [("direction", .string("RIGHT"))])
    case .prelu: try plain("PRelu", since: 7)
    case .biasGelu: contrib("BiasGelu")
    }
  }

  func clip() throws(Failure) -> OperatorSpelling {
    if version >= 11 { return try plain("Clip") }
    var attributes: [(name: String, value: OperatorSpelling.Attribute)] = []
    if let low = try constantScalar(at: 1, "a lower bound", until: 11) { attributes.append(("min", .float(low))) }
    if let high = try constantScalar(at: 2, "an upper bound", until: 11) { attributes.append(("max", .float(high))) }
    return OperatorSpelling("Clip", attributes, operands: [node.input(0)])
  }
}
