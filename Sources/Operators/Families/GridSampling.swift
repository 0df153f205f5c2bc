internal import Diagnostics
internal import GraphIR
internal import Tensors

/// What stands outside of an image's axis, and where its edges lie.
struct AxisBorder {
  enum Padding { case zeros, border, reflection }
  let size: Int
  let padding: Padding
  let alignCorners: Bool

  private var least: Double { alignCorners ? 0 : -0.5 }
  private var most: Double { alignCorners ? Double(size - 1) : Double(size) - 0.5 }

  /// A coordinate between -1 and 1 in pixels, in single precision where the grid is, since `nearest` depends on it.
  func pixels(_ normalized: Double, single: Bool) -> Double {
    if single {
      let n = Float(normalized)
      return Double(alignCorners ? (n + 1) / 2 * Float(size - 1) : ((n + 1) * Float(size) - 1) / 2)
    }
    return alignCorners ? (normalized + 1) / 2 * Double(size - 1) : ((normalized + 1) * Double(size) - 1) / 2
  }

  /// A coordinate brought inside, where the padding does that.
  func inside(_ position: Double) -> Double {
    guard position < least || position > most else { return position.isNaN ? -2 : position }
    switch padding {
    case .zeros: return min(max(position, -4), Double(size) + 4)
    case .border: return min(max(position, 0), Double(size - 1))
    case .reflection: return reflected(position)
    }
  }

  /// A coordinate that is an index, however far out.
  func reachable(_ position: Double) -> Double { position.isNaN ? -4 : min(max(position, -1e9), 1e9) }

  private func reflected(_ position: Double) -> Double {
    let range = most - least
    guard range > 0, position.isFinite else { return least.rounded(.up) }
    let below = position < least
    let distance = below ? least - position : position - most
    let turns = (distance / range).rounded(.down)
    let rest = distance - turns * range
    let even = turns.truncatingRemainder(dividingBy: 2) == 0
    return min(max(below == even ? least + rest : most - rest, least), most)
  }

  /// The pixel at an index; nil for the zero outside.
  func pixel(_ index: Int) -> Int? {
    if 0..<size ~= index { return index }
    guard size > 0 else { return nil }
    switch padding {
    case .zeros: return nil
    case .border: return min(max(index, 0), size - 1)
    case .reflection: return min(max(Int(reflected(Double(index))), 0), size - 1)
    }
  }
}

/// GridSample (ONNX 22): X (N, C, d1 …), grid (N, D1 …, r) of places between -1 and 1, the last axis first.
struct GridSample: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(2...2) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    let grid = try operands.required(1)
    try checkFloat(grid.type.element)
    guard let shape = x.type.shape, let places = grid.type.shape else { return [Fact(TensorType(x.type.element, nil))] }
    try checkRank(shape, 3...8, "the input")
    guard places.rank == shape.rank else { throw mismatch("an input of \(shape) and a grid of \(places)") }
    try checkAgree(places[places.rank - 1], Dim(shape.rank - 2), "coordinates of a place")
    try checkAgree(places[0], shape[0], "batches of input and grid")
    if op.word("mode") == "cubic", shape.rank > 5 { throw Failure(.operatorNotRunnable, "\(mnemonic): cubic interpolation along \(shape.rank - 2) axes") }
    return [Fact(TensorType(x.type.element, Shape(Array(shape.dims[..<2]) + Array(places.dims[1..<(places.rank - 1)]))))]
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    let axes = max((operands.first??.shape?.rank ?? 4) - 2, 1)
    let taps = op.word("mode") == "nearest" ? 1 : op.word("mode") == "linear" ? 1 << min(axes, 8) : 1 << min(2 * axes, 16)
    return Cost(elementwise: results.elementCount &* taps)
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0)
    let grid = try operands.required(1)
    let places = try grid.reals(for: mnemonic)
    let spatial = Array(x.dims[2...])
    let axes = spatial.count
    let padding: AxisBorder.Padding = op.word("padding_mode") == "zeros" ? .zeros : op.word("padding_mode") == "border" ? .border : .reflection
    let borders = spatial.map { AxisBorder(size: $0, padding: padding, alignCorners: op.flag("align_corners")) }
    let strides = rowMajorStrides(spatial)
    let (plane, made) = (spatial.reduce(1, *), dims[2...].reduce(1, *))
    let values = try x.reals(for: mnemonic)
    let single = grid.elementType != .float64
    let mode = op.word("mode")
    var result = [Double](repeating: 0, count: dims.reduce(1, *))
    for batch in 0..<dims[0] {
      for place in 0..<made {
        // Pixels under the place and their weights, grown axis by axis.
        var taps: [(offset: Int, weight: Double)] = [(0, 1)]
        for axis in 0..<axes {
          let position = borders[axis].pixels(places[(batch * made + place) * axes + (axes - 1 - axis)], single: single)
          let own = axisTaps(position, borders[axis], mode)
          taps = taps.flatMap { tap in own.map { (tap.offset + $0.pixel * strides[axis], tap.weight * $0.weight) } }
        }
        for channel in 0..<dims[1] {
          let base = (batch * dims[1] + channel) * plane
          var sum = 0.0
          for tap in taps { sum += tap.weight * values[base + tap.offset] }
          result[(batch * dims[1] + channel) * made + place] = sum
        }
      }
    }
    return [element.isFloatingPoint ? try Tensor(element, dims: dims, reals: result) : try Tensor(element, dims: dims, wholes: result.map { saturated($0) })]
  }

  private func axisTaps(_ position: Double, _ border: AxisBorder, _ mode: String) -> [(pixel: Int, weight: Double)] {
    // Cubic interpolation brings its taps inside one by one, not the place between them.
    let inside =
      mode == "cubic" ? border.reachable(position) : border.inside(mode == "nearest" ? position.rounded(.toNearestOrEven) : position)
    let floor = inside.rounded(.down)
    let first = Int(floor)
    let part = inside - floor
    let weights: [(Int, Double)]
    switch mode {
    case "nearest": weights = [(first, 1)]
    case "linear": weights = [(first, 1 - part), (first + 1, part)]
    default: weights = zip(-1...2, GridSample.cubic(part)).map { (first + $0, $1) }
    }
    return weights.compactMap { index, weight in border.pixel(index).map { ($0, weight) } }
  }

  /// Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = -0.75.
  private static func cubic(_ x: Double) -> [Double] {
    let a = -0.75
    func near(_ t: Double) -> Double { ((a + 2) * t - (a + 3)) * t * t + 1 }
    func far(_ t: Double) -> Double { ((a * t - 5 * a) * t + 8 * a) * t - 4 * a }
    return [far(x + 1), near(x), near(1 - x), far(2 - x)]
  }
}

