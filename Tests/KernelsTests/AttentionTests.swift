import CVector
import Foundation
import Testing

@testable import Kernels

enum VectorUnitTests {
  static let units: [VCUnit] = [.baseline, .AVX2, .AVX512]
}

struct AttentionTests {
  /// softmax(scale q k^T + bias) v of one head in double precision.
  static func reference(_ q: [Double], _ k: [Double], _ v: [Double], bias: [Double]?, scale: Double, _ n: Int, _ m: Int, _ d: Int, _ e: Int) -> [Double] {
    var result: [Double] = []
    for i in 0..<n {
      var scores: [Double] = []
      for j in 0..<m {
        var sum = 0.0
        for c in 0..<d { sum += q[i * d + c] * k[j * d + c] }
        scores.append(sum * scale + (bias?[i * m + j] ?? 0))
      }
      let highest = scores.max() ?? 0
      let weights: [Double] = scores.map { exp($0 - highest) }
      let total = weights.reduce(0, +)
      for c in 0..<e {
        var sum = 0.0
        for j in 0..<m { sum += weights[j] * v[j * e + c] }
        result.append(sum / total)
      }
    }
    return result
  }

  /// Two leading axes, keys and values repeated along one of them or not, any strides, a bias that repeats along some axes
  /// and hides keys, a scale for each item, and enough keys for several blocks.
  @Test(arguments: VectorUnitTests.units) func tiledAgreesWithPlain(unit: VCUnit) throws {
    guard vc_select_unit(unit) != 0 else { return }
    defer { vc_select_widest_unit() }
    var numbers = Numbers(31)
    for trial in 0..<40 {
      let (batch, heads) = (numbers.int(1...2), numbers.int(1...3))
      let (n, m) = (numbers.int(1...60), trial % 5 == 0 ? numbers.int(250...600) : numbers.int(1...70))
      let (d, e) = (numbers.int(1...40), numbers.int(1...40))
      let keyHeads = trial % 3 == 0 ? 1 : heads
      let (q, k, v) = (
        randomLayout([batch, heads, n, d], &numbers), randomLayout([batch, keyHeads, m, d], &numbers), randomLayout([batch, keyHeads, m, e], &numbers)
      )
      let y = Strided(dims: [batch, heads, n, e], order: trial % 2 == 0 ? [0, 1, 2, 3] : [0, 2, 1, 3])
      let (x, keys, values) = (numbers.floats(span(q), in: -3...3), numbers.floats(span(k), in: -3...3), numbers.floats(span(v)))
      let scales = trial % 2 == 0 ? [Float(0.3)] : numbers.floats(batch * heads, in: 0.1...1)
      let biasDims = [trial % 4 == 0 ? batch : 1, heads, n, m]
      var summands = numbers.floats(biasDims.reduce(1, *), in: -2...2)
      // Keys that are hidden, never all of a row.
      for i in summands.indices where i % m != 0 && numbers.int(0...4) == 0 { summands[i] = -.infinity }
      let bias = trial % 3 == 1 ? nil : Strided(dense: biasDims).broadcast(to: [batch, heads, n, m])
      // Other threads use the widest unit, so that bits repeat there alone.
      Parallel.use(threads: unit == vc_unit() && unit == .AVX512 ? 1 + trial % 3 : 1)
      defer { Parallel.use(threads: 1) }
      let kernel = try TiledAttention(q: q, k: k, v: v, y: y, bias: bias, scales: scales, workspace: Workspace())
      var z = [Float](repeating: 7, count: y.count)
      unsafe kernel.run(q: x, k: keys, v: values, bias: summands, y: &z)
      var again = z
      unsafe kernel.run(q: x, k: keys, v: values, bias: summands, y: &again)
      let repeats = zip(z, again).allSatisfy { $0.bitPattern == $1.bitPattern }
      #expect(repeats, "the same input gives the same bits")
      var expected: [Double] = []
      let (xs, ks, vs) = (rowMajor(x, q).map(Double.init), rowMajor(keys, k).map(Double.init), rowMajor(values, v).map(Double.init))
      for b in 0..<batch {
        for h in 0..<heads {
          let (item, keyItem) = (b * heads + h, b * keyHeads + (keyHeads == 1 ? 0 : h))
          let start = ((biasDims[0] == 1 ? 0 : b) * heads + h) * n * m
          expected += Self.reference(
            Array(xs[item * n * d..<(item + 1) * n * d]), Array(ks[keyItem * m * d..<(keyItem + 1) * m * d]),
            Array(vs[keyItem * m * e..<(keyItem + 1) * m * e]), bias: bias == nil ? nil : summands[start..<start + n * m].map(Double.init),
            scale: Double(scales[scales.count == 1 ? 0 : item]), n, m, d, e)
        }
      }
      #expect(relativeError(rowMajor(z, y), expected) < 1e-5, "\(n) \(m) \(d) \(e)")
    }
  }

  /// As a softmax and a product would: NaN and infinite scores and rows without any key give NaN, in their rows alone, also
  /// when they lie in different blocks of keys.
  @Test func edgeValues() throws {
    let (n, m, d) = (6, 300, 4)
    var q = [Float](repeating: 1, count: n * d)
    var k = [Float](repeating: 0.5, count: m * d)
    let v = [Float](repeating: 2, count: m * d)
    var bias = [Float](repeating: 0, count: n * m)
    q[0] = .nan
    q[d] = .infinity
    for j in 0..<m { bias[2 * m + j] = -.infinity }
    for j in 0..<280 { bias[3 * m + j] = -.infinity }
    for j in 20..<m { bias[4 * m + j] = -.infinity }
    k[7] = .leastNonzeroMagnitude
    let (rows, keys) = (Strided(dense: [n, d]), Strided(dense: [m, d]))
    let kernel = try TiledAttention(q: rows, k: keys, v: keys, y: rows, bias: Strided(dense: [n, m]), scales: [1], workspace: Workspace())
    var y = [Float](repeating: 7, count: n * d)
    unsafe kernel.run(q: q, k: k, v: v, bias: bias, y: &y)
    #expect(y[0..<3 * d].allSatisfy { $0.isNaN })
    #expect(y[(3 * d)...].allSatisfy { abs($0 - 2) < 1e-5 })
  }

  /// A piece that two workers did would be right, and wrong as soon as a result lies where an operand lay.
  @Test func everyItemIsVisitedOnce() {
    Parallel.use(threads: 2)
    defer { Parallel.use(threads: 1) }
    let walk = BatchWalk([3, 5], [[3, 5]], [[5, 1]])
    let lock = NSLock()
    nonisolated(unsafe) var visits = [Int](repeating: 0, count: 15 * 4)
    for _ in 0..<50 {
      walk.forEach(4) { offsets, strip, _ in lock.withLock { unsafe visits[offsets[0] * 4 + strip] += 1 } }
    }
    #expect(unsafe visits == [Int](repeating: 50, count: 15 * 4))
  }
}
