/// One dimension: a number, or a polynomial in symbols with integer coefficients (`batch`, `4*batch`, `h*w + 1`).
///
/// Arithmetic is exact; what a polynomial cannot say (a quotient that does not come out even, a maximum) becomes an
/// opaque symbol named after the expression, so that equal expressions stay equal. Overflow gives nil.
public struct Dim: Hashable, Sendable, CustomStringConvertible {
  /// A product of symbols, sorted; empty for the constant term.
  typealias Monomial = [String]

  private enum Form: Hashable {
    case known(Int)
    /// Sorted by monomial, no zero coefficients, never only a constant.
    case polynomial([Term])
  }
  struct Term: Hashable {
    var monomial: Monomial
    var coefficient: Int
  }
  private let form: Form

  public init(_ value: Int) { form = .known(value) }
  public init(symbol: String) { form = .polynomial([Term(monomial: [symbol], coefficient: 1)]) }
  private init(terms: [Monomial: Int]) {
    let kept = terms.filter { $0.value != 0 }
    if kept.isEmpty {
      form = .known(0)
    } else if kept.count == 1, let constant = kept[[]] {
      form = .known(constant)
    } else {
      form = .polynomial(kept.map { Term(monomial: $0.key, coefficient: $0.value) }.sorted { $0.monomial.lexicographicallyPrecedes($1.monomial) })
    }
  }

  /// The number, when there is nothing symbolic in it.
  public var value: Int? { if case .known(let value) = form { value } else { nil } }

  /// The terms of the sum, constant term first: for printing and for reading back.
  package var polynomial: [(coefficient: Int, symbols: [String])] {
    switch form {
    case .known(let value): [(value, [])]
    case .polynomial(let terms): terms.map { ($0.coefficient, $0.monomial) }
    }
  }

  /// The symbols that occur.
  public var symbols: Set<String> {
    guard case .polynomial(let terms) = form else { return [] }
    return Set(terms.flatMap(\.monomial))
  }

  private var terms: [Monomial: Int] {
    switch form {
    case .known(let value): value == 0 ? [:] : [[]: value]
    case .polynomial(let terms): Dictionary(uniqueKeysWithValues: terms.map { ($0.monomial, $0.coefficient) })
    }
  }

  public func adding(_ other: Dim) -> Dim? {
    if let a = value, let b = other.value {
      let (sum, overflow) = a.addingReportingOverflow(b)
      return overflow ? nil : Dim(sum)
    }
    var result = terms
    for (monomial, coefficient) in other.terms {
      let (sum, overflow) = (result[monomial] ?? 0).addingReportingOverflow(coefficient)
      if overflow { return nil }
      result[monomial] = sum
    }
    return Dim(terms: result)
  }

  public func multiplied(by other: Dim) -> Dim? {
    if let a = value, let b = other.value {
      let (product, overflow) = a.multipliedReportingOverflow(by: b)
      return overflow ? nil : Dim(product)
    }
    var result: [Monomial: Int] = [:]
    for (m1, c1) in terms {
      for (m2, c2) in other.terms {
        let (product, overflow) = c1.multipliedReportingOverflow(by: c2)
        if overflow { return nil }
        let monomial = (m1 + m2).sorted()
        let (sum, overflow2) = (result[monomial] ?? 0).addingReportingOverflow(product)
        if overflow2 { return nil }
        result[monomial] = sum
      }
    }
    return Dim(terms: result)
  }

  public var negated: Dim? { multiplied(by: Dim(-1)) }
  public func subtracting(_ other: Dim) -> Dim? { other.negated.flatMap { adding($0) } }

  /// The quotient when it comes out even for every value of the symbols, else nil.
  public func dividedExactly(by divisor: Dim) -> Dim? {
    if let a = value, let b = divisor.value {
      guard b != 0, !(a == .min && b == -1), a % b == 0 else { return nil }
      return Dim(a / b)
    }
    if self == divisor { return Dim(1) }
    let divisorTerms = divisor.terms
    guard divisorTerms.count == 1, let (monomial, coefficient) = divisorTerms.first, coefficient != 0 else { return nil }
    var result: [Monomial: Int] = [:]
    for (m, c) in terms {
      guard !(c == .min && coefficient == -1), c % coefficient == 0 else { return nil }
      var rest = m
      for symbol in monomial {
        guard let index = rest.firstIndex(of: symbol) else { return nil }
        rest.remove(at: index)
      }
      result[rest] = c / coefficient
    }
    return Dim(terms: result)
  }

  /// `floor(self / divisor)`, opaque when it is not exact and not known; nil for division by zero.
  public func floorDivided(by divisor: Dim) -> Dim? {
    if divisor.value == 0 { return nil }
    if let exact = dividedExactly(by: divisor) { return exact }
    if let a = value, let b = divisor.value {
      guard !(a == .min && b == -1) else { return nil }
      let quotient = a / b
      return Dim(a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient)
    }
    return Dim(symbol: "floor((\(self))/(\(divisor)))")
  }

  /// The value with symbols replaced; symbols without a value stay.
  public func substituting(_ values: [String: Int]) -> Dim? {
    guard case .polynomial(let terms) = form else { return self }
    var sum = Dim(0)
    for term in terms {
      var product = Dim(term.coefficient)
      for symbol in term.monomial {
        guard let next = product.multiplied(by: values[symbol].map { Dim($0) } ?? Dim(symbol: symbol)) else { return nil }
        product = next
      }
      guard let next = sum.adding(product) else { return nil }
      sum = next
    }
    return sum
  }

  public var description: String {
    guard case .polynomial(let terms) = form else { return value.map(String.init) ?? "?" }
    return terms.reversed().map { term in
      if term.monomial.isEmpty { return String(term.coefficient) }
      let symbols = term.monomial.joined(separator: "*")
      return term.coefficient == 1 ? symbols : "\(term.coefficient)*\(symbols)"
    }.joined(separator: "+").replacing("+-", with: "-")
  }
}

extension Dim: ExpressibleByIntegerLiteral {
  public init(integerLiteral value: Int) { self.init(value) }
}
