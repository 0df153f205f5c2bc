public import Diagnostics
public import GraphIR
public import Tensors

extension PoolingOp: Operator {
  public var mnemonic: String {
    switch self {
    case .max: "MaxPool"
    case .average: "AveragePool"
    case .globalAverage: "GlobalAveragePool"
    case .globalMax: "GlobalMaxPool"
    }
  }
  public var domain: String { "" }
  public var arity: Arity { if case .max = self { Arity(1...1, results: 1...2) } else { Arity(1...1) } }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let type = try operands.required(0).type
    if case .max = self { try checkNumeric(type.element) } else { try checkFloat(type.element) }
    guard let x = type.shape else { return facts(TensorType(type.element, nil), resultCount) }
    try checkRank(x, 2...8, "the input")
    let spatial = x.dims[2...]
    let sizes: [Dim]
    switch self {
    case .max(let window, let ceilMode), .average(let window, let ceilMode, _):
      sizes = try window.outputSizes(spatial, ceilMode: ceilMode, of: mnemonic)
    case .globalAverage, .globalMax: sizes = spatial.map { _ in 1 }
    }
    return facts(TensorType(type.element, Shape([x[0], x[1]] + sizes)), resultCount)
  }

  private func facts(_ type: TensorType, _ resultCount: Int) -> [Fact] {
    resultCount > 1 ? [Fact(type), Fact(TensorType(.int64, type.shape))] : [Fact(type)]
  }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    switch self {
    case .max(let window, _), .average(let window, _, _):
      Cost(elementwise: (results.first?.elementCount ?? 0) &* window.kernel.reduce(1, &*))
    case .globalAverage, .globalMax: Cost(elementwise: operands.first??.elementCount ?? 0)
    }
  }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let types = try resultTypes(operands, resultCount)
    let x = try operands.required(0)
    let values = x.elementType.isFloatingPoint ? try x.reals(for: mnemonic) : try x.wholes(for: mnemonic).map { Double($0) }
    let spatial = Array(x.dims[2...])
    let made = Array(types[0].dims[2...])
    let axes: [WindowAxis]
    switch self {
    case .max(let window, _), .average(let window, _, _): axes = try window.axes(input: spatial, output: made, kernel: window.kernel, of: mnemonic)
    case .globalAverage, .globalMax:
      axes = spatial.map { WindowAxis(input: $0, output: 1, kernel: $0, stride: 1, dilation: 1, padBegin: 0) }
    }
    let pads = padEnds(axes)
    let planes = x.dims[0] * x.dims[1]
    let plane = spatial.reduce(1, *)
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
          sum += value
          counted += 1
        }
        switch self {
        case .max, .globalMax: result.append(best)
        case .average(_, _, countIncludePad: true): result.append(sum / Double(covered))
        case .average, .globalAverage: result.append(sum / Double(counted))
        }
        places.append(bestPlace)
      }
    }
    let pooled =
      types[0].element.isFloatingPoint
      ? try Tensor(types[0].element, dims: types[0].dims, reals: result)
      : try Tensor(types[0].element, dims: types[0].dims, wholes: result.map { saturated($0) })
    return resultCount > 1 ? [pooled, try Tensor(.int64, dims: types[1].dims, wholes: places)] : [pooled]
  }

  /// Where each axis ends, its end padding included: what `count_include_pad` counts.
  private func padEnds(_ axes: [WindowAxis]) -> [Int] {
    guard case .average(let window, _, countIncludePad: true) = self, case .explicit(let pads) = window.padding, !pads.isEmpty else {
      return axes.map { $0.input + $0.kernel * $0.dilation }
    }
    return axes.indices.map { axes[$0].input + pads[axes.count + $0] }
  }
}
