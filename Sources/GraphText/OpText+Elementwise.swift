internal import Diagnostics
internal import GraphIR
internal import Tensors

extension OpSpelling {
  mutating func spell(_ unary: UnaryOp) {
    switch unary {
    case .hardSigmoid(let alpha, let beta):
      mnemonic = "hard_sigmoid"
      number("alpha", alpha)
      number("beta", beta)
    case .leakyRelu(let alpha):
      mnemonic = "leaky_relu"
      number("alpha", alpha)
    case .elu(let alpha):
      mnemonic = "elu"
      number("alpha", alpha, unless: 1)
    case .selu(let alpha, let gamma):
      mnemonic = "selu"
      number("alpha", alpha)
      number("gamma", gamma)
    case .gelu(let form):
      mnemonic = "gelu"
      if form == .tanh { put("approximate", .word("tanh")) }
    case .swish(let alpha):
      mnemonic = "swish"
      number("alpha", alpha, unless: 1)
    case .celu(let alpha):
      mnemonic = "celu"
      number("alpha", alpha, unless: 1)
    case .thresholdedRelu(let alpha):
      mnemonic = "thresholded_relu"
      number("alpha", alpha, unless: 1)
    case .shrink(let bias, let threshold):
      mnemonic = "shrink"
      number("bias", bias, unless: 0)
      number("threshold", threshold, unless: 0.5)
    case .isInfinite(let negative, let positive):
      mnemonic = "is_inf"
      flag("negative", negative)
      flag("positive", positive)
    case .sinh, .cosh, .asin, .acos, .atan, .asinh, .acosh, .atanh, .bitwiseNot, .abs, .neg, .ceil, .floor, .round, .sqrt, .reciprocal, .exp, .log, .sin, .cos,
      .tan, .tanh, .sigmoid, .erf, .relu, .sign, .not, .softplus, .softsign,
      .mish, .identity, .hardSwish, .isNaN:
      mnemonic = "unary"
    }
  }

  mutating func spell(_ conversion: ConversionOp) {
    switch conversion {
    case .narrowing(let to, let rule):
      mnemonic = "narrowing_cast"
      put("to", .word(TypeText.spelled(to)))
      narrowing(rule)
    case .like(let rule):
      mnemonic = "cast_like"
      narrowing(rule)
    case .bits(let to):
      mnemonic = "bit_cast"
      put("to", .word(TypeText.spelled(to)))
    }
  }

  private mutating func narrowing(_ rule: NarrowingRule) {
    flag("unsaturated", !rule.saturates)
    choice("round", rule.rounding, OpSpelling.scaleRoundings)
  }
}

extension OpReading {
  private static func narrowing(_ attributes: inout AttributeReader) throws(Failure) -> NarrowingRule {
    NarrowingRule(saturates: try !attributes.flag("unsaturated"), rounding: try attributes.choice("round", OpSpelling.scaleRoundings))
  }

  static func elementwise(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    switch mnemonic {
    case "hard_sigmoid": .unary(.hardSigmoid(alpha: try attributes.float("alpha", default: 0.2), beta: try attributes.float("beta", default: 0.5)))
    case "leaky_relu": .unary(.leakyRelu(alpha: try attributes.float("alpha", default: 0.01)))
    case "elu": .unary(.elu(alpha: try attributes.float("alpha", default: 1)))
    case "selu": .unary(.selu(alpha: try attributes.float("alpha", default: 1.6732632), gamma: try attributes.float("gamma", default: 1.050701)))
    case "gelu": .unary(.gelu(try attributes.choice("approximate", [("none", .exact), ("tanh", .tanh)])))
    case "swish": .unary(.swish(alpha: try attributes.float("alpha", default: 1)))
    case "celu": .unary(.celu(alpha: try attributes.float("alpha", default: 1)))
    case "thresholded_relu": .unary(.thresholdedRelu(alpha: try attributes.float("alpha", default: 1)))
    case "shrink": .unary(.shrink(bias: try attributes.float("bias", default: 0), threshold: try attributes.float("threshold", default: 0.5)))
    case "is_inf": .unary(.isInfinite(negative: try attributes.flag("negative"), positive: try attributes.flag("positive")))
    case "narrowing_cast": .conversion(.narrowing(to: try elementType("to", &attributes), try narrowing(&attributes)))
    case "cast_like": .conversion(.like(try narrowing(&attributes)))
    case "bit_cast": .conversion(.bits(to: try elementType("to", &attributes)))
    case "cast": .cast(to: try elementType("to", &attributes))
    default: nil
    }
  }
}
