public import Diagnostics
public import GraphIR
public import Tensors

extension ConvolutionOp: Operator {
  public var mnemonic: String {
    switch self {
    case .conv: "Conv"
    case .convTranspose: "ConvTranspose"
    }
  }
  public var domain: String { "" }
  public var arity: Arity { Arity(2...3) }

  private var window: Window {
    switch self {
    case .conv(let window, _), .convTranspose(let window, _, _): window
    }
  }
  private var groups: Int {
    switch self {
    case .conv(_, let groups), .convTranspose(_, let groups, _): groups
    }
  }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let element = try operands.sharedElement([0, 1, 2], of: mnemonic)
    try checkFloat(element)
    guard let x = try operands.required(0).type.shape else { return [Fact(TensorType(element, nil))] }
    guard groups > 0 else { throw mismatch("groups must be positive") }
    try checkRank(x, 3...8, "the input")
    guard let w = try operands.required(1).type.shape else { return [Fact(TensorType(element, .unknown(rank: x.rank)))] }
    guard w.rank == x.rank else { throw mismatch("input \(x) and weight \(w) have different ranks") }
    let perGroup: Dim
    var channels: Dim
    switch self {
    case .conv:
      if case .toSizes = window.padding { throw mismatch("a convolution has no output shape") }
      perGroup = w[1]
      channels = w[0]
      try checkAgree(x[1], try perGroup.times(Dim(groups)), "input channels and weight do not fit")
      if let count = channels.value, count % groups != 0 { throw mismatch("\(count) output channels in \(groups) groups") }
    case .convTranspose:
      try checkAgree(x[1], w[0], "input channels and weight do not fit")
      if let count = w[0].value, count % groups != 0 { throw mismatch("\(count) input channels in \(groups) groups") }
      channels = try w[1].times(Dim(groups))
    }
    if let bias = operands.fact(2)?.type.shape {
      guard bias.rank == 1 else { throw mismatch("a bias of shape \(bias)") }
      try checkAgree(bias[0], channels, "bias and output channels")
      if channels.value == nil { channels = bias[0] }
    }
    let kernel = Array(w.dims[2...])
    if !window.kernel.isEmpty, window.kernel.count == kernel.count {
      for (given, own) in zip(window.kernel, kernel) { try checkAgree(Dim(given), own, "kernel_shape and weight") }
    }
    return [Fact(TensorType(element, Shape([x[0], channels] + (try spatialSizes(x.dims[2...], kernel)))))]
  }

  private func spatialSizes(_ input: ArraySlice<Dim>, _ kernel: [Dim]) throws(Failure) -> [Dim] {
    guard case .convTranspose(let window, _, let outputPadding) = self else { return try window.outputSizes(input, kernel: kernel, of: mnemonic) }
    let form = try window.normalized(spatialRank: input.count, kernel: kernel, of: mnemonic)
    guard outputPadding.isEmpty || outputPadding.count == input.count else { throw mismatch("output_padding does not have \(input.count) axes") }
    if case .toSizes(let sizes, _) = window.padding {
      guard sizes.count == input.count, sizes.allSatisfy({ $0 > 0 }) else { throw mismatch("an output shape of \(sizes)") }
      return sizes.map { Dim($0) }
    }
    var result: [Dim] = []
    for (axis, size) in input.enumerated() {
      guard let pads = form.pads else {
        result.append(try size.times(Dim(form.strides[axis])))
        continue
      }
      let extent = try form.kernel[axis].minus(1).times(Dim(form.dilations[axis])).plus(1)
      let grown = try size.minus(1).times(Dim(form.strides[axis])).plus(extent).plus(Dim(outputPadding.isEmpty ? 0 : outputPadding[axis]))
      let cut = try grown.minus(Dim(pads[axis])).minus(Dim(pads[axis + input.count]))
      if let value = cut.value, value < 0 { throw mismatch("padding takes more than there is") }
      result.append(cut)
    }
    return result
  }

  /// A convolution takes each result element one pass over its window and its group's channels; a transposed one each
  /// input element.
  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    guard operands.count > 1, let w = operands[1]?.shape?.concrete, w.count > 2 else { return Cost() }
    let window = w[1...].reduce(1, &*)
    switch self {
    case .conv: return Cost(macs: results.elementCount &* window)
    case .convTranspose: return Cost(macs: (operands[0]?.elementCount ?? 0) &* window)
    }
  }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0)
    let w = try operands.required(1)
    let bias = try operands.tensor(2)?.reals(for: mnemonic)
    let spatial = Array(x.dims[2...])
    let made = Array(dims[2...])
    let kernel = Array(w.dims[2...])
    var result = [Double](repeating: 0, count: dims.reduce(1, *))
    let plane = made.reduce(1, *)
    if let bias, plane > 0 { for index in result.indices { result[index] = bias[index / plane % dims[1]] } }
    let values = try x.reals(for: mnemonic)
    let weights = try w.reals(for: mnemonic)
    switch self {
    case .conv:
      let axes = try window.axes(input: spatial, output: made, kernel: kernel, of: mnemonic)
      convolve(values, x.dims, weights, w.dims, into: &result, dims, axes)
    case .convTranspose(_, _, let outputPadding):
      // Every input element adds its window to the result: the convolution's geometry with the roles exchanged.
      var axes = try window.axes(input: made, output: spatial, kernel: kernel, of: mnemonic)
      let restAtEnd: Bool? =
        switch window.padding {
        case .sameUpper: true
        case .sameLower: false
        case .toSizes(_, let restAtEnd): restAtEnd
        case .explicit, .valid: nil
        }
      if let restAtEnd {
        for axis in axes.indices {
          let extent = (axes[axis].kernel - 1) * axes[axis].dilation + 1
          let extra = outputPadding.isEmpty ? 0 : outputPadding[axis]
          let total = max(0, (spatial[axis] - 1) * axes[axis].stride + extent + extra - made[axis])
          axes[axis].padBegin = restAtEnd ? total / 2 : total - total / 2
        }
      }
      scatter(values, x.dims, weights, w.dims, into: &result, dims, axes)
    }
    return [try Tensor(element, dims: dims, reals: result)]
  }

  private func convolve(
    _ x: [Double], _ xDims: [Int], _ w: [Double], _ wDims: [Int], into result: inout [Double], _ dims: [Int], _ axes: [WindowAxis]
  ) {
    let inPlane = xDims[2...].reduce(1, *)
    let outPlane = dims[2...].reduce(1, *)
    let window = wDims[2...].reduce(1, *)
    let channels = wDims[1]
    let outPerGroup = dims[1] / groups
    walk(axes) { output, input, tap in
      for batch in 0..<dims[0] {
        for channel in 0..<dims[1] {
          let first = batch * xDims[1] + channel / outPerGroup * channels
          var sum = 0.0
          for own in 0..<channels { sum += x[(first + own) * inPlane + input] * w[(channel * channels + own) * window + tap] }
          result[(batch * dims[1] + channel) * outPlane + output] += sum
        }
      }
    }
  }

  private func scatter(
    _ x: [Double], _ xDims: [Int], _ w: [Double], _ wDims: [Int], into result: inout [Double], _ dims: [Int], _ axes: [WindowAxis]
  ) {
    let inPlane = xDims[2...].reduce(1, *)
    let outPlane = dims[2...].reduce(1, *)
    let window = wDims[2...].reduce(1, *)
    let made = wDims[1]
    let inPerGroup = xDims[1] / groups
    walk(axes) { input, output, tap in
      for batch in 0..<dims[0] {
        for channel in 0..<xDims[1] {
          let value = x[(batch * xDims[1] + channel) * inPlane + input]
          let first = batch * dims[1] + channel / inPerGroup * made
          for own in 0..<made { result[(first + own) * outPlane + output] += value * w[(channel * made + own) * window + tap] }
        }
      }
    }
  }

  /// Calls `body` with the places in their planes of each window, of each element under it that is not padding, and of
  /// that element's weight.
  private func walk(_ axes: [WindowAxis], _ body: (Int, Int, Int) -> Void) {
    let windows = axes.map(\.output)
    let kernel = axes.map(\.kernel)
    let inputSteps = rowMajorStrides(axes.map(\.input))
    var window = 0
    forEachIndex(windows) { place in
      var tap = 0
      forEachIndex(kernel) { offset in
        var input = 0
        var inside = true
        for axis in axes.indices {
          let position = place[axis] * axes[axis].stride + offset[axis] * axes[axis].dilation - axes[axis].padBegin
          if position < 0 || position >= axes[axis].input { inside = false }
          input += position * inputSteps[axis]
        }
        if inside { body(window, input, tap) }
        tap += 1
      }
      window += 1
    }
  }
}
