internal import Images

/// Separable resampling with a triangle filter whose support grows with the reduction, half-pixel centers: what image
/// libraries call antialiased bilinear.
struct TriangleFilter {
  private struct Tap {
    var start: Int
    var weights: [Float]
  }
  private let taps: [Tap]

  init(from source: Int, to target: Int) {
    let scale = Double(source) / Double(target)
    let support = max(scale, 1)
    taps = (0..<target).map { position in
      let center = (Double(position) + 0.5) * scale
      let first = max(0, Int((center - support + 0.5).rounded(.down)))
      let last = min(source, Int((center + support + 0.5).rounded(.down)))
      let weights = (first..<max(last, first + 1)).map { max(0, 1 - abs((Double($0) + 0.5 - center) / support)) }
      let sum = weights.reduce(0, +)
      return Tap(start: min(first, source - 1), weights: weights.map { Float(sum > 0 ? $0 / sum : 1 / Double(weights.count)) })
    }
  }

  /// Resamples `values`, an array of `lines` lines with `length` points of `channels` interleaved numbers each.
  private func apply(_ values: [Float], lines: Int, length: Int, channels: Int) -> [Float] {
    var result = [Float](repeating: 0, count: lines * taps.count * channels)
    for line in 0..<lines {
      for (position, tap) in taps.enumerated() {
        for (step, weight) in tap.weights.enumerated() {
          let from = (line * length + min(tap.start + step, length - 1)) * channels
          let to = (line * taps.count + position) * channels
          for channel in 0..<channels { result[to + channel] += weight * values[from + channel] }
        }
      }
    }
    return result
  }

  /// `image` at `width` x `height`: `height * width * 3` numbers in 0...1.
  static func resample(_ image: RGBImage, width: Int, height: Int) -> [Float] {
    let values = image.pixels.map { Float($0) / 255 }
    if image.width == width, image.height == height { return values }
    let rows = TriangleFilter(from: image.width, to: width).apply(values, lines: image.height, length: image.width, channels: 3)
    // One line whose points are whole rows.
    return TriangleFilter(from: image.height, to: height).apply(rows, lines: 1, length: image.height, channels: width * 3)
  }
}
