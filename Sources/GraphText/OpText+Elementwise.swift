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
    case .abs, .neg, .ceil, .floor, .round, .sqrt, .reciprocal, .exp, .log, .sin, .cos, .tan, .tanh, .sigmoid, .erf, .relu, .sign, .not, .softplus, .softsign,
      .mish, .identity, .hardSwish, .isNaN:
      mnemonic = "unary"
    }
  }
}

extension OpReading {
  static func elementwise(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    switch mnemonic {
    case "hard_sigmoid": .unary(.hardSigmoid(alpha: try attributes.float("alpha", default: 0.2), beta: try attributes.float("beta", default: 0.5)))
    case "leaky_relu": .unary(.leakyRelu(alpha: try attributes.float("alpha", default: 0.01)))
    case "elu": .unary(.elu(alpha: try attributes.float("alpha", default: 1)))
    case "selu": .unary(.selu(alpha: try attributes.float("alpha", default: 1.6732632), gamma: try attributes.float("gamma", default: 1.050701)))
    case "gelu": .unary(.gelu(try attributes.choice("approximate", [("none", .exact), ("tanh", .tanh)])))
    case "swish": .unary(.swish(alpha: try attributes.float("alpha", default: 1)))
    case "cast": .cast(to: try elementType("to", &attributes))
    default: nil
    }
  }
}
