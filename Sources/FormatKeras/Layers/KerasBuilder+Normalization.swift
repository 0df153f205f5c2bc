internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  mutating func normalization(_ call: LayerCall) throws(Failure) -> ValueID {
    let x = try input(call)
    switch call.layer.className {
    case "LayerNormalization": return try layerNormalization(x, call)
    case "RMSNormalization":
      let axes = try axes(call, x)
      return try rootMeanSquare(x, axes, epsilon: call.number("epsilon", 1e-6), call)
    case "UnitNormalization": return try unitNormalized(x, try axes(call, x))
    case "GroupNormalization": return try groupNormalization(x, call)
    default: return try batchNormalization(x, call)
    }
  }

  private func axes(_ call: LayerCall, _ x: ValueID) throws(Failure) -> [Int] {
    let rank = try e.rank(x)
    var result: [Int] = []
    for axis in call.config["axis"]?.ints ?? [call.config["axis"]?.int ?? -1] { result.append(try e.axis(axis, rank: rank)) }
    guard !result.isEmpty, Set(result).count == result.count, rank > 0 else { throw call.wrong("'axis' is \(result) for an input of rank \(rank)") }
    return result.sorted()
  }

  /// A variable with one number for each entry of the given axes, laid out to be broadcast.
  private mutating func laid(_ call: LayerCall, _ name: String, _ index: Int, axes: [Int], of x: ValueID) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    var dims: [Int] = []
    for axis in axes { dims.append(try e.size(x, axis)) }
    let isTrailing = axes == Array((rank - axes.count)..<rank)
    return try variable(call, [name], index, dims: dims) { (tensor) throws(Failure) in
      if isTrailing { return tensor }
      var whole = [Int](repeating: 1, count: rank)
      for (position, axis) in axes.enumerated() { whole[axis] = tensor.dims[position] }
      return try tensor.reshaped(whole)
    }
  }

  private mutating func layerNormalization(_ x: ValueID, _ call: LayerCall) throws(Failure) -> ValueID {
    let axes = try axes(call, x)
    let rank = try e.rank(x)
    let epsilon = call.number("epsilon", 1e-3)
    let (hasScale, hasCenter) = (call.flag("scale", true), call.flag("center", true))
    let isTrailing = axes == Array((rank - axes.count)..<rank)
    if call.flag("rms_scaling", false) {
      // By the variance, not by the mean square.
      let centered = try e.subtract(x, try e.reduce(.mean, x, axes: axes, keep: true, "ReduceMean"))
      let variance = try e.reduce(.mean, try e.multiply(centered, centered), axes: axes, keep: true, "ReduceMean")
      let y = try e.divide(x, try e.unary(.sqrt, try e.add(variance, epsilon), "Sqrt"))
      return try e.multiply(y, try laid(call, "gamma", 0, axes: axes, of: x))
    }
    let gamma = hasScale ? try laid(call, "gamma", 0, axes: axes, of: x) : nil
    let beta = hasCenter ? try laid(call, "beta", hasScale ? 1 : 0, axes: axes, of: x) : nil
    if isTrailing {
      let scale: ValueID
      if let gamma {
        scale = gamma
      } else {
        var dims: [Int] = []
        for axis in axes { dims.append(try e.size(x, axis)) }
        guard let count = dims.checkedProduct, count <= 1 << 24 else { throw call.wrong("its shape is too large") }
        scale = try e.floats([Double](repeating: 1, count: count), dims: dims, try e.element(x), "ones")
      }
      return try e.emit(.normalization(.layer(axis: axes[0] - rank, epsilon: Float(epsilon))), [x, scale, beta].droppingLastNil, "LayerNormalization")
    }
    let centered = try e.subtract(x, try e.reduce(.mean, x, axes: axes, keep: true, "ReduceMean"))
    let variance = try e.reduce(.mean, try e.multiply(centered, centered), axes: axes, keep: true, "ReduceMean")
    var y = try e.divide(centered, try e.unary(.sqrt, try e.add(variance, epsilon), "Sqrt"))
    if let gamma { y = try e.multiply(y, gamma) }
    if let beta { y = try e.add(y, beta) }
    return y
  }

  private mutating func rootMeanSquare(_ x: ValueID, _ axes: [Int], epsilon: Double, _ call: LayerCall) throws(Failure) -> ValueID {
    let squares = try e.reduce(.mean, try e.multiply(x, x), axes: axes, keep: true, "ReduceMean")
    let y = try e.divide(x, try e.unary(.sqrt, try e.add(squares, epsilon), "Sqrt"))
    return try e.multiply(y, try laid(call, "scale", 0, axes: axes, of: x))
  }

  private mutating func batchNormalization(_ x: ValueID, _ call: LayerCall) throws(Failure) -> ValueID {
    let axes = try axes(call, x)
    guard axes.count == 1, let axis = axes.first else { throw call.refused("several axes") }
    let rank = try e.rank(x)
    let count = try e.size(x, axis)
    let (hasScale, hasCenter) = (call.flag("scale", true), call.flag("center", true))
    let isTrailing = axis == rank - 1
    let start = (hasScale ? 1 : 0) + (hasCenter ? 1 : 0)
    // γ(x − m)/√(v + ε) + β as one factor and one term, in float64 before they are rounded.
    func numbers(_ name: String, _ index: Int) throws(Failure) -> [Double] {
      let tensor = try store.variable(call.path, [name], index)
      try KerasBuilder.check(tensor, [count], "\(call.path.name)/\(name)")
      return tensor.doubles() ?? []
    }
    let gamma = hasScale ? try numbers("gamma", 0) : [Double](repeating: 1, count: count)
    let beta = hasCenter ? try numbers("beta", hasScale ? 1 : 0) : [Double](repeating: 0, count: count)
    let mean = try numbers("moving_mean", start)
    let variance = try numbers("moving_variance", start + 1)
    let epsilon = call.number("epsilon", 1e-3)
    let dims = isTrailing ? [count] : [count] + [Int](repeating: 1, count: rank - 1 - axis)
    let element = policy(call.config).compute
    let factor = zip(gamma, variance).map { $0 / ($1 + epsilon).squareRoot() }
    let term = zip(beta, zip(mean, factor)).map { $0 - $1.0 * $1.1 }
    let scale = try e.weight("\(call.path.name)/scale") { () throws(Failure) in try Tensor.filled(factor, dims: dims, element) }
    let shift = try e.weight("\(call.path.name)/shift") { () throws(Failure) in try Tensor.filled(term, dims: dims, element) }
    return try e.add(try e.multiply(x, scale), shift)
  }

  private mutating func groupNormalization(_ x: ValueID, _ call: LayerCall) throws(Failure) -> ValueID {
    let axes = try axes(call, x)
    guard axes.count == 1, let axis = axes.first, axis > 0 else { throw call.refused("several axes") }
    let dims = try e.shape(x)
    let count = try e.size(x, axis)
    let groups = (call.config["groups"]?.int ?? 32) == -1 ? count : call.config["groups"]?.int ?? 32
    guard groups > 0, count % groups == 0 else { throw call.wrong("\(count) channels in \(groups) groups") }
    let split = try e.reshape(x, Array(dims[..<axis]) + [Dim(groups), Dim(count / groups)] + dims[(axis + 1)...])
    let reduced = (1..<(dims.count + 1)).filter { $0 != axis }
    let centered = try e.subtract(split, try e.reduce(.mean, split, axes: reduced, keep: true, "ReduceMean"))
    let variance = try e.reduce(.mean, try e.multiply(centered, centered), axes: reduced, keep: true, "ReduceMean")
    var y = try e.reshape(try e.divide(centered, try e.unary(.sqrt, try e.add(variance, call.number("epsilon", 1e-3)), "Sqrt")), dims)
    if call.flag("scale", true) { y = try e.multiply(y, try laid(call, "gamma", 0, axes: axes, of: x)) }
    if call.flag("center", true) { y = try e.add(y, try laid(call, "beta", call.flag("scale", true) ? 1 : 0, axes: axes, of: x)) }
    return y
  }
}
