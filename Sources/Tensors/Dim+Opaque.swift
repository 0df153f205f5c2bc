/// What a term of a `Dim` multiplies: a symbol, or an expression that no polynomial says. Known by its name alone.
struct DimFactor: Hashable, Comparable, Sendable {
  indirect enum Meaning: Sendable {
    case symbol
    /// `floor(a / b)`
    case quotient(Dim, Dim)
    case maximum(Dim, Dim)
    /// The size that two axes of broadcast operands share: the other one where one is 1.
    case broadcast(Dim, Dim)
  }
  let name: String
  let meaning: Meaning

  init(symbol: String) {
    name = symbol
    meaning = .symbol
  }
  init(_ name: String, _ meaning: Meaning) {
    self.name = name
    self.meaning = meaning
  }

  var symbols: Set<String> {
    switch meaning {
    case .symbol: [name]
    case .quotient(let a, let b), .maximum(let a, let b), .broadcast(let a, let b): a.symbols.union(b.symbols)
    }
  }

  /// A number that the factor never falls below.
  var lowerBound: Int? {
    switch meaning {
    case .symbol: 1
    case .quotient(let a, let b):
      if let low = a.lowerBound, low >= 0, let divisor = b.value, divisor > 0 { low / divisor } else { nil }
    case .maximum(let a, let b), .broadcast(let a, let b): [a.lowerBound, b.lowerBound].compactMap { $0 }.max()
    }
  }

  func substituting(_ values: [String: Int]) -> Dim? {
    switch meaning {
    case .symbol: values[name].map { Dim($0) } ?? Dim(factor: self)
    case .quotient(let a, let b): a.substituting(values).flatMap { a in b.substituting(values).flatMap { a.floorDivided(by: $0) } }
    case .maximum(let a, let b): a.substituting(values).flatMap { a in b.substituting(values).flatMap { a.maximum($0) } }
    case .broadcast(let a, let b): a.substituting(values).flatMap { a in b.substituting(values).flatMap { a.broadcast(with: $0) } }
    }
  }

  static func == (a: DimFactor, b: DimFactor) -> Bool { a.name == b.name }
  static func < (a: DimFactor, b: DimFactor) -> Bool { a.name < b.name }
  func hash(into hasher: inout Hasher) { hasher.combine(name) }
}

/// Arithmetic whose result may be opaque.
extension Dim {
  private static func opaque(_ name: String, _ meaning: DimFactor.Meaning) -> Dim? {
    name.utf8.count <= nameLimit ? Dim(factor: DimFactor(name, meaning)) : nil
  }

  /// `floor(self / divisor)`; nil for division by zero and on overflow. Multiples of the divisor are taken out first.
  public func floorDivided(by divisor: Dim) -> Dim? {
    if divisor.value == 0 { return nil }
    if let exact = dividedExactly(by: divisor) { return exact }
    guard let b = divisor.value else { return Dim.opaque("floor((\(self))/(\(divisor)))", .quotient(self, divisor)) }
    if let a = value {
      guard !(a == .min && b == -1) else { return nil }
      let quotient = a / b
      return Dim(a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient)
    }
    guard b > 0 else { return negated.flatMap { a in divisor.negated.flatMap { a.floorDivided(by: $0) } } }
    var whole: [Monomial: Int] = [:]
    var rest: [Monomial: Int] = [:]
    for (monomial, coefficient) in terms {
      let remainder = coefficient % b
      if remainder == 0 {
        whole[monomial] = coefficient / b
      } else if monomial.isEmpty {
        let positive = remainder < 0 ? remainder + b : remainder
        rest[monomial] = positive
        whole[monomial] = (coefficient - remainder) / b - (remainder < 0 ? 1 : 0)
      } else {
        rest[monomial] = coefficient
      }
    }
    let numerator = Dim(terms: rest)
    if let small = numerator.value { return Dim(terms: whole).adding(Dim(small / b)) }
    return Dim.opaque("floor((\(numerator))/\(b))", .quotient(numerator, divisor)).flatMap { Dim(terms: whole).adding($0) }
  }

  /// `ceil(self / divisor)`.
  public func ceilDivided(by divisor: Dim) -> Dim? { negated?.floorDivided(by: divisor)?.negated }

  public func maximum(_ other: Dim) -> Dim? {
    if let a = value, let b = other.value { return Dim(max(a, b)) }
    guard let difference = subtracting(other) else { return nil }
    if let low = difference.lowerBound, low >= 0 { return self }
    if let high = difference.upperBound, high <= 0 { return other }
    let names = [description, other.description]
    let (first, second) = names[0] <= names[1] ? (self, other) : (other, self)
    return Dim.opaque("max(\(first),\(second))", .maximum(first, second))
  }

  /// By `a + b - max(a, b)`.
  public func minimum(_ other: Dim) -> Dim? {
    if let a = value, let b = other.value { return Dim(min(a, b)) }
    guard let greater = maximum(other) else { return nil }
    if greater == self { return other }
    if greater == other { return self }
    return adding(other)?.subtracting(greater)
  }

  /// The size of an axis when these two are broadcast to each other; nil when they cannot be. Two different
  /// expressions give an opaque size; a number other than 1 wins over an expression, since nothing else would fit it.
  public func broadcast(with other: Dim) -> Dim? {
    if self == other || other.value == 1 { return self }
    if value == 1 { return other }
    switch (value, other.value) {
    case (.some, .some): return nil
    case (.some, nil): return self
    case (nil, .some): return other
    case (nil, nil):
      let names = [description, other.description]
      let (first, second) = names[0] <= names[1] ? (self, other) : (other, self)
      return Dim.opaque("broadcast(\(first),\(second))", .broadcast(first, second))
    }
  }

  /// A number that the dimension never falls below, when one can be told.
  public var lowerBound: Int? {
    if let value { return value }
    var bound = 0
    for (monomial, coefficient) in terms {
      var low = coefficient
      if !monomial.isEmpty {
        guard coefficient > 0 else { return nil }
        for factor in monomial {
          guard let factorLow = factor.lowerBound, factorLow >= 0 else { return nil }
          let (product, overflow) = low.multipliedReportingOverflow(by: factorLow)
          if overflow { return nil }
          low = product
        }
      }
      let (sum, overflow) = bound.addingReportingOverflow(low)
      if overflow { return nil }
      bound = sum
    }
    return bound
  }

  public var upperBound: Int? { negated?.lowerBound.flatMap { $0 == .min ? nil : -$0 } }

  /// The value with symbols replaced; symbols without a value stay. nil on overflow, or where a broadcast cannot be.
  public func substituting(_ values: [String: Int]) -> Dim? {
    if value != nil { return self }
    var sum = Dim(0)
    for (monomial, coefficient) in terms {
      var product = Dim(coefficient)
      for factor in monomial {
        guard let size = factor.substituting(values), let next = product.multiplied(by: size) else { return nil }
        product = next
      }
      guard let next = sum.adding(product) else { return nil }
      sum = next
    }
    return sum
  }
}
