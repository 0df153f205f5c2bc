/// How the elements of a tensor lie in memory: dimensions and strides, both in elements, outermost axis first.
public struct Strided: Hashable, Sendable {
  public var dims: [Int]
  public var strides: [Int]

  public init(dims: [Int], strides: [Int]) {
    self.dims = dims
    self.strides = strides
  }

  /// Row-major without gaps. `dims` must have a product that fits.
  public init(dense dims: [Int]) {
    self.dims = dims
    strides = Strided.denseStrides(dims)
  }

  public static func denseStrides(_ dims: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: dims.count)
    var step = 1
    for axis in dims.indices.reversed() {
      strides[axis] = step
      step &*= Swift.max(dims[axis], 1)
    }
    return strides
  }

  /// Without gaps, the axes lying in memory in the order `order` (outermost first).
  public init(dims: [Int], order: [Int]) {
    self.dims = dims
    let steps = Strided.denseStrides(order.map { dims[$0] })
    strides = [Int](repeating: 1, count: dims.count)
    for (place, axis) in order.enumerated() { strides[axis] = steps[place] }
  }

  public var rank: Int { dims.count }
  public var count: Int { dims.reduce(1, &*) }
  /// Row-major without gaps; strides of axes of one element do not matter.
  public var isDense: Bool { Strided.matches(strides, Strided.denseStrides(dims), dims) }

  /// The axes from the outermost in memory to the innermost; axes of one element keep their place among equals.
  public var memoryOrder: [Int] {
    dims.indices.sorted { a, b in
      let (x, y) = (effectiveStride(a), effectiveStride(b))
      return x != y ? x > y : a < b
    }
  }
  private func effectiveStride(_ axis: Int) -> Int {
    if dims[axis] != 1 { return strides[axis] }
    // An axis of one element goes where row-major order would put it.
    for later in dims.indices where later > axis && dims[later] != 1 { return Swift.max(strides[later] &* dims[later], 1) }
    return 1
  }

  /// Without gaps, in some order of the axes.
  public var isPacked: Bool { Strided.matches(strides, Strided(dims: dims, order: memoryOrder).strides, dims) }

  static func matches(_ a: [Int], _ b: [Int], _ dims: [Int]) -> Bool {
    for axis in dims.indices where dims[axis] > 1 && a[axis] != b[axis] { return false }
    return true
  }

  public func permuted(_ axes: [Int]) -> Strided { Strided(dims: axes.map { dims[$0] }, strides: axes.map { strides[$0] }) }

  /// The same memory under other dimensions of equal product, or nil where no strides can say it.
  public func reshaped(_ target: [Int]) -> Strided? {
    if count == 0 || target.contains(0) { return Strided(dense: target) }
    var result = [Int](repeating: 0, count: target.count)
    let old = dims.indices.filter { dims[$0] != 1 }
    var (i, j) = (0, 0)
    while i < old.count {
      // The smallest groups of axes on both sides with equal products.
      var (last, next) = (i, j)
      var oldProduct = dims[old[i]]
      while j < target.count, target[j] == 1 { j += 1 }
      guard j < target.count else { return nil }
      next = j
      var newProduct = target[j]
      while oldProduct != newProduct {
        if oldProduct < newProduct {
          last += 1
          guard last < old.count else { return nil }
          oldProduct &*= dims[old[last]]
        } else {
          next += 1
          guard next < target.count else { return nil }
          newProduct &*= target[next]
        }
      }
      for k in i..<last where strides[old[k]] != strides[old[k + 1]] &* dims[old[k + 1]] { return nil }
      var step = strides[old[last]]
      for k in (j...next).reversed() {
        result[k] = step
        step &*= target[k]
      }
      i = last + 1
      j = next + 1
    }
    // Axes of one element get the stride that keeps row-major tensors row-major.
    for k in target.indices.reversed() where target[k] == 1 {
      result[k] = k + 1 < target.count ? result[k + 1] &* target[k + 1] : 1
    }
    return Strided(dims: target, strides: result)
  }

  /// The part inside `ranges` of the tensor this one is broadcast to, and the element it starts at; axes of one element,
  /// which repeat, stay whole.
  func cut(_ ranges: [Range<Int>]) -> (layout: Strided, start: Int) {
    var (result, start) = (self, 0)
    for axis in dims.indices where dims[axis] != 1 {
      result.dims[axis] = ranges[axis].count
      start += ranges[axis].lowerBound * strides[axis]
    }
    return (result, start)
  }

  /// Broadcast to `target` by NumPy's rule: new and one-element axes get stride 0.
  public func broadcast(to target: [Int]) -> Strided? {
    guard target.count >= rank else { return nil }
    let lead = target.count - rank
    var result = [Int](repeating: 0, count: target.count)
    for axis in dims.indices {
      if dims[axis] == target[lead + axis] {
        result[lead + axis] = dims[axis] == 1 ? 0 : strides[axis]
      } else if dims[axis] != 1 {
        return nil
      }
    }
    return Strided(dims: target, strides: result)
  }
}
