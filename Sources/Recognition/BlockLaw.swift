public import GraphIR
public import Tensors

/// What a family of blocks does to any tensor whatever its weights are: a fact about input and output that a run can break.
public enum BlockLaw: Sendable, Hashable {
  /// `y = x g`, where g is the same along these axes of x: places for a channel gate, channels for a spatial gate.
  case gates(ValueID, constantAlong: [Int])
  /// Each channel of the output depends on the same channel of the input alone.
  case channelsApart(ValueID, inputAxis: Int, outputAxis: Int)

  /// The law in words, for a report on a block that breaks it.
  public var broken: String {
    switch self {
    case .gates: "what it multiplies is not the same along the axes that its gate lacks"
    case .channelsApart: "channels are mixed as well as tokens"
    }
  }

  /// A gate's law: it is the same along the axes of x that broadcasting gives it.
  static func gate(_ view: GraphView, _ x: ValueID, by gate: ValueID) -> BlockLaw? {
    guard let whole = view.shape(x), let own = view.shape(gate), own.rank <= whole.rank else { return nil }
    let dims = Array(repeating: Dim(1), count: whole.rank - own.rank) + own.dims
    let axes = whole.dims.indices.filter { whole[$0] != 1 && dims[$0] == 1 }
    return axes.isEmpty ? nil : .gates(x, constantAlong: axes)
  }

  /// The law of mixers, where channels are one axis before and behind.
  static func mixing(_ view: GraphView, _ x: ValueID, _ y: ValueID) -> BlockLaw? {
    func channel(_ value: ValueID) -> Int? {
      let axes = view.labels.kinds(value).enumerated().filter { $0.element == .channel }.map(\.offset)
      return axes.count == 1 ? axes[0] : nil
    }
    guard let a = channel(x), let b = channel(y), let before = view.shape(x), let after = view.shape(y), before[a] == after[b], before[a] != 1 else {
      return nil
    }
    return .channelsApart(x, inputAxis: a, outputAxis: b)
  }

  /// How far `y` is from x times one number for all places of `axes`, relative to the largest y.
  public static func gateDeviation(_ x: Tensor, _ y: Tensor, along axes: [Int]) -> Double? {
    guard x.dims == y.dims, let a = x.doubles(), let b = y.doubles(), axes.allSatisfy(x.dims.indices.contains) else { return nil }
    let group = groups(x.dims, without: axes)
    let count = (group.max() ?? -1) + 1
    var products = [Double](repeating: 0, count: count)
    var squares = products
    for index in a.indices {
      products[group[index]] += a[index] * b[index]
      squares[group[index]] += a[index] * a[index]
    }
    let size = Swift.max(b.map { abs($0) }.max() ?? 0, 1e-12)
    let worst = a.indices.map { abs(b[$0] - (squares[group[$0]] > 0 ? products[group[$0]] / squares[group[$0]] : 0) * a[$0]) }.max() ?? 0
    return worst / size
  }

  /// For each element the number of its group: elements that differ along `axes` alone are in one.
  private static func groups(_ dims: [Int], without axes: [Int]) -> [Int] {
    var steps = [Int](repeating: 0, count: dims.count)
    var step = 1
    for axis in dims.indices.reversed() where !axes.contains(axis) {
      steps[axis] = step
      step *= dims[axis]
    }
    var result: [Int] = []
    var place = [Int](repeating: 0, count: dims.count)
    let count = dims.checkedProduct ?? 0
    result.reserveCapacity(count)
    for _ in 0..<count {
      result.append(zip(place, steps).reduce(0) { $0 + $1.0 * $1.1 })
      var axis = dims.count - 1
      while axis >= 0 {
        place[axis] += 1
        if place[axis] < dims[axis] { break }
        place[axis] = 0
        axis -= 1
      }
    }
    return result
  }

  /// `tensor` with one channel moved, for the law of mixers.
  public static func moved(_ tensor: Tensor, channel: Int, axis: Int) -> Tensor? {
    guard tensor.elementType == .float32, tensor.dims.indices.contains(axis), let elements = tensor.doubles() else { return nil }
    let inner = tensor.dims[(axis + 1)...].reduce(1, *)
    let size = tensor.dims[axis]
    guard inner > 0, size > 0 else { return nil }
    let values = elements.enumerated().map { index, value in Float(index / inner % size == channel ? value * 1.5 + 0.75 : value) }
    return try? Tensor(float32: values, dims: tensor.dims)
  }

  /// The largest change outside `channel`, relative to the largest change within it; nil where nothing changed at all.
  public static func leak(_ before: Tensor, _ after: Tensor, channel: Int, axis: Int) -> Double? {
    guard before.dims == after.dims, before.dims.indices.contains(axis), let a = before.doubles(), let b = after.doubles() else { return nil }
    let inner = before.dims[(axis + 1)...].reduce(1, *)
    let size = before.dims[axis]
    guard inner > 0, size > 0 else { return nil }
    var (own, other) = (0.0, 0.0)
    for index in a.indices {
      let change = abs(a[index] - b[index])
      if index / inner % size == channel { own = Swift.max(own, change) } else { other = Swift.max(other, change) }
    }
    return own > 0 || other > 0 ? other / Swift.max(own, 1e-12) : nil
  }
}
