internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Resize (ONNX 19) axis by axis: every mode is a weighted sum of the neighbors of a coordinate, separable over axes.
extension ResizeOp {
  private struct Tap {
    var index: Int
    var weight: Double
  }

  func evaluate(_ x: Tensor, scales: [Double]?, _ element: ElementType, _ dims: [Int]) throws(Failure) -> Tensor {
    // Between two axes the array may be larger than before and after.
    try IndexingOp.resize(self).checkRunnable(zip(x.dims, dims).map { max($0, $1) })
    var values = element.isFloatingPoint ? try x.reals(for: "Resize") : try x.wholes(for: "Resize").map { Double($0) }
    var current = x.dims
    for axis in dims.indices where dims[axis] != current[axis] || (scales?[axis] ?? 1) != 1 {
      guard current[axis] > 0 else { throw Failure(.shapeMismatch, "Resize: an empty axis cannot be resized") }
      let scale = scales?[axis] ?? Double(dims[axis]) / Double(current[axis])
      let taps = (0..<dims[axis]).map { self.taps($0, from: current[axis], to: scale * Double(current[axis]), scale: scale) }
      let rows = AxisRows(current, axis: axis)
      current[axis] = dims[axis]
      var result = [Double](repeating: 0, count: current.reduce(1, *))
      for outer in 0..<rows.outer {
        for place in 0..<dims[axis] {
          for tap in taps[place] {
            let source = (outer * rows.length + tap.index) * rows.inner
            let target = (outer * dims[axis] + place) * rows.inner
            for inner in 0..<rows.inner { result[target + inner] += tap.weight * values[source + inner] }
          }
        }
      }
      values = result
    }
    if element.isFloatingPoint { return try Tensor(element, dims: dims, reals: values) }
    return try Tensor(element, dims: dims, wholes: values.map { saturated($0) })
  }

  /// - Parameter target: the size that the scale asks for, before it is rounded down to whole elements.
  private func taps(_ place: Int, from size: Int, to target: Double, scale: Double) -> [Tap] {
    let position: Double
    switch coordinates {
    case .halfPixel: position = (Double(place) + 0.5) / scale - 0.5
    case .pytorchHalfPixel: position = target > 1 ? (Double(place) + 0.5) / scale - 0.5 : 0
    case .alignCorners: position = target > 1 ? Double(place) * Double(size - 1) / (target - 1) : 0
    case .asymmetric: position = Double(place) / scale
    }
    func inside(_ index: Double) -> Int { Int(min(max(index, 0), Double(size - 1))) }
    switch mode {
    case .nearest:
      let index: Double
      switch nearest {
      case .roundPreferFloor: index = (position - 0.5).rounded(.up)
      case .roundPreferCeil: index = (position + 0.5).rounded(.down)
      case .floor: index = position.rounded(.down)
      case .ceil: index = position.rounded(.up)
      }
      return [Tap(index: inside(index), weight: 1)]
    case .linear:
      let clamped = min(max(position, 0), Double(size - 1))
      let low = clamped.rounded(.down)
      return [Tap(index: inside(low), weight: 1 - (clamped - low)), Tap(index: inside(low + 1), weight: clamped - low)]
    case .cubic:
      // Keys' kernel with a = -0.75, ONNX's default.
      let low = position.rounded(.down)
      let t = position - low
      let a = -0.75
      func near(_ d: Double) -> Double { ((a + 2) * d - (a + 3)) * d * d + 1 }
      func far(_ d: Double) -> Double { ((a * d - 5 * a) * d + 8 * a) * d - 4 * a }
      let weights = [far(t + 1), near(t), near(1 - t), far(2 - t)]
      return weights.enumerated().map { Tap(index: inside(low + Double($0.offset) - 1), weight: $0.element) }
    }
  }
}
