internal import Diagnostics
internal import GraphIR
internal import Tensors

extension OpSpelling {
  mutating func spell(_ random: RandomOp) {
    switch random.kind {
    case .uniform(let low, let high):
      mnemonic = "random_uniform"
      number("low", low, unless: 0)
      number("high", high, unless: 1)
    case .normal(let mean, let deviation):
      mnemonic = "random_normal"
      number("mean", mean, unless: 0)
      number("deviation", deviation, unless: 1)
    case .bernoulli: mnemonic = "bernoulli"
    case .multinomial(let samples):
      mnemonic = "multinomial"
      integer("samples", samples)
    case .dropout: mnemonic = "dropout"
    }
    if let shape = random.shape { put("shape", .integers(shape)) }
    if let element = random.element { put("type", .word(TypeText.spelled(element))) }
    number("seed", random.seed)
  }
}

extension OpReading {
  static func random(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    let kind: RandomOp.Kind
    switch mnemonic {
    case "random_uniform": kind = .uniform(low: try attributes.float("low", default: 0), high: try attributes.float("high", default: 1))
    case "random_normal": kind = .normal(mean: try attributes.float("mean", default: 0), deviation: try attributes.float("deviation", default: 1))
    case "bernoulli": kind = .bernoulli
    case "multinomial": kind = .multinomial(samples: try attributes.int("samples"))
    case "dropout": kind = .dropout
    default: return nil
    }
    return .random(
      RandomOp(
        kind, shape: try attributes.optionalIntegers("shape"), element: try optionalElementType("type", &attributes), seed: try attributes.float("seed")))
  }
}
