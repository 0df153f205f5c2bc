import Testing

@testable import Kernels

/// Seeded numbers (SplitMix64), so that a failing case can be met again.
struct Numbers: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: Int) { state = UInt64(truncatingIfNeeded: seed) &* 0x9E37_79B9_7F4A_7C15 }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  mutating func floats(_ count: Int, in range: ClosedRange<Float> = -1...1) -> [Float] { (0..<count).map { _ in Float.random(in: range, using: &self) } }
  mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
}

/// Memory that a strided layout spans, and reading it element by element in row-major order.
func span(_ layout: Strided) -> Int {
  layout.count == 0 ? 0 : zip(layout.dims, layout.strides).reduce(1) { $0 + ($1.0 - 1) * $1.1 }
}

func rowMajor<T>(_ memory: [T], _ layout: Strided) -> [T] {
  var result: [T] = []
  result.reserveCapacity(layout.count)
  var index = [Int](repeating: 0, count: layout.rank)
  for _ in 0..<layout.count {
    result.append(memory[zip(index, layout.strides).reduce(0) { $0 + $1.0 * $1.1 }])
    for axis in layout.dims.indices.reversed() {
      index[axis] += 1
      if index[axis] < layout.dims[axis] { break }
      index[axis] = 0
    }
  }
  return result
}

/// A layout of `dims` whose axes lie in a random order in memory, with gaps now and then.
func randomLayout(_ dims: [Int], _ numbers: inout Numbers) -> Strided {
  var layout = Strided(dims: dims, order: Array(dims.indices).shuffled(using: &numbers))
  if numbers.int(0...2) == 0 { layout.strides = layout.strides.map { $0 * 2 } }
  return layout
}

/// Largest error, relative to the larger of the expected size and `floor`; NaN must meet NaN, infinity the same infinity.
func relativeError(_ got: [Float], _ expected: [Double], floor: Double = 1) -> Double {
  guard got.count == expected.count else { return .infinity }
  var worst = 0.0
  for (a, b) in zip(got, expected) {
    if b.isNaN || a.isNaN {
      if !(b.isNaN && a.isNaN) { return .infinity }
      continue
    }
    let rounded = Double(Float(b))
    if rounded.isInfinite || a.isInfinite {
      if rounded != Double(a) { return .infinity }
      continue
    }
    worst = max(worst, abs(Double(a) - b) / max(abs(b), floor))
  }
  return worst
}

/// The addresses of several arrays for as long as `body` runs.
func withExtras<R>(_ arrays: [[Float]], _ body: ([UnsafeRawPointer?]) throws -> R) throws -> R {
  guard let last = arrays.last else { return try unsafe body([]) }
  return try unsafe last.withUnsafeBytes { (bytes: UnsafeRawBufferPointer) throws -> R in
    let address = bytes.baseAddress
    return try unsafe withExtras(Array(arrays.dropLast())) { (rest: [UnsafeRawPointer?]) throws -> R in try unsafe body(rest + [address]) }
  }
}
