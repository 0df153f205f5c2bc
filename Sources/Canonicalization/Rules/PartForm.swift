internal import GraphIR
internal import Tensors

/// Parts of a tensor are slices: of one axis, with known start, end and step 1.
enum PartForm {
  static let rules: [Rule] = [split, gather]

  /// `split(x) = slice(x, 0..<a), slice(x, a..<b), ...`
  static let split = Rule(.exact) { site, sweep in
    guard case .layout(.split(let rawAxis)) = site.op, let x = site.input(0), let shape = sweep.shape(x), let axis = normalized(rawAxis, shape.rank) else {
      return nil
    }
    var sizes: [Int] = []
    for result in site.results {
      guard let result, let size = sweep.shape(result)?[axis].value else {
        // A result left out has the size that `sizes` tells.
        guard let known = sweep.integers(site.input(1)), sizes.count < known.count else { return nil }
        sizes.append(known[sizes.count])
        continue
      }
      sizes.append(size)
    }
    var start = 0
    var parts: [ValueID?] = []
    for (result, size) in zip(site.results, sizes) {
      let (end, overflow) = start.addingReportingOverflow(size)
      if overflow { return nil }
      if result == nil {
        parts.append(nil)
      } else {
        guard let part = slice(x, axis, start, end, for: site, &sweep) else { return nil }
        parts.append(part)
      }
      start = end
    }
    return parts
  }

  /// `gather(x, i) = reshape(slice(x, i..<i+1))` for a number i; a run of consecutive indices is a slice.
  static let gather = Rule(.exact) { site, sweep in
    guard case .indexing(.gather(let rawAxis)) = site.op, let x = site.input(0), sweep.constant(x) == nil, let shape = sweep.shape(x),
      let axis = normalized(rawAxis, shape.rank), let indices = sweep.constant(site.input(1)), indices.dims.count <= 1, let all = indices.integers(),
      let first = all.first
    else { return nil }
    let size = shape[axis].value
    guard first >= 0 || size != nil, zip(all, all.dropFirst()).allSatisfy({ $1 &- $0 == 1 }) else { return nil }
    let start = first < 0 ? first &+ (size ?? 0) : first
    guard start >= 0, start < Int.max - all.count, all.allSatisfy({ $0 >= 0 }) || all.count == 1,
      let part = slice(x, axis, start, start + all.count, for: site, &sweep)
    else { return nil }
    if !indices.dims.isEmpty { return [part] }
    var dims = shape.dims
    dims.remove(at: axis)
    if let result = sweep.reshape(part, to: dims, for: site) { return [result] }
    guard let axes = sweep.vector([axis], for: site) else { return nil }
    return sweep.make(.layout(.squeeze), [part, axes], for: site).map { [$0] }
  }

  private static func slice(_ x: ValueID, _ axis: Int, _ start: Int, _ end: Int, for site: Site, _ sweep: inout Sweep) -> ValueID? {
    guard let starts = sweep.vector([start], for: site), let ends = sweep.vector([end], for: site), let axes = sweep.vector([axis], for: site) else {
      return nil
    }
    return sweep.make(.layout(.slice), [x, starts, ends, axes], for: site)
  }

  static func normalized(_ axis: Int, _ rank: Int) -> Int? {
    let result = axis < 0 ? axis + rank : axis
    return 0..<rank ~= result ? result : nil
  }
}
