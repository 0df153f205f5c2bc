import CVector
import Foundation
import Testing

@testable import Kernels

struct MatrixProductTests {
  /// The plain triple loop in double precision, over row-major operands whose batch axes broadcast.
  static func reference(_ a: [Double], _ b: [Double], batch: Int, batchA: Int, batchB: Int, _ m: Int, _ k: Int, _ n: Int) -> [Double] {
    var c = [Double](repeating: 0, count: batch * m * n)
    for z in 0..<batch {
      let (za, zb) = (batchA == 1 ? 0 : z, batchB == 1 ? 0 : z)
      for i in 0..<m {
        for j in 0..<n {
          for l in 0..<k { c[(z * m + i) * n + j] += a[(za * m + i) * k + l] * b[(zb * k + l) * n + j] }
        }
      }
    }
    return c
  }

  @Test func batchedProductsAtAnyStrides() throws {
    var numbers = Numbers(11)
    for trial in 0..<40 {
      let (m, k, n) = (numbers.int(1...33), numbers.int(1...40), numbers.int(1...35))
      let batch = numbers.int(1...4)
      let batchB = trial % 3 == 0 ? 1 : batch
      // Each matrix row- or column-major inside a wider tensor, as slices of a packed projection are.
      func layout(_ z: Int, _ rows: Int, _ columns: Int) -> Strided {
        let gap = numbers.int(0...5)
        return numbers.int(0...1) == 0
          ? Strided(dims: [z, rows, columns], strides: [rows * (columns + gap), columns + gap, 1])
          : Strided(dims: [z, rows, columns], strides: [columns * (rows + gap), 1, rows + gap])
      }
      let (a, b) = (layout(batch, m, k), layout(batchB, k, n))
      let c = Strided(dims: [batch, m, n], strides: [n, batch * n, 1])
      let (x, y) = (numbers.floats(span(a)), numbers.floats(span(b)))
      var z = [Float](repeating: 0, count: span(c))
      let product = try ActivationProduct(a: a, b: b, c: c, scale: 0.5, workspace: Workspace())
      unsafe product.run(a: x, b: y, c: &z)
      let expected = Self.reference(
        rowMajor(x, a).map(Double.init), rowMajor(y, b).map(Double.init), batch: batch, batchA: batch, batchB: batchB, m, k, n)
      #expect(relativeError(rowMajor(z, c), expected.map { $0 * 0.5 }) < 1e-5, "\(a) \(b)")
    }
  }

  @Test func packedWeightsWithBiasAndPostOperations() throws {
    var numbers = Numbers(12)
    for (m, k, n) in [(1, 1, 1), (5, 7, 3), (17, 64, 48), (197, 96, 130)] {
      for transposed in [false, true] {
        let b = transposed ? Strided(dims: [k, n], strides: [1, k]) : Strided(dense: [k, n])
        let (x, w) = (numbers.floats(m * k), numbers.floats(k * n))
        let (bias, gain, residual) = (numbers.floats(n), numbers.floats(n), numbers.floats(m * n))
        var z = [Float](repeating: 0, count: m * n)
        let cache = WeightCache()
        try unsafe w.withUnsafeBufferPointer { w in
          let layout = Strided(dense: [m, n])
          let product = try unsafe MatrixProduct(
            a: Strided(dense: [m, k]), b: b, c: layout, bias: Strided(dense: [1, n]),
            post: [.function(.gelu), .binary(.multiply, Strided(dense: [1, n])), .binary(.add, layout)],
            constantB: UnsafeRawPointer(w.baseAddress!), weights: cache, workspace: Workspace())
          try unsafe bias.withUnsafeBytes { bias in
            try unsafe gain.withUnsafeBytes { gain in
              try unsafe residual.withUnsafeBytes { residual in
                try unsafe product.run(a: x, b: nil, c: &z, extras: [bias.baseAddress, gain.baseAddress, residual.baseAddress])
              }
            }
          }
        }
        #expect(cache.byteCount >= k * n * 4)
        var expected = Self.reference(x.map(Double.init), rowMajor(w, b).map(Double.init), batch: 1, batchA: 1, batchB: 1, m, k, n)
        for i in expected.indices {
          let v = expected[i] + Double(bias[i % n])
          expected[i] = v / 2 * (1 + erf(v / 2.0.squareRoot())) * Double(gain[i % n]) + Double(residual[i])
        }
        #expect(relativeError(z, expected) < 1e-5, "\(m) \(k) \(n) \(transposed)")
      }
    }
  }

