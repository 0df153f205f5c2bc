import CVector
import Foundation
import Testing

@testable import Kernels

/// Each fast loop, on every vector unit this CPU has, against the function in double precision.
@Suite(.serialized) struct PointwiseTests {
  static let edges: [Float] = [
    0, -0.0, .nan, .infinity, -.infinity, Float(bitPattern: 70_000), -Float(bitPattern: 70_000), 88.7, 89.5, -87.5, -100, -110, 1, -1, 0.5999, 0.6001, 3.4e38,
    -3.4e38, 1e-7,
  ]

  static let functions: [(Pointwise.Function, Double, @Sendable (Double) -> Double)] = [
    (.copy, 0, { $0 }), (.abs, 0, { abs($0) }), (.negate, 0, { -$0 }), (.squareRoot, 1e-7, { $0.squareRoot() }),
    (.reciprocal, 1e-7, { 1 / $0 }), (.square, 1e-7, { $0 * $0 }), (.exp, 5e-7, { exp($0) }), (.log, 5e-7, { log($0) }),
    (.erf, 6e-7, { erf($0) }), (.tanh, 6e-7, { tanh($0) }), (.sigmoid, 6e-7, { 1 / (1 + exp(-$0)) }),
    (.relu, 0, { $0.isNaN ? $0 : max($0, 0) }), (.leakyRelu(0.1), 2e-7, { $0 < 0 ? Double(Float(0.1)) * $0 : $0 }),
    (.clip(-1, 2), 0, { $0.isNaN ? $0 : min(max($0, -1), 2) }),
  ]

  static let units: [VCUnit] = [.baseline, .AVX2, .AVX512]

  func compute(_ function: Pointwise.Function, _ x: [Float]) -> [Float] {
    var y = [Float](repeating: 7, count: x.count)
    let layout = Strided(dense: [x.count])
    unsafe Pointwise.apply(function, x, layout, &y, layout)
    return y
  }

  @Test(arguments: units) func functionsAgreeWithDouble(_ unit: VCUnit) {
    guard vc_select_unit(unit) != 0 else { return }
    defer { vc_select_widest_unit() }
    var numbers = Numbers(1)
    for (function, limit, exact) in Self.functions {
      for count in [0, 1, 15, 16, 17, 1000] {
        let x = numbers.floats(count, in: -9...9) + Self.edges
        let error = relativeError(compute(function, x), x.map { exact(Double($0)) }, floor: 1e-30)
        #expect(error <= limit, "\(function) on \(unit): \(error)")
      }
    }
  }

  /// These cancel somewhere, so the error of small results is measured against 1.
  @Test(arguments: units) func gatedFunctionsAgreeWithDouble(_ unit: VCUnit) {
    guard vc_select_unit(unit) != 0 else { return }
    defer { vc_select_widest_unit() }
    var numbers = Numbers(2)
    let functions: [(Pointwise.Function, (Double) -> Double)] = [
      (.gelu, { $0 / 2 * (1 + erf($0 / 2.0.squareRoot())) }),
      (.geluTanh, { $0 / 2 * (1 + tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) }),
      (.swish(1.702), { $0 / (1 + exp(-Double(Float(1.702)) * $0)) }),
      (.elu(1), { $0 < 0 ? exp($0) - 1 : $0 }),
      (.hardSigmoid(0.2, 0.5), { max(0, min(1, Double(Float(0.2)) * $0 + 0.5)) }),
      (.affine(2, -3), { 2 * $0 - 3 }),
      (.hardSwish, { $0 * max(0, min(1, $0 / 6 + 0.5)) }),
    ]
    for (function, exact) in functions {
      let x = numbers.floats(1003, in: -12...12)
      let error = relativeError(compute(function, x), x.map { exact(Double($0)) }, floor: 1)
      #expect(error <= 1e-6, "\(function) on \(unit): \(error)")
      #expect(compute(function, [.nan])[0].isNaN)
    }
  }

  @Test func functionsFollowStrides() {
    var numbers = Numbers(3)
    for _ in 0..<50 {
      let dims = (0..<numbers.int(1...4)).map { _ in numbers.int(1...9) }
      let (from, to) = (randomLayout(dims, &numbers), randomLayout(dims, &numbers))
      let x = numbers.floats(span(from))
      var y = [Float](repeating: 0, count: span(to))
      unsafe Pointwise.apply(.affine(2, 1), x, from, &y, to)
      #expect(rowMajor(y, to) == rowMajor(x, from).map { 2 * $0 + 1 })
    }
  }

  @Test(arguments: units) func operationsBroadcast(_ unit: VCUnit) {
    guard vc_select_unit(unit) != 0 else { return }
    defer { vc_select_widest_unit() }
    let operations: [(Pointwise.Operation, (Float, Float) -> Float)] = [
      (.add, { $0 + $1 }), (.subtract, { $0 - $1 }), (.multiply, { $0 * $1 }), (.divide, { $0 / $1 }),
      (.maximum, { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }), (.minimum, { $0.isNaN || $1.isNaN ? .nan : min($0, $1) }),
    ]
    var numbers = Numbers(4)
    for (operation, exact) in operations {
      for _ in 0..<12 {
        let dims = (0..<numbers.int(1...3)).map { _ in [1, 3, 16, 19][numbers.int(0...3)] }
        let left = dims.map { numbers.int(0...3) == 0 ? 1 : $0 }
        let right = Array(dims.map { numbers.int(0...3) == 0 ? 1 : $0 }.dropFirst(numbers.int(0...dims.count - 1)))
        let (a, b, c) = (randomLayout(left, &numbers), randomLayout(right, &numbers), randomLayout(dims, &numbers))
        guard let wideA = a.broadcast(to: dims), let wideB = b.broadcast(to: dims) else {
          Issue.record("broadcast")
          continue
        }
        var (x, y) = (numbers.floats(span(a)), numbers.floats(span(b)))
        x[0] = .nan
        y[y.count - 1] = .infinity
        var z = [Float](repeating: 0, count: span(c))
        unsafe Pointwise.apply(operation, x, wideA, y, wideB, &z, c)
        let expected = zip(rowMajor(x, wideA), rowMajor(y, wideB)).map { Double(exact($0, $1)) }
        #expect(relativeError(rowMajor(z, c), expected) <= 1e-7, "\(operation)")
      }
    }
  }
}
