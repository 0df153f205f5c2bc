internal import Glibc

/// The discrete Fourier transform of one length: `y[k] = sum over n of x[n] e^(-2 pi i k n / N)`, in O(N log N) for every
/// N. Powers of two by Cooley and Tukey's radix-2 steps, short lengths by the definition, others by Bluestein's
/// convolution ("A linear filtering approach to the computation of discrete Fourier transform", 1970).
struct FourierTransform {
  let length: Int
  /// `e^(-2 pi i k / N)`
  private let roots: [SIMD2<Double>]
  private let bluestein: Bluestein?

  private final class Bluestein: Sendable {
    let inner: FourierTransform
    let chirp: [SIMD2<Double>]
    let spectrum: [SIMD2<Double>]

    init(_ length: Int) {
      var size = 1
      while size < 2 * length - 1 { size *= 2 }
      inner = FourierTransform(length: size)
      // k^2 modulo 2N keeps the angle exact for long signals.
      chirp = (0..<length).map { k in
        let angle = -Double.pi * Double((k &* k) % (2 * length)) / Double(length)
        return SIMD2(cos(angle), sin(angle))
      }
      var filter = [SIMD2<Double>](repeating: .zero, count: size)
      for k in 0..<length {
        let value = SIMD2(chirp[k].x, -chirp[k].y)
        filter[k] = value
        if k > 0 { filter[size - k] = value }
      }
      spectrum = inner(filter)
    }
  }

  init(length: Int) {
    self.length = length
    let isPower = length > 0 && length & (length - 1) == 0
    if isPower || length <= 32 {
      roots = (0..<length).map { k in
        let angle = -2 * Double.pi * Double(k) / Double(length)
        return SIMD2(cos(angle), sin(angle))
      }
      bluestein = nil
    } else {
      roots = []
      bluestein = Bluestein(length)
    }
  }

  /// The transform of `length` complex numbers.
  func callAsFunction(_ x: [SIMD2<Double>]) -> [SIMD2<Double>] {
    if let bluestein { return convolved(x, bluestein) }
    if length & (length - 1) == 0 { return radix2(x) }
    return (0..<length).map { k in
      var sum = SIMD2<Double>.zero
      for n in 0..<length { sum += product(x[n], roots[k * n % length]) }
      return sum
    }
  }

  /// The inverse transform, divided by the length.
  func inverse(_ x: [SIMD2<Double>]) -> [SIMD2<Double>] {
    let scale = 1 / Double(length)
    return self(x.map { SIMD2($0.x, -$0.y) }).map { SIMD2($0.x * scale, -$0.y * scale) }
  }

  private func product(_ a: SIMD2<Double>, _ b: SIMD2<Double>) -> SIMD2<Double> { SIMD2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x) }

  private func radix2(_ x: [SIMD2<Double>]) -> [SIMD2<Double>] {
    guard length > 1 else { return x }
    var result = x
    var reversed = 0
    for index in 1..<length {
      var bit = length >> 1
      while reversed & bit != 0 {
        reversed ^= bit
        bit >>= 1
      }
      reversed |= bit
      if index < reversed { result.swapAt(index, reversed) }
    }
    var half = 1
    while half < length {
      let step = length / (2 * half)
      for block in stride(from: 0, to: length, by: 2 * half) {
        for index in 0..<half {
          let odd = product(result[block + index + half], roots[index * step])
          let even = result[block + index]
          result[block + index] = even + odd
          result[block + index + half] = even - odd
        }
      }
      half *= 2
    }
    return result
  }

  private func convolved(_ x: [SIMD2<Double>], _ form: Bluestein) -> [SIMD2<Double>] {
    var padded = [SIMD2<Double>](repeating: .zero, count: form.inner.length)
    for n in 0..<length { padded[n] = product(x[n], form.chirp[n]) }
    var spectrum = form.inner(padded)
    for k in spectrum.indices { spectrum[k] = product(spectrum[k], form.spectrum[k]) }
    let filtered = form.inner.inverse(spectrum)
    return (0..<length).map { product(filtered[$0], form.chirp[$0]) }
  }
}