  /// Cut into pieces for several threads: by columns or by rows, bias and operands along with them.
  @Test func piecesAgreeWithTheWhole() throws {
    var numbers = Numbers(13)
    for (m, k, n) in [(197, 64, 320), (400, 70, 30), (130, 129, 1000), (3, 300, 1000)] {
      let (a, b, c, row) = (Strided(dense: [m, k]), Strided(dense: [k, n]), Strided(dense: [m, n]), Strided(dense: [1, n]))
      let (x, y, bias, residual) = (numbers.floats(m * k), numbers.floats(k * n), numbers.floats(n), numbers.floats(m * n))
      var expected = Self.reference(x.map(Double.init), y.map(Double.init), batch: 1, batchA: 1, batchB: 1, m, k, n)
      for i in expected.indices {
        let v = expected[i] + Double(bias[i % n])
        expected[i] = v / 2 * (1 + erf(v / 2.0.squareRoot())) * Double(bias[i % n]) + Double(residual[i])
      }
      for threads in [1, 2, 3] {
        Parallel.use(threads: threads)
        defer { Parallel.use(threads: 1) }
        for packs in [true, false] {
          var z = [Float](repeating: 0, count: m * n)
          try unsafe y.withUnsafeBytes { y in
            try unsafe bias.withUnsafeBytes { bias in
              try unsafe residual.withUnsafeBytes { residual in
                let product = try unsafe MatrixProduct(
                  a: a, b: b, c: c, bias: row, post: [.function(.gelu), .binary(.multiply, row), .binary(.add, c)],
                  constantB: packs ? y.baseAddress : nil, weights: WeightCache(), workspace: Workspace())
                for _ in 0..<3 {
                  try unsafe product.run(a: x, b: y.baseAddress, c: &z, extras: [bias.baseAddress, bias.baseAddress, residual.baseAddress])
                }
              }
            }
          }
          #expect(relativeError(z, expected) < 2e-5, "\(m) \(k) \(n), \(threads) threads")
        }
      }
    }
  }

  @Test func piecesOfBatchesAgreeWithTheWhole() throws {
    var numbers = Numbers(14)
    let (batch, m, k, n) = (12, 50, 33, 50)
    let (a, b) = (Strided(dense: [batch, m, k]), Strided(dense: [batch, k, n]))
    let c = Strided(dims: [batch, m, n], strides: [n, batch * n, 1])
    let (x, y) = (numbers.floats(a.count), numbers.floats(b.count))
    let expected = Self.reference(x.map(Double.init), y.map(Double.init), batch: batch, batchA: batch, batchB: batch, m, k, n)
    for threads in [1, 2, 3] {
      Parallel.use(threads: threads)
      defer { Parallel.use(threads: 1) }
      var z = [Float](repeating: 0, count: c.count)
      let product = try ActivationProduct(a: a, b: b, c: c, scale: 1, workspace: Workspace())
      for _ in 0..<3 { unsafe product.run(a: x, b: y, c: &z) }
      #expect(relativeError(rowMajor(z, c), expected) < 1e-5)
    }
  }

