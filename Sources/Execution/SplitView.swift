internal import Kernels

/// A value whose axes each run over several axes of its memory, as reshapes and transpositions of patches leave them: no
/// strides of its own can say it, but one copy at the end of such a chain can make it.
struct SplitView {
  struct Factor {
    var size: Int
    var stride: Int
  }
  var view: View
  /// For each axis of the value, outermost first, the axes of the memory that it runs over.
  var axes: [[Factor]]

  init(_ view: View) {
    self.view = view
    axes = zip(view.layout.dims, view.layout.strides).map { $0 == 1 ? [] : [Factor(size: $0, stride: $1)] }
  }

  func permuted(_ order: [Int]) -> SplitView {
    var result = self
    result.axes = order.map { axes[$0] }
    return result
  }

  /// The same elements under other dimensions of equal product, or nil where an axis of the memory would have to be cut at
  /// a place that divides it unevenly.
  func reshaped(_ dims: [Int]) -> SplitView? {
    var rest = axes.joined().reversed() as [Factor]
    var result = self
    result.axes = []
    for size in dims {
      guard size > 0 else { return nil }
      var (left, own) = (size, [Factor]())
      while left > 1 {
        guard let factor = rest.popLast() else { return nil }
        if left % factor.size == 0 {
          own.append(factor)
          left /= factor.size
        } else if factor.size % left == 0 {
          let inner = factor.size / left
          own.append(Factor(size: left, stride: factor.stride * inner))
          rest.append(Factor(size: inner, stride: factor.stride))
          left = 1
        } else {
          return nil
        }
      }
      result.axes.append(own)
    }
    return rest.isEmpty ? result : nil
  }

  var dims: [Int] { axes.map { $0.reduce(1) { $0 * $1.size } } }

  /// With one stride for each axis, where that can say it.
  var merged: View? {
    var strides: [Int] = []
    for axis in axes {
      for (outer, inner) in zip(axis, axis.dropFirst()) where outer.stride != inner.stride * inner.size { return nil }
      strides.append(axis.last?.stride ?? 0)
    }
    let dims = dims
    // Axes of one element get the stride that keeps row-major tensors row-major.
    for axis in dims.indices.reversed() where dims[axis] == 1 {
      strides[axis] = axis + 1 < dims.count ? Swift.max(strides[axis + 1] * dims[axis + 1], 1) : 1
    }
    return view.with(Strided(dims: dims, strides: strides))
  }

  /// The order in which the axes best lie in a copy: as they are, but that which is contiguous in memory comes last.
  var order: [Int] {
    let all = Array(axes.indices)
    guard let inner = all.first(where: { axes[$0].last?.stride == 1 }) else { return all }
    return all.filter { $0 != inner } + [inner]
  }

  /// Source and target of that copy, axis by axis of the memory.
  func copy(to target: Strided) -> (from: Strided, to: Strided) {
    var (sizes, from, to) = ([Int](), [Int](), [Int]())
    for (axis, factors) in axes.enumerated() {
      var step = target.strides[axis]
      var steps: [Int] = []
      for factor in factors.reversed() {
        steps.append(step)
        step *= factor.size
      }
      sizes += factors.map(\.size)
      from += factors.map(\.stride)
      to += steps.reversed()
    }
    return (Strided(dims: sizes, strides: from), Strided(dims: sizes, strides: to))
  }
}
