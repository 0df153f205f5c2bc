internal import GraphIR
internal import Tensors

/// Parts of one tensor put side by side along a new axis, or along another, are a rearrangement of it: heads as lists write
/// them.
enum StackForm {
  static let rules: [Rule] = [stacked, flattened]

  /// `stack(split(x, n)) = transpose(reshape(x))`: the parts of an axis, each with a new axis, joined along that.
  static let stacked = Rule(.exact) { site, sweep in
    guard case .layout(.concat(let rawAxis)) = site.op, site.inputs.count >= 2, let shape = sweep.resultShape(site),
      let axis = PartForm.normalized(rawAxis, shape.rank), let parts = parts(site, sweep), let whole = sweep.shape(parts.source), whole.rank + 1 == shape.rank,
      let count = whole[parts.axis].value, count == site.inputs.count * parts.size
    else { return nil }
    var part = whole.dims
    part[parts.axis] = Dim(parts.size)
    var expected = part
    expected.insert(1, at: axis)
    guard site.inputs.allSatisfy({ $0.flatMap { sweep.shape($0) }?.dims == expected }) else { return nil }
    var split = whole.dims
    split[parts.axis] = Dim(parts.size)
    split.insert(Dim(site.inputs.count), at: parts.axis)
    var permutation = part.indices.map { $0 < parts.axis ? $0 : $0 + 1 }
    permutation.insert(parts.axis, at: axis)
    guard let apart = sweep.reshape(parts.source, to: split, for: site, origins: parts.origins) else { return nil }
    return sweep.make(.layout(.transpose(permutation)), [apart], for: site, origins: parts.origins).map { [$0] }
  }

  /// `concat(unbind(x)) = reshape(transpose(x))`: the elements of an axis joined along another.
  static let flattened = Rule(.exact) { site, sweep in
    guard case .layout(.concat(let rawAxis)) = site.op, site.inputs.count >= 2, let shape = sweep.resultShape(site),
      let axis = PartForm.normalized(rawAxis, shape.rank), let parts = parts(site, sweep), parts.size == 1, let whole = sweep.shape(parts.source),
      whole.rank == shape.rank + 1, whole[parts.axis].value == site.inputs.count
    else { return nil }
    var expected = whole.dims
    expected.remove(at: parts.axis)
    guard site.inputs.allSatisfy({ $0.flatMap { sweep.shape($0) }?.dims == expected }) else { return nil }
    var permutation = whole.dims.indices.filter { $0 != parts.axis }
    permutation.insert(parts.axis, at: axis)
    guard let moved = sweep.make(.layout(.transpose(permutation)), [parts.source], for: site, origins: parts.origins) else { return nil }
    return sweep.reshape(moved, to: shape.dims, for: site).map { [$0] }
  }

  private struct Parts {
    var source: ValueID
    var axis: Int
    /// Elements of the axis in each part.
    var size: Int
    var origins: OriginSet
  }

  /// The tensor whose consecutive parts of one size, with an axis more or less, are joined; nil where they are not.
  private static func parts(_ site: Site, _ sweep: Sweep) -> Parts? {
    var result: Parts?
    for (index, input) in site.inputs.enumerated() {
      guard let outer = sweep.producer(input), isReshaping(outer.op), let slice = sweep.producer(outer.input(0)), slice.op == .layout(.slice),
        let source = slice.input(0), let starts = sweep.integers(slice.input(1)), let ends = sweep.integers(slice.input(2)), starts.count == 1, ends.count == 1,
        sweep.integers(slice.input(4)).map({ $0 == [1] }) ?? true, let rank = sweep.shape(source)?.rank
      else { return nil }
      let given = slice.input(3) == nil ? [0] : sweep.integers(slice.input(3)) ?? []
      guard given.count == 1, let axis = PartForm.normalized(given[0], rank), let length = sweep.shape(source)?[axis].value else { return nil }
      let start = starts[0] < 0 ? starts[0] &+ length : starts[0]
      let end = min(ends[0] < 0 ? ends[0] &+ length : ends[0], length)
      guard start >= 0, end > start else { return nil }
      let size = end - start
      if let known = result {
        guard known.source == source, known.axis == axis, known.size == size else { return nil }
      } else {
        result = Parts(source: source, axis: axis, size: size, origins: [])
      }
      guard start == index &* size else { return nil }
      if let known = result { result?.origins = known.origins.union(outer.origins).union(slice.origins) }
    }
    return result
  }

  private static func isReshaping(_ op: Op) -> Bool {
    switch op {
    case .layout(.reshape), .layout(.unsqueeze), .layout(.squeeze): true
    default: false
    }
  }
}
