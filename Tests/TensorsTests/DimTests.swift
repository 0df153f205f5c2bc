import Tensors
import TestSupport
import Testing

/// Laws of symbolic dimensions, checked by putting numbers in for the symbols.
@Suite struct DimTests {
  let symbols = ["a", "b", "c"]

  private func polynomial(_ random: inout SeededRandom) -> Dim {
    var result = Dim(Int.random(in: -3...5, using: &random))
    for _ in 0..<Int.random(in: 0...3, using: &random) {
      var term = Dim(Int.random(in: -3...4, using: &random))
      for _ in 0..<Int.random(in: 1...2, using: &random) { term = term.multiplied(by: Dim(symbol: symbols.randomElement(using: &random) ?? "a")) ?? term }
      result = result.adding(term) ?? result
    }
    return result
  }

  private func floorDivide(_ a: Int, _ b: Int) -> Int { a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0) }

  @Test func arithmeticCommutesWithSubstitution() throws {
    var random = SeededRandom(1)
    for _ in 0..<400 {
      let (x, y) = (polynomial(&random), polynomial(&random))
      let values = Dictionary(uniqueKeysWithValues: symbols.map { ($0, Int.random(in: 1...9, using: &random)) })
      func number(_ dim: Dim?) throws -> Int { try #require(dim?.substituting(values)?.value) }
      let (a, b) = (try number(x), try number(y))
      #expect(try number(x.adding(y)) == a + b)
      #expect(try number(x.subtracting(y)) == a - b)
      #expect(try number(x.multiplied(by: y)) == a * b)
      #expect(try number(x.maximum(y)) == max(a, b))
      #expect(try number(x.minimum(y)) == min(a, b))
      let divisor = Int.random(in: 1...6, using: &random)
      #expect(try number(x.floorDivided(by: Dim(divisor))) == floorDivide(a, divisor))
      #expect(try number(x.ceilDivided(by: Dim(divisor))) == -floorDivide(-a, divisor))
      #expect(try number(x.floorDivided(by: Dim(-divisor))) == floorDivide(a, -divisor))
      if y != 0, b != 0, let quotient = x.floorDivided(by: y) {
        #expect(quotient.substituting(values).map { $0.value == floorDivide(a, b) } ?? true, "\(x) / \(y)")
      }
      if let low = x.lowerBound { #expect(low <= a) }
      if let high = x.upperBound { #expect(high >= a) }
    }
  }

  @Test func equalExpressionsAreEqual() throws {
    var random = SeededRandom(2)
    for _ in 0..<200 {
      let (x, y, z) = (polynomial(&random), polynomial(&random), polynomial(&random))
      #expect(x.adding(y) == y.adding(x))
      #expect(x.multiplied(by: y) == y.multiplied(by: x))
      #expect(x.maximum(y) == y.maximum(x))
      #expect(x.adding(y)?.multiplied(by: z) == x.multiplied(by: z).flatMap { xz in y.multiplied(by: z).flatMap { xz.adding($0) } })
      #expect(x.subtracting(x) == 0)
      if y.value != 0 {
        // A product divides evenly by each of its factors.
        #expect(x.multiplied(by: y)?.dividedExactly(by: y) == x, "\(x) * \(y)")
      }
    }
  }

  @Test func divisionsThatComeOutEvenAreFound() {
    let n = Dim(symbol: "n")
    let h = Dim(symbol: "h")
    #expect(n.multiplied(by: 12)?.dividedExactly(by: 4)?.description == "3*n")
    #expect(n.multiplied(by: h)?.dividedExactly(by: h) == n)
    #expect(n.dividedExactly(by: 2) == nil)
    #expect(Dim(7).dividedExactly(by: 2) == nil)
    #expect(Dim(7).dividedExactly(by: 0) == nil)
    #expect(n.floorDivided(by: 0) == nil)
    // A stride-4 patch of kernel 4: floor((4n - 4) / 4) + 1 = n.
    #expect(n.multiplied(by: 4)?.subtracting(4)?.floorDivided(by: 4)?.adding(1) == n)
    // floor((n - 1) / 2) + 1 is floor((n + 1) / 2), however it is written.
    #expect(n.subtracting(1)?.floorDivided(by: 2)?.adding(1) == n.adding(1)?.floorDivided(by: 2))
    #expect(n.floorDivided(by: h)?.substituting(["n": 7, "h": 2]) == 3)
  }

  @Test func overflowGivesNothing() {
    let large = Dim(.max)
    let n = Dim(symbol: "n")
    #expect(large.adding(1) == nil)
    #expect(large.multiplied(by: 2) == nil)
    #expect(Dim(.min).negated == nil)
    #expect(Dim(.min).floorDivided(by: -1) == nil)
    #expect(n.multiplied(by: large)?.multiplied(by: 2) == nil)
    #expect(n.multiplied(by: large)?.adding(n) == nil)
    #expect(n.multiplied(by: large)?.substituting(["n": 3]) == nil)
  }

  /// Expressions that a hostile file could double with every node end in nil and not in memory.
  @Test func growthEnds() {
    let (n, m) = (Dim(symbol: "n"), Dim(symbol: "m"))
    var square: Dim? = n
    var sum = n.adding(1)
    var quotient: Dim? = n
    var greatest: Dim? = n.subtracting(m)
    for _ in 0..<128 {
      square = square.flatMap { $0.multiplied(by: $0) }
      sum = sum.flatMap { $0.multiplied(by: $0)?.adding(m) }
      quotient = quotient.flatMap { $0.adding(1)?.floorDivided(by: m) }
      greatest = greatest.flatMap { a in m.subtracting(a).flatMap { a.maximum($0) } }
    }
    #expect(square == nil)
    #expect(sum == nil)
    #expect(quotient == nil)
    #expect(greatest == nil)
  }

  @Test func broadcastingFollowsTheStandard() {
    let (n, m) = (Dim(symbol: "n"), Dim(symbol: "m"))
    #expect(Dim(3).broadcast(with: 1) == 3)
    #expect(Dim(1).broadcast(with: n) == n)
    #expect(n.broadcast(with: n) == n)
    #expect(n.broadcast(with: 5) == 5)
    #expect(Dim(3).broadcast(with: 4) == nil)
    #expect(Dim(0).broadcast(with: 1) == 0)
    #expect(n.broadcast(with: m) == m.broadcast(with: n))
    #expect(n.broadcast(with: m)?.symbols == ["n", "m"])
    #expect(n.broadcast(with: m)?.substituting(["n": 1, "m": 4]) == 4)
    #expect(n.broadcast(with: m)?.substituting(["n": 3, "m": 4]) == nil)
  }

  @Test func symbolsAreOneOrMore() {
    let n = Dim(symbol: "n")
    #expect(n.maximum(1) == n)
    #expect(n.minimum(0) == 0)
    #expect(n.multiplied(by: n)?.lowerBound == 1)
    #expect(n.negated?.lowerBound == nil)
    #expect(n.negated?.upperBound == -1)
    #expect(n.symbol == "n")
    #expect(n.multiplied(by: 2)?.symbol == nil)
    #expect(n.floorDivided(by: 2)?.symbol == nil)
  }

  @Test func printing() {
    let (n, m) = (Dim(symbol: "n"), Dim(symbol: "m"))
    #expect(Dim(3).description == "3")
    #expect(n.multiplied(by: m)?.adding(1)?.description == "m*n+1")
    #expect(n.multiplied(by: 2)?.subtracting(3)?.description == "2*n-3")
  }
}
