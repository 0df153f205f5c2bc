import CVector
import Foundation
import Testing

@testable import Kernels

@Suite(.serialized) struct RowsTests {
  static func softmax(_ row: [Double]) -> [Double] {
    let top = row.reduce(-.infinity) { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }
    let e = row.map { exp($0 - top) }
    let sum = e.reduce(0, +)
    return e.map { $0 / sum }
  }

  @Test(arguments: PointwiseTests.units) func softmaxAgrees(_ unit: VCUnit) {
    guard vc_select_unit(unit) != 0 else { return }
    defer { vc_select_widest_unit() }
    var numbers = Numbers(1)
    for width in [1, 2, 15, 16, 17, 64, 197] {
      let rows = 5
      var x = numbers.floats(rows * width, in: -20...20)
      if width > 2 {
        x[1] = -.infinity
        x[width] = .nan
        for i in 0..<width { x[2 * width + i] = -.infinity }
      }
      let bias = numbers.floats(width)
      var y = [Float](repeating: 0, count: x.count)
      unsafe bias.withUnsafeBufferPointer { bias in
        unsafe Rows.softmax(x, scale: 0.5, bias: bias.baseAddress, &y, rows: rows, width: width)
      }
      for row in 0..<rows {
        let expected = Self.softmax((0..<width).map { Double(x[row * width + $0]) * 0.5 + Double(bias[$0]) })
        #expect(relativeError(Array(y[row * width..<(row + 1) * width]), expected, floor: 1e-3) < 3e-5, "width \(width) row \(row)")
      }
      unsafe Rows.logSoftmax(x, &y, rows: rows, width: width)
      let expected = Self.softmax((0..<width).map { Double(x[3 * width + $0]) }).map { log($0) }
      #expect(relativeError(Array(y[3 * width..<4 * width]), expected) < 1e-6)
    }
  }

  @Test(arguments: PointwiseTests.units) func normalizationsAgree(_ unit: VCUnit) {
    guard vc_select_unit(unit) != 0 else { return }
    defer { vc_select_widest_unit() }
    var numbers = Numbers(2)
    for width in [1, 3, 16, 31, 192, 769] {
      for centered in [true, false] {
        let x = numbers.floats(4 * width, in: -3...5)
        let (gain, bias) = (numbers.floats(width), numbers.floats(width))
        var y = [Float](repeating: 0, count: x.count)
        var (means, inverses) = ([Float](repeating: 0, count: 4), [Float](repeating: 0, count: 4))
        unsafe gain.withUnsafeBufferPointer { gain in
          unsafe bias.withUnsafeBufferPointer { bias in
            unsafe Rows.normalize(
              x, gain: gain.baseAddress, bias: bias.baseAddress, epsilon: 1e-5, centered: centered, &y, rows: 4, width: width, mean: &means,
              inverse: &inverses)
          }
        }
        for row in 0..<4 {
          let values = x[row * width..<(row + 1) * width].map(Double.init)
          let mean = centered ? values.reduce(0, +) / Double(width) : 0
          let inverse = 1 / (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width) + Double(Float(1e-5))).squareRoot()
          let expected = values.enumerated().map { ($1 - mean) * inverse * Double(gain[$0]) + Double(bias[$0]) }
          // With one element the difference to the mean is rounding alone, magnified by 1 / sqrt(epsilon).
          #expect(relativeError(Array(y[row * width..<(row + 1) * width]), expected) < (width == 1 ? 1e-4 : 3e-6))
          #expect(relativeError([means[row], inverses[row]], [mean, inverse]) < 3e-6)
        }
      }
    }
  }

  @Test(arguments: PointwiseTests.units) func reductionsAgree(_ unit: VCUnit) {
    guard vc_select_unit(unit) != 0 else { return }
    defer { vc_select_widest_unit() }
    var numbers = Numbers(3)
    let kinds: [(Reduction.Kind, ([Double]) -> Double)] = [
      (.sum, { $0.reduce(0, +) }), (.mean, { $0.reduce(0, +) / Double($0.count) }),
      (.maximum, { $0.reduce(-.infinity) { $0.isNaN || $1.isNaN ? .nan : max($0, $1) } }),
      (.minimum, { $0.reduce(.infinity) { $0.isNaN || $1.isNaN ? .nan : min($0, $1) } }),
      (.sumSquare, { $0.reduce(0) { $0 + $1 * $1 } }), (.sumAbs, { $0.reduce(0) { $0 + abs($1) } }),
      (.l2, { $0.reduce(0) { $0 + $1 * $1 }.squareRoot() }),
    ]
    for (kind, exact) in kinds {
      for (outer, reduced, inner) in [(1, 1, 1), (3, 7, 1), (2, 100, 1), (2, 33, 19), (1, 5, 64), (4, 1, 3)] {
        var x = numbers.floats(outer * reduced * inner)
        if reduced > 50 { x[3] = .nan }
        var y = [Float](repeating: 0, count: outer * inner)
        unsafe Reduction.apply(kind, x, outer: outer, reduced: reduced, inner: inner, &y)
        var expected: [Double] = []
        for o in 0..<outer {
          for i in 0..<inner { expected.append(exact((0..<reduced).map { Double(x[(o * reduced + $0) * inner + i]) })) }
        }
        #expect(relativeError(y, expected) < 1e-6, "\(kind) \(outer) \(reduced) \(inner)")
      }
    }
  }
}