  /// What oneDNN fuses, what the own loop does behind it, and the own product that does both: ReLU and clip keep NaN.
  @Test(arguments: VectorUnitTests.units) func whatFollowsAProduct(unit: VCUnit) throws {
    guard vc_select_unit(unit) != 0 else { return }
    defer { vc_select_widest_unit() }
    var numbers = Numbers(15)
    for (m, k, n) in [(2, 1, 1), (7, 5, 33), (50, 64, 64), (197, 96, 130), (600, 20, 500)] {
      for threads in [1, 3] {
        Parallel.use(threads: threads)
        defer { Parallel.use(threads: 1) }
        let (a, b, c, row) = (randomMatrix(m, k, &numbers), randomMatrix(k, n, &numbers), Strided(dense: [m, n]), Strided(dense: [1, n]))
        var (x, w) = (numbers.floats(span(a)), numbers.floats(span(b)))
        x[0] = [.nan, .infinity, -.infinity, .leastNonzeroMagnitude][numbers.int(0...3)]
        w[w.count - 1] = .leastNonzeroMagnitude
        let (bias, gain, shift, residual) = (numbers.floats(n), numbers.floats(n), numbers.floats(n), numbers.floats(m * n))
        let product = Self.reference(rowMajor(x, a).map(Double.init), rowMajor(w, b).map(Double.init), batch: 1, batchA: 1, batchB: 1, m, k, n)
        let activation: Pointwise.Function = [.relu, .clip(-0.25, 0.5), .leakyRelu(0.1)][numbers.int(0...2)]
        let expected = product.indices.map { i -> Double in
          let v = product[i] + Double(bias[i % n])
          let activated: Double =
            switch activation {
            case .relu: v < 0 ? 0 : v
            case .clip: v < -0.25 ? -0.25 : v > 0.5 ? 0.5 : v
            default: v < 0 ? v * Double(Float(0.1)) : v
            }
          return activated * Double(gain[i % n]) + Double(shift[i % n]) + Double(residual[i])
        }
        let post: [PostOperation] = [.function(activation), .binary(.multiply, row), .binary(.add, row), .binary(.add, c)]
        for own in [true, false] {
          var z = [Float](repeating: 7, count: m * n)
          let (cache, workspace) = (WeightCache(), Workspace())
          try unsafe w.withUnsafeBytes { w in
            try unsafe withExtras([bias, gain, shift, residual]) { extras in
              if own {
                let product = try unsafe PackedProduct(
                  a: a, b: b, c: c, bias: row, post: post, constantB: w.baseAddress!.assumingMemoryBound(to: Float.self), cache: cache, workspace: workspace)
                for _ in 0..<2 { unsafe product.run(a: x, c: &z, extras: extras) }
              } else {
                let product = try unsafe MatrixProduct(
                  a: a, b: b, c: c, bias: row, post: post, constantB: w.baseAddress!, weights: cache, workspace: workspace)
                for _ in 0..<2 { try unsafe product.run(a: x, b: nil, c: &z, extras: extras) }
              }
            }
          }
          #expect(relativeError(z, expected) < 3e-5, "\(own ? "own" : "oneDNN") \(m) \(k) \(n) \(activation)")
        }
      }
    }
  }

  /// bfloat16 has eight bits of mantissa: products are off by about a part in 256, and deterministic.
  @Test func bfloat16RoundsTheOperands() throws {
    guard ProductPrecision.bfloat16.isSupported else { return }
    var numbers = Numbers(16)
    let (m, k, n) = (40, 96, 70)
    let (a, b, c) = (Strided(dense: [m, k]), Strided(dims: [k, n], strides: [1, k]), Strided(dense: [m, n]))
    let (x, w) = (numbers.floats(m * k), numbers.floats(k * n))
    func rounded(_ values: [Float]) -> [Double] {
      values.map { value in
        let bits = value.bitPattern
        return Double(Float(bitPattern: (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000))
      }
    }
    let expected = Self.reference(rounded(x), rounded(rowMajor(w, b)), batch: 1, batchA: 1, batchB: 1, m, k, n)
    var z = [Float](repeating: 0, count: m * n)
    try unsafe w.withUnsafeBytes { w in
      let product = try unsafe MatrixProduct(
        a: a, b: b, c: c, constantB: w.baseAddress!, precision: .bfloat16, weights: WeightCache(), workspace: Workspace())
      try unsafe product.run(a: x, b: nil, c: &z)
    }
    #expect(relativeError(z, expected) < 1e-4)
  }

  private func randomMatrix(_ rows: Int, _ columns: Int, _ numbers: inout Numbers) -> Strided {
    numbers.int(0...1) == 0 ? Strided(dense: [rows, columns]) : Strided(dims: [rows, columns], strides: [1, rows])
  }

  @Test func mismatchedShapesAreRefused() {
    #expect(throws: (any Error).self) {
      _ = try unsafe MatrixProduct(
        a: Strided(dense: [2, 3]), b: Strided(dense: [4, 5]), c: Strided(dense: [2, 5]), weights: WeightCache(), workspace: Workspace())
    }
  }
}
