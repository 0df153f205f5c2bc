internal import GraphIR
internal import Tensors

/// Changes of shape are reshapes to known dimensions and transposes, one of a kind in a row.
enum ShapeForm {
  static let rules: [Rule] = [reshape, transposes]

  /// Squeeze, Unsqueeze, Flatten and Reshape are `reshape(x, dims)` with constant dims; a reshape of a reshape is one.
  static let reshape = Rule(.exact) { site, sweep in
    guard case .layout(let op) = site.op, var x = site.input(0), let target = sweep.resultShape(site), let dims = Sweep.reshapeTarget(target.dims) else {
      return nil
    }
    switch op {
    case .squeeze, .unsqueeze, .flatten, .reshape: break
    default: return nil
    }
    var origins: OriginSet = []
    if let inner = sweep.producer(x), case .layout(.reshape) = inner.op, let deeper = inner.input(0) {
      origins = inner.origins
      x = deeper
    }
    if x == site.input(0), case .reshape = op, sweep.integers(site.input(1)) == dims { return nil }
    if sweep.shape(x) == target { return [x] }
    guard let vector = sweep.vector(dims, for: site) else { return nil }
    return sweep.make(.layout(.reshape(allowZero: target.dims.contains(0))), [x, vector], for: site, origins: origins).map { [$0] }
  }

  /// `transpose(transpose(x, p), q) = transpose(x, p[q])`.
  static let transposes = Rule(.exact) { site, sweep in
    guard case .layout(.transpose(let outer)) = site.op, let inner = sweep.producer(site.input(0)), case .layout(.transpose(let first)) = inner.op,
      let x = inner.input(0), outer.count == first.count, outer.allSatisfy(first.indices.contains), !outer.isEmpty
    else { return nil }
    return sweep.make(.layout(.transpose(outer.map { first[$0] })), [x], for: site, origins: inner.origins).map { [$0] }
  }
}