/// AffineGrid (ONNX 20): theta (N, 2, 3) or (N, 3, 4), size (N, C, …); the places that an affine map gives each pixel.
struct AffineGrid: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(2...2) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let theta = try operands.required(0)
    let size = try operands.required(1)
    try checkFloat(theta.type.element)
    try checkElement(size, [.int64], "a size")
    try checkRank(theta, 3, "theta")
    let element = theta.type.element
    if let shape = theta.type.shape, let rows = shape[1].value, let columns = shape[2].value, !(rows == 2 && columns == 3 || rows == 3 && columns == 4) {
      throw mismatch("theta of shape \(shape)")
    }
    guard let dims = size.value?.dimensions else {
      let rank = size.type.shape?.dims.first?.value
      return [Fact(TensorType(element, rank.flatMap { 4...5 ~= $0 ? Shape.unknown(rank: $0) : nil }))]
    }
    guard dims.count == 4 || dims.count == 5, dims.allSatisfy({ ($0.value ?? 0) >= 0 }) else { throw mismatch("a size of \(dims)") }
    if let shape = theta.type.shape {
      try checkAgree(shape[0], dims[0], "batches of theta and size")
      try checkAgree(shape[1], Dim(dims.count - 2), "axes of theta and size")
    }
    return [Fact(TensorType(element, Shape([dims[0]] + dims[2...] + [Dim(dims.count - 2)])))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let theta = try operands.required(0).reals(for: mnemonic)
    let spatial = Array(dims[1..<(dims.count - 1)])
    let axes = spatial.count
    let steps = spatial.map { size in
      (0..<size).map { index -> Double in
        guard op.flag("align_corners") else { return (2 * Double(index) + 1) / Double(size) - 1 }
        return size > 1 ? 2 * Double(index) / Double(size - 1) - 1 : 0
      }
    }
    var result: [Double] = []
    result.reserveCapacity(dims.reduce(1, *))
    for batch in 0..<dims[0] {
      forEachIndex(spatial) { place in
        for row in 0..<axes {
          let first = (batch * axes + row) * (axes + 1)
          var sum = theta[first + axes]
          // x is the last axis.
          for axis in 0..<axes { sum += theta[first + axis] * steps[axes - 1 - axis][place[axes - 1 - axis]] }
          result.append(sum)
        }
      }
    }
    return [try Tensor(element, dims: dims, reals: result)]
  }
}
