public import Diagnostics
public import GraphIR
internal import Glibc
public import Tensors

extension RandomOp: Operator {
  public var mnemonic: String {
    switch kind {
    case .uniform: shape == nil ? "RandomUniformLike" : "RandomUniform"
    case .normal: shape == nil ? "RandomNormalLike" : "RandomNormal"
    case .bernoulli: "Bernoulli"
    case .multinomial: "Multinomial"
    case .dropout: "Dropout"
    }
  }
  public var domain: String { "" }
  public var arity: Arity {
    switch kind {
    case .uniform, .normal: shape == nil ? Arity(1...1) : Arity(0...0)
    case .bernoulli, .multinomial: Arity(1...1)
    case .dropout: Arity(1...3, results: 1...2)
    }
  }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    switch kind {
    case .uniform, .normal:
      if let shape {
        guard shape.allSatisfy({ $0 >= 0 }) else { throw mismatch("a shape of \(shape)") }
        return [Fact(TensorType(try made(nil), Shape(shape)))]
      }
      let x = try operands.required(0).type
      return [Fact(TensorType(try made(x.element), x.shape))]
    case .bernoulli:
      let x = try operands.required(0).type
      try checkFloat(x.element)
      return [Fact(TensorType(element ?? x.element, x.shape))]
    case .multinomial(let samples):
      let x = try operands.required(0).type
      try checkFloat(x.element)
      guard samples >= 0 else { throw mismatch("\(samples) samples") }
      if let shape = x.shape { try checkRank(shape, 2...2, "the input") }
      return [Fact(TensorType(element ?? .int32, Shape([x.shape?[0] ?? .unknown, Dim(samples)])))]
    case .dropout:
      let x = try operands.required(0).type
      try checkFloat(x.element)
      for index in 1...2 {
        guard let own = operands.fact(index)?.type.shape else { continue }
        guard own.elementCount?.agrees(with: 1) ?? false else { throw mismatch("operand \(index) of shape \(own)") }
      }
      if let mode = operands.fact(2)?.type.element, mode != .bool { throw Failure(.typeMismatch, "Dropout has a training mode of \(mode.name)") }
      return [Fact(x), Fact(TensorType(.bool, x.shape))].prefix(resultCount).map { $0 }
    }
  }

  private func made(_ given: ElementType?) throws(Failure) -> ElementType {
    let type = element ?? given ?? .float32
    try checkFloat(type)
    return type
  }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(elementwise: results.first?.elementCount ?? 0) }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let types = try resultTypes(operands, resultCount)
    let (element, dims) = types[0]
    let count = dims.reduce(1, *)
    var generator = MersenneTwister(seed: seed)
    switch kind {
    case .uniform(let low, let high):
      return [try Tensor(element, dims: dims, reals: (0..<count).map { _ in Double(low) + (Double(high) - Double(low)) * generator.uniform() })]
    case .normal(let mean, let deviation):
      return [try Tensor(element, dims: dims, reals: (0..<count).map { _ in Double(mean) + Double(deviation) * generator.normal() })]
    case .bernoulli:
      let drawn = try operands.required(0).reals(for: mnemonic).map { generator.uniform() < $0 ? 1.0 : 0 }
      return [try Tensor(element, dims: dims, reals: drawn)]
    case .multinomial:
      let x = try operands.required(0)
      let weights = AxisRows(x.dims, axis: 1).map(try x.reals(for: mnemonic)) { softmaxRow($0) }
      let classes = x.dims[1]
      guard classes > 0 || count == 0 else { throw mismatch("no classes to draw from") }
      var drawn: [Int] = []
      for place in 0..<count {
        let start = place / dims[1] * classes
        var rest = generator.uniform()
        var index = 0
        while index < classes - 1, rest >= weights[start + index] {
          rest -= weights[start + index]
          index += 1
        }
        drawn.append(index)
      }
      return [try Tensor(element, dims: dims, wholes: drawn)]
    case .dropout:
      let x = try operands.required(0)
      let ratio = try operands.tensor(1)?.reals(for: mnemonic).first ?? 0.5
      let trains = operands.tensor(2)?.truths().first ?? false
      guard 0..<1 ~= ratio || !trains else { throw mismatch("a ratio of \(ratio)") }
      guard trains, ratio > 0 else {
        return [x, try Tensor(dims: dims, truths: [Bool](repeating: true, count: count))].prefix(resultCount).map { $0 }
      }
      let mask = (0..<count).map { _ in generator.uniform() >= ratio }
      let scale = 1 / (1 - ratio)
      let kept = zip(try x.reals(for: mnemonic), mask).map { $1 ? $0 * scale : 0 }
      return [try Tensor(element, dims: dims, reals: kept), try Tensor(dims: dims, truths: mask)].prefix(resultCount).map { $0 }
    }
  }
}

/// MT19937 of Matsumoto and Nishimura (ACM TOMACS 8, 1998), with the seeding and the distributions of NumPy's
/// `RandomState`: the standard leaves the generator open, and its reference evaluator uses this one.
struct MersenneTwister {
  private var state: [UInt32]
  private var position = 624
  private var spare: Double?

  init(seed: Float) {
    var last = UInt32(truncatingIfNeeded: Int(exactly: seed.rounded(.towardZero)) ?? Int(seed.bitPattern))
    state = [last]
    for index in 1..<624 {
      last = 1_812_433_253 &* (last ^ (last >> 30)) &+ UInt32(index)
      state.append(last)
    }
  }

  private mutating func next() -> UInt32 {
    if position == 624 {
      for index in 0..<624 {
        let mixed = (state[index] & 0x8000_0000) | (state[(index + 1) % 624] & 0x7FFF_FFFF)
        state[index] = state[(index + 397) % 624] ^ (mixed >> 1) ^ (mixed & 1 == 0 ? 0 : 0x9908_B0DF)
      }
      position = 0
    }
    var number = state[position]
    position += 1
    number ^= number >> 11
    number ^= (number << 7) & 0x9D2C_5680
    number ^= (number << 15) & 0xEFC6_0000
    return number ^ (number >> 18)
  }

  /// From 0 to below 1, with 53 bits.
  mutating func uniform() -> Double {
    let (high, low) = (next() >> 5, next() >> 6)
    return (Double(high) * 67_108_864 + Double(low)) / 9_007_199_254_740_992
  }

  /// Of mean 0 and variance 1, by the polar method.
  mutating func normal() -> Double {
    if let spare {
      self.spare = nil
      return spare
    }
    while true {
      let (x, y) = (2 * uniform() - 1, 2 * uniform() - 1)
      let square = x * x + y * y
      guard square < 1, square != 0 else { continue }
      let factor = (-2 * log(square) / square).squareRoot()
      spare = factor * x
      return factor * y
    }
  }
}
