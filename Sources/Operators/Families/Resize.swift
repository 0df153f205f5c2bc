internal import Diagnostics
internal import GraphIR
internal import Tensors

/// The shape rule of Resize (ONNX 19).
extension ResizeOp {
  private var op: IndexingOp { .resize(self) }

  func shape(_ shape: Shape?, _ operands: [Fact?]) throws(Failure) -> Shape? {
    guard let shape else { return nil }
    let axes = try resizedAxes(rank: shape.rank)
    var dims = shape.dims
    if let sizes = operands.fact(3), sizes.type.shape?.dims.first?.value != 0 {
      guard let given = sizes.value?.dimensions else { return unknown(shape, axes) }
      guard given.count == axes.count, given.allSatisfy({ ($0.value ?? 1) > 0 }) else { throw op.mismatch("sizes \(given) for \(shape)") }
      if aspectRatio == .stretch {
        for (axis, size) in zip(axes, given) { dims[axis] = size }
        return Shape(dims)
      }
      guard let scale = try commonScale(shape, axes, given) else { return unknown(shape, axes) }
      for axis in axes { if let size = shape[axis].value { dims[axis] = Dim(try whole(Double(size) * scale + 0.5)) } }
      return Shape(dims)
    }
    guard let scales = operands.fact(2) else { throw Failure(.operandCount, "Resize has neither scales nor sizes") }
    guard let factors = numbers(scales) else { return unknown(shape, axes) }
    guard factors.count == axes.count, factors.allSatisfy({ $0 > 0 && $0.isFinite }) else { throw op.mismatch("scales \(factors) for \(shape)") }
    let regions = try regions(operands.fact(1), count: axes.count)
    for (index, axis) in axes.enumerated() {
      let factor = factors[index]
      guard coordinates != .cropAndResize || regions != nil else { return unknown(shape, axes) }
      let part = regions.map { $0[index].upperBound - $0[index].lowerBound } ?? 1
      if let size = shape[axis].value {
        dims[axis] = Dim(try whole(Double(size) * part * factor))
      } else if part != 1 {
        dims[axis] = .unknown
      } else if let times = Int(exactly: factor) {
        dims[axis] = try shape[axis].times(Dim(times))
      } else if let divisor = Int(exactly: 1 / factor) {
        dims[axis] = try shape[axis].floored(by: Dim(divisor))
      } else {
        dims[axis] = .unknown
      }
    }
    return Shape(dims)
  }

  /// The axes with their scales, for numbers.
  func axes(_ operands: [Tensor?], from: [Int], to dims: [Int]) throws(Failure) -> [ResizedAxis] {
    let axes = try resizedAxes(rank: from.count)
    let facts = operands.map { $0.map { Fact($0.type, value: .tensor($0)) } }
    let regions = try regions(facts.fact(1), count: axes.count)
    if coordinates == .cropAndResize, regions == nil { throw Failure(.operandCount, "Resize has no region to crop") }
    var scales: [Double]?
    if let sizes = facts.fact(3), let given = sizes.value?.dimensions, !given.isEmpty {
      if aspectRatio != .stretch, let scale = try commonScale(Shape(from), axes, given) { scales = axes.map { _ in scale } }
    } else {
      scales = facts.fact(2).flatMap { numbers($0) }
    }
    return axes.enumerated().map { index, axis in
      ResizedAxis(
        axis: axis, scale: scales?[index] ?? (from[axis] == 0 ? 1 : Double(dims[axis]) / Double(from[axis])), region: regions?[index] ?? 0...1)
    }
  }

  private func resizedAxes(rank: Int) throws(Failure) -> [Int] {
    guard let axes else { return Array(0..<rank) }
    return try op.axes(axes, rank: rank)
  }

  private func unknown(_ shape: Shape, _ axes: [Int]) -> Shape {
    var dims = shape.dims
    for axis in axes { dims[axis] = .unknown }
    return Shape(dims)
  }

  private func numbers(_ fact: Fact) -> [Double]? {
    guard case .tensor(let tensor)? = fact.value, tensor.count <= 64 else { return nil }
    return tensor.doubles()
  }

  private func whole(_ size: Double) throws(Failure) -> Int {
    guard let whole = Int(exactly: size.rounded(.down)), whole >= 0 else { throw Failure(.sizeOverflow, "Resize: a size of \(size)") }
    return whole
  }

  /// Starts of all axes, then ends; read for `cropAndResize` alone, and nil while they are not known.
  private func regions(_ fact: Fact?, count: Int) throws(Failure) -> [ClosedRange<Double>]? {
    guard coordinates == .cropAndResize, let fact, let list = numbers(fact) else { return nil }
    guard list.count == 2 * count else { throw op.mismatch("a region of \(list.count) numbers for \(count) axes") }
    var regions: [ClosedRange<Double>] = []
    for index in 0..<count {
      let (start, end) = (list[index], list[index + count])
      guard start.isFinite, end.isFinite, start <= end else { throw op.mismatch("a region from \(start) to \(end)") }
      regions.append(start...end)
    }
    return regions
  }

  /// The one scale of all axes that keeps the result within the sizes, or not below them.
  private func commonScale(_ shape: Shape, _ axes: [Int], _ sizes: [Dim]) throws(Failure) -> Double? {
    var scales: [Double] = []
    for (axis, size) in zip(axes, sizes) {
      guard let from = shape[axis].value, let to = size.value else { return nil }
      guard from > 0 else { throw op.mismatch("an empty axis cannot be resized") }
      scales.append(Double(to) / Double(from))
    }
    return aspectRatio == .notLarger ? scales.min() : scales.max()
  }
}
