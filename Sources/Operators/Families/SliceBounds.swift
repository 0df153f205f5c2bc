internal import Diagnostics
internal import Tensors

/// Starts, ends, axes and steps of Slice (ONNX 13), axes counted from the front.
struct SliceBounds {
  let axes: [Int]
  /// `Dim.unknown` where a bound is not known.
  let starts, ends: [Dim]
  let steps: [Int]

  /// nil when it is not known which axes are sliced, or by what steps.
  init?(_ operands: [Fact?], shape: Shape, of op: some Operator) throws(Failure) {
    let startFact = try operands.required(1)
    let endFact = try operands.required(2)
    for fact in [startFact, endFact] {
      if let bounds = fact.type.shape, bounds.rank != 1 { throw op.mismatch("bounds of shape \(bounds)") }
    }
    guard let count = startFact.type.shape?[0].value ?? startFact.value?.dimensions?.count, count <= shape.rank else {
      if let count = startFact.type.shape?[0].value { throw op.mismatch("\(count) bounds for \(shape)") }
      return nil
    }
    let starts = startFact.value?.dimensions ?? [Dim](repeating: .unknown, count: count)
    let ends = endFact.value?.dimensions ?? [Dim](repeating: .unknown, count: count)
    var axes = Array(0..<count)
    if let fact = operands.fact(3) {
      guard let known = fact.value?.integers else { return nil }
      axes = try op.axes(known, rank: shape.rank)
    }
    var steps = [Int](repeating: 1, count: count)
    if let fact = operands.fact(4) {
      guard let known = fact.value?.integers else { return nil }
      steps = known
    }
    guard starts.count == count, ends.count == count, axes.count == count, steps.count == count else {
      throw op.mismatch("starts, ends, axes and steps have different lengths")
    }
    guard !steps.contains(0) else { throw op.mismatch("a step is 0") }
    self.axes = axes
    self.starts = starts
    self.ends = ends
    self.steps = steps.map { max($0, -Int.max) }
  }

  /// How many elements bound `position` leaves of an axis of `size`.
  func size(at position: Int, of size: Dim) throws(Failure) -> Dim {
    if let number = size.value, let start = starts[position].value, let end = ends[position].value {
      return Dim(SliceBounds.range(start, end, steps[position], size: number).count)
    }
    guard let start = try place(starts[position], in: size, step: steps[position], isEnd: false),
      let end = try place(ends[position], in: size, step: steps[position], isEnd: true)
    else { return .unknown }
    let distance = steps[position] > 0 ? try end.minus(start) : try start.minus(end)
    return try distance.ceiled(by: Dim(abs(steps[position]))).atLeast(0)
  }

  /// A bound counted from the front and clamped; nil when its sign is not certain.
  private func place(_ bound: Dim, in size: Dim, step: Int, isEnd: Bool) throws(Failure) -> Dim? {
    if bound == .unknown { return nil }
    let low: Dim = step < 0 && isEnd ? -1 : 0
    let high = step < 0 ? try size.minus(1) : size
    // Ends beyond any tensor spell "to the last" or "to the first".
    if let value = bound.value, value >= Int(Int32.max) { return high }
    if let value = bound.value, value <= -Int(Int32.max) { return low }
    let counted: Dim
    if let least = bound.lowerBound, least >= 0 {
      counted = bound
    } else if let most = bound.upperBound, most < 0 {
      counted = try bound.plus(size)
    } else {
      return nil
    }
    return try counted.atLeast(low).atMost(high)
  }

  /// The first index and the number of indices taken from an axis of `size`.
  static func range(_ start: Int, _ end: Int, _ step: Int, size: Int) -> (first: Int, count: Int) {
    func counted(_ bound: Int, _ low: Int, _ high: Int) -> Int { Swift.min(Swift.max(bound < 0 ? bound + size : bound, low), high) }
    if step > 0 {
      let first = counted(start, 0, size)
      let last = counted(end, 0, size)
      return (first, last > first ? (last - first - 1) / step + 1 : 0)
    }
    let first = counted(start, 0, size - 1)
    let last = counted(end, -1, size - 1)
    return (first, first > last ? (first - last - 1) / -step + 1 : 0)
  }
}
