public import Diagnostics
public import GraphIR
internal import Glibc
public import Tensors

extension PoolingOp: Operator {
  public var mnemonic: String {
    switch self {
    case .max, .maxByColumns: "MaxPool"
    case .lp: "LpPool"
    case .globalLp: "GlobalLpPool"
    case .unpool: "MaxUnpool"
    case .average: "AveragePool"
    case .globalAverage: "GlobalAveragePool"
    case .globalMax: "GlobalMaxPool"
    }
  }
  public var domain: String { "" }
  public var arity: Arity {
    switch self {
    case .max, .maxByColumns: Arity(1...1, results: 1...2)
    case .unpool: Arity(2...3)
    default: Arity(1...1)
    }
  }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let type = try operands.required(0).type
    switch self {
    case .max, .maxByColumns: try checkNumeric(type.element)
    case .unpool(let window): return [Fact(TensorType(type.element, try unpooledShape(operands, window)))]
    default: try checkFloat(type.element)
    }
    guard let x = type.shape else { return facts(TensorType(type.element, nil), resultCount) }
    try checkRank(x, 2...8, "the input")
    let spatial = x.dims[2...]
    let sizes: [Dim]
    switch self {
    case .max(let window, let ceilMode), .maxByColumns(let window, let ceilMode), .average(let window, let ceilMode, _), .lp(let window, let ceilMode, _):
      if case .toSizes = window.padding { throw mismatch("a pool has no output shape") }
      sizes = try window.outputSizes(spatial, ceilMode: ceilMode, of: mnemonic)
    case .globalAverage, .globalMax, .globalLp: sizes = spatial.map { _ in 1 }
    case .unpool: sizes = []
    }
    return facts(TensorType(type.element, Shape([x[0], x[1]] + sizes)), resultCount)
  }

  private func facts(_ type: TensorType, _ resultCount: Int) -> [Fact] {
    resultCount > 1 ? [Fact(type), Fact(TensorType(.int64, type.shape))] : [Fact(type)]
  }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    switch self {
    case .max(let window, _), .maxByColumns(let window, _), .average(let window, _, _), .lp(let window, _, _):
      Cost(elementwise: (results.first?.elementCount ?? 0) &* window.kernel.reduce(1, &*))
    case .unpool: Cost()
    case .globalAverage, .globalMax, .globalLp: Cost(elementwise: operands.first??.elementCount ?? 0)
    }
  }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let types = try resultTypes(operands, resultCount)
    let x = try operands.required(0)
    if case .unpool(let window) = self { return [try unpooled(operands, window, types[0].dims)] }
    let isReal = x.elementType.isFloatingPoint
    let values = isReal ? try x.reals(for: mnemonic) : try x.wholes(for: mnemonic).map { Double($0) }
    let spatial = Array(x.dims[2...])
    let made = Array(types[0].dims[2...])
    let axes: [WindowAxis]
    switch self {
    case .max(let window, _), .maxByColumns(let window, _), .average(let window, _, _), .lp(let window, _, _):
      axes = try window.axes(input: spatial, output: made, kernel: window.kernel, of: mnemonic)
    case .globalAverage, .globalMax, .globalLp, .unpool:
      axes = spatial.map { WindowAxis(input: $0, output: 1, kernel: $0, stride: 1, dilation: 1, padBegin: 0) }
    }
    let pads = padEnds(axes)
    let planes = x.dims[0] * x.dims[1]
    let plane = spatial.reduce(1, *)
    let power: Double? =
      switch self {
      case .lp(_, _, let p), .globalLp(let p): Double(p)
      default: nil
      }
    var result: [Double] = []
    var places: [Int] = []
    let steps = rowMajorStrides(spatial)
    for index in 0..<planes {
      forEachIndex(made) { place in
        var best = -Double.infinity
        var bestPlace = 0
        var sum = 0.0
        var counted = 0
        var covered = 0
        forEachIndex(axes.map(\.kernel)) { offset in
          var input = 0
          var inside = true
          var padded = true
          for axis in axes.indices {
            let position = place[axis] * axes[axis].stride + offset[axis] * axes[axis].dilation - axes[axis].padBegin
            if position < 0 || position >= axes[axis].input { inside = false }
            if position >= pads[axis] { padded = false }
            input += position * steps[axis]
          }
          if padded { covered += 1 }
          guard inside else { return }
          let value = values[index * plane + input]
          if value > best || value.isNaN && !best.isNaN || counted == 0 {
            best = value
            bestPlace = index * plane + input
          }
          sum += power.map { pow(abs(value), $0) } ?? value
          counted += 1
        }
        switch self {
        case .max, .maxByColumns, .globalMax: result.append(best)
        case .lp(_, _, let p), .globalLp(let p): result.append(pow(sum, 1 / Double(p)))
        case .average(_, _, countIncludePad: true): result.append(sum / Double(covered))
        case .average, .globalAverage, .unpool: result.append(sum / Double(counted))
        }
        places.append(bestPlace)
      }
    }
    let pooled =
      types[0].element.isFloatingPoint
      ? try Tensor(types[0].element, dims: types[0].dims, reals: result)
      : try Tensor(types[0].element, dims: types[0].dims, wholes: result.map { saturated($0) })
    guard resultCount > 1 else { return [pooled] }
    if case .maxByColumns = self {
      let columnSteps = Array(rowMajorStrides(spatial.reversed()).reversed())
      places = places.map { place in
        spatial.indices.reduce(place / plane * plane) { $0 + place % plane / steps[$1] % spatial[$1] * columnSteps[$1] }
      }
    }
    return [pooled, try Tensor(.int64, dims: types[1].dims, wholes: places)]
  }

  /// What the pooled axes were before: `(n - 1) * stride + kernel - pads`, or what the third operand says.
  private func unpooledShape(_ operands: [Fact?], _ window: Window) throws(Failure) -> Shape? {
    guard try operands.required(1).type.element == .int64 else { throw Failure(.typeMismatch, "\(mnemonic) has indices that are no int64") }
    guard let x = try operands.required(0).type.shape else { return nil }
    try checkRank(x, 3...8, "the input")
    if let indices = operands.fact(1)?.type.shape {
      guard indices.rank == x.rank else { throw mismatch("indices \(indices) for \(x)") }
      for (dim, size) in zip(indices.dims, x.dims) { try checkAgree(dim, size, "indices \(indices) for \(x)") }
    }
    guard let given = operands.fact(2) else { return Shape([x[0], x[1]] + (try unpooledSizes(x, window))) }
    guard let dims = given.value?.dimensions else { return .unknown(rank: x.rank) }
    guard dims.count == x.rank, dims.allSatisfy({ ($0.value ?? 0) >= 0 }) else { throw mismatch("an output shape of \(dims) for \(x)") }
    return Shape(dims)
  }

  private func unpooledSizes(_ x: Shape, _ window: Window) throws(Failure) -> [Dim] {
    let form = try window.normalized(spatialRank: x.rank - 2, kernel: [], of: mnemonic)
    guard let pads = form.pads else { throw mismatch("padding must be given") }
    var sizes: [Dim] = []
    for (axis, size) in x.dims[2...].enumerated() {
      let grown = try size.minus(1).times(Dim(form.strides[axis])).plus(form.kernel[axis])
      sizes.append(try grown.minus(Dim(pads[axis])).minus(Dim(pads[axis + x.rank - 2])))
      if let value = sizes[axis].value, value < 0 { throw mismatch("pads take more than there is") }
    }
    return sizes
  }

  /// Indices count in the array before pooling; a larger output shape has it in its first corner.
  private func unpooled(_ operands: [Tensor?], _ window: Window, _ dims: [Int]) throws(Failure) -> Tensor {
    let x = try operands.required(0)
    guard let inner = Shape([Dim(x.dims[0]), Dim(x.dims[1])] + (try unpooledSizes(Shape(x.dims), window))).concrete, let count = inner.checkedProduct else {
      throw mismatch("sizes are not known")
    }
    guard zip(inner, dims).allSatisfy({ $0 <= $1 }) else { throw mismatch("an output shape of \(dims), smaller than \(inner)") }
    let from = rowMajorStrides(inner)
    let to = rowMajorStrides(dims)
    var sources = [Int](repeating: -1, count: dims.reduce(1, *))
    for (place, index) in try operands.required(1).wholes(for: mnemonic).enumerated() {
      guard 0..<count ~= index else { throw Failure(.indexOutOfRange, "\(mnemonic): index \(index) of \(count) elements") }
      sources[inner.indices.reduce(0) { $0 + index / from[$1] % inner[$1] * to[$1] }] = place
    }
    return try x.gathered(sources, dims: dims)
  }

  /// Where each axis ends, its end padding included: what `count_include_pad` counts.
  private func padEnds(_ axes: [WindowAxis]) -> [Int] {
    let all = axes.map { $0.input + $0.kernel * $0.dilation }
    guard case .average(let window, _, countIncludePad: true) = self else { return all }
    switch window.padding {
    case .explicit(let pads) where !pads.isEmpty: return axes.indices.map { axes[$0].input + pads[axes.count + $0] }
    case .explicit, .valid: return axes.map(\.input)
    case .sameUpper, .sameLower, .toSizes: return all
    }
  }
}
