internal import Diagnostics
internal import GraphIR
internal import Tensors

/// How one axis is resized.
struct ResizedAxis {
  var axis: Int
  /// Result elements for one of the input.
  var scale: Double
  /// The part of the axis that `cropAndResize` takes, as fractions of its length.
  var region = 0.0...1.0
}

/// Resize (ONNX 19) axis by axis: every mode is a weighted sum of the neighbors of a coordinate, separable over axes.
extension ResizeOp {
  private struct Tap {
    var index: Int
    var weight: Double
  }

  func evaluate(_ x: Tensor, _ axes: [ResizedAxis], _ element: ElementType, _ dims: [Int]) throws(Failure) -> Tensor {
    // Between two axes the array may be larger than before and after.
    try IndexingOp.resize(self).checkRunnable(zip(x.dims, dims).map { max($0, $1) })
    var values = try x.reals(for: "Resize")
    var current = x.dims
    for item in axes where dims[item.axis] != current[item.axis] || item.scale != 1 || coordinates == .cropAndResize {
      let axis = item.axis
      guard current[axis] > 0 || dims[axis] == 0 else { throw Failure(.shapeMismatch, "Resize: an empty axis cannot be resized") }
      let taps = (0..<dims[axis]).map { self.taps($0, of: dims[axis], from: current[axis], item) }
      let rows = AxisRows(current, axis: axis)
      current[axis] = dims[axis]
      var result = [Double](repeating: 0, count: current.reduce(1, *))
      for outer in 0..<rows.outer {
        for place in 0..<dims[axis] {
          let target = (outer * dims[axis] + place) * rows.inner
          guard let list = taps[place] else {
            for inner in 0..<rows.inner { result[target + inner] = Double(extrapolation) }
            continue
          }
          for tap in list {
            let source = (outer * rows.length + tap.index) * rows.inner
            for inner in 0..<rows.inner { result[target + inner] += tap.weight * values[source + inner] }
          }
        }
      }
      values = result
    }
    return try Tensor(element, dims: dims, reals: values)
  }

  /// nil outside the input, where the result is the extrapolation value.
  private func taps(_ place: Int, of resized: Int, from size: Int, _ item: ResizedAxis) -> [Tap]? {
    let scale = item.scale
    // The size that the scale asks for, before it is rounded to whole elements.
    let target = scale * Double(size)
    let last = Double(size - 1)
    let position: Double
    switch coordinates {
    case .halfPixel: position = (Double(place) + 0.5) / scale - 0.5
    case .halfPixelSymmetric: position = Double(size) / 2 * (1 - Double(resized) / target) + (Double(place) + 0.5) / scale - 0.5
    case .pytorchHalfPixel: position = target > 1 ? (Double(place) + 0.5) / scale - 0.5 : 0
    case .alignCorners: position = target > 1 ? Double(place) * last / (target - 1) : 0
    case .asymmetric: position = Double(place) / scale
    case .cropAndResize:
      let (start, end) = (item.region.lowerBound, item.region.upperBound)
      position = resized > 1 ? (start + Double(place) * (end - start) / Double(resized - 1)) * last : 0.5 * (start + end) * last
      if position < 0 || position > last { return nil }
    }
    func inside(_ index: Double) -> Int { index.isNaN ? 0 : Int(min(max(index, 0), last)) }
    if mode == .nearest {
      let index: Double
      switch nearest {
      case .roundPreferFloor: index = (position - 0.5).rounded(.up)
      case .roundPreferCeil: index = (position + 0.5).rounded(.down)
      case .floor: index = position.rounded(.down)
      case .ceil: index = position.rounded(.up)
      }
      return [Tap(index: inside(index), weight: 1)]
    }
    // Where the result is smaller, antialiasing stretches the kernel over as many elements as one of the result stands
    // for; more than all there are say nothing new.
    let stretch = antialias && scale < 1 ? max(scale, 1 / Double(size)) : 1
    let reach = Int(((mode == .linear ? 1 : 2) / stretch).rounded(.up))
    let low = position.rounded(.down)
    var taps: [Tap] = []
    var sum = 0.0
    for offset in (1 - reach)...reach {
      let index = low + Double(offset)
      if excludesOutside, index < 0 || index > last { continue }
      let weight = kernel(abs(index - position) * stretch)
      sum += weight
      taps.append(Tap(index: inside(index), weight: weight))
    }
    guard excludesOutside || stretch < 1, sum != 0 else { return taps }
    for index in taps.indices { taps[index].weight /= sum }
    return taps
  }

  /// The weight of an element at a distance: a triangle, or the cubic kernel of Keys (1981).
  private func kernel(_ distance: Double) -> Double {
    if mode == .linear { return max(0, 1 - distance) }
    let a = Double(cubicCoefficient)
    if distance <= 1 { return ((a + 2) * distance - (a + 3)) * distance * distance + 1 }
    return distance < 2 ? ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a : 0
  }
}
