/// One dimension: a number, or a polynomial in symbols with integer coefficients (`batch`, `4*batch`, `h*w + 1`).
///
/// Arithmetic is exact; what a polynomial cannot say (a quotient that does not come out even, a maximum) becomes an
/// opaque factor named after the expression, so that equal expressions stay equal and substitution still sees through
/// it. Symbols stand for sizes and are taken to be 1 or more. Overflow gives nil, and so does an expression that grows
/// beyond what any model's shapes hold (see `termLimit`): a file could otherwise double one with every node.
public struct Dim: Hashable, Sendable, CustomStringConvertible {
  /// A product of factors, sorted; empty for the constant term.
  typealias Monomial = [DimFactor]

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

  /// The most terms, factors of a term, and bytes of an opaque factor's name.
  static let termLimit = 24
  static let factorLimit = 16
  static let nameLimit = 1024

  public init(_ value: Int) { form = .known(value) }
  public init(symbol: String) { self.init(factor: DimFactor(symbol: symbol)) }
  init(factor: DimFactor) { form = .polynomial([Term(monomial: [factor], coefficient: 1)]) }
  init(terms: [Monomial: Int]) {
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

  /// The terms of the sum, constant term first: for printing and for reading back. Opaque factors go by their names.
  package var polynomial: [(coefficient: Int, symbols: [String])] {
    switch form {
    case .known(let value): [(value, [])]
    case .polynomial(let terms): terms.map { ($0.coefficient, $0.monomial.map(\.name)) }
    }
  }

  /// The name, when this is one symbol and nothing else.
  public var symbol: String? {
    guard case .polynomial(let terms) = form, terms.count == 1, terms[0].coefficient == 1, terms[0].monomial.count == 1,
      case .symbol = terms[0].monomial[0].meaning
    else { return nil }
    return terms[0].monomial[0].name
  }

  /// The symbols that occur, inside opaque factors too.
  public var symbols: Set<String> {
    guard case .polynomial(let terms) = form else { return [] }
    return terms.reduce(into: []) { set, term in for factor in term.monomial { set.formUnion(factor.symbols) } }
  }

  var terms: [Monomial: Int] {
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
    if value == 0 { return other }
    if other.value == 0 { return self }
    var result = terms
    for (monomial, coefficient) in other.terms {
      let (sum, overflow) = (result[monomial] ?? 0).addingReportingOverflow(coefficient)
      if overflow { return nil }
      result[monomial] = sum
    }
    return result.count <= Dim.termLimit ? Dim(terms: result) : nil
  }

  public func multiplied(by other: Dim) -> Dim? {
    if let a = value, let b = other.value {
      let (product, overflow) = a.multipliedReportingOverflow(by: b)
      return overflow ? nil : Dim(product)
    }
    if value == 1 { return other }
    if other.value == 1 { return self }
    var result: [Monomial: Int] = [:]
    for (m1, c1) in terms {
      for (m2, c2) in other.terms {
        let (product, overflow) = c1.multipliedReportingOverflow(by: c2)
        if overflow || m1.count + m2.count > Dim.factorLimit { return nil }
        let monomial = m1.isEmpty ? m2 : m2.isEmpty ? m1 : (m1 + m2).sorted()
        let (sum, overflow2) = (result[monomial] ?? 0).addingReportingOverflow(product)
        if overflow2 { return nil }
        result[monomial] = sum
      }
    }
    return result.count <= Dim.termLimit ? Dim(terms: result) : nil
  }

  public var negated: Dim? { multiplied(by: Dim(-1)) }
  public func subtracting(_ other: Dim) -> Dim? { self == other ? Dim(0) : other.negated.flatMap { adding($0) } }

  /// The quotient when it comes out even for every value of the symbols, else nil.
  public func dividedExactly(by divisor: Dim) -> Dim? {
    if let a = value, let b = divisor.value {
      guard b != 0, !(a == .min && b == -1), a % b == 0 else { return nil }
      return Dim(a / b)
    }
    if divisor.value == 1 { return self }
    if self == divisor { return Dim(1) }
    let divisorTerms = divisor.terms
    guard divisorTerms.count == 1, let (monomial, coefficient) = divisorTerms.first, coefficient != 0 else { return dividedByPolynomial(divisor) }
    var result: [Monomial: Int] = [:]
    for (m, c) in terms {
      guard !(c == .min && coefficient == -1), c % coefficient == 0 else { return nil }
      var rest = m
      for factor in monomial {
        guard let index = rest.firstIndex(of: factor) else { return nil }
        rest.remove(at: index)
      }
      result[rest] = c / coefficient
    }
    return Dim(terms: result)
  }

  /// Long division by a polynomial of several terms: `batch*(h*w+1) / (h*w+1)`. Each step cancels the largest term.
  private func dividedByPolynomial(_ divisor: Dim) -> Dim? {
    guard case .polynomial(let divisorTerms) = divisor.form, let lead = divisorTerms.max(by: Dim.graded) else { return nil }
    let leading = Dim(terms: [lead.monomial: lead.coefficient])
    var rest = self
    var quotient = Dim(0)
    for _ in 0..<64 {
      if rest.value == 0 { return quotient }
      guard case .polynomial(let terms) = rest.form, let top = terms.max(by: Dim.graded),
        let step = Dim(terms: [top.monomial: top.coefficient]).dividedExactly(by: leading),
        let product = step.multiplied(by: divisor), let next = rest.subtracting(product), let sum = quotient.adding(step)
      else { return nil }
      rest = next
      quotient = sum
    }
    return nil
  }

  /// The graded lexicographic order of terms.
  private static func graded(_ a: Term, _ b: Term) -> Bool {
    a.monomial.count != b.monomial.count ? a.monomial.count < b.monomial.count : b.monomial.lexicographicallyPrecedes(a.monomial)
  }

  public var description: String {
    guard case .polynomial(let terms) = form else { return value.map(String.init) ?? "?" }
    return terms.reversed().map { term in
      if term.monomial.isEmpty { return String(term.coefficient) }
      let factors = term.monomial.map(\.name).joined(separator: "*")
      return term.coefficient == 1 ? factors : "\(term.coefficient)*\(factors)"
    }.joined(separator: "+").replacing("+-", with: "-")
  }
}

extension Dim: ExpressibleByIntegerLiteral {
  public init(integerLiteral value: Int) { self.init(value) }
}
