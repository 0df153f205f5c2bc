internal import Diagnostics
internal import GraphIR
internal import Tensors

/// DeformConv (ONNX 22): X, W, offset (N, offset groups * taps * axes, …), B?, mask (N, offset groups * taps, …)?: a
/// convolution whose taps are moved, each by its own offset (Zhu et al., "Deformable ConvNets v2", 2018).
struct DeformConv: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(3...5) }
  private var convolution: ConvolutionOp {
    .conv(
      Window(kernel: op.ints("kernel_shape"), strides: op.ints("strides"), dilations: op.ints("dilations"), padding: .explicit(op.ints("pads"))),
      groups: op.int("group"))
  }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let element = try operands.sharedElement([0, 1, 2, 3, 4], of: mnemonic)
    try checkFloat(element)
    let plain = try convolution.infer([operands.fact(0), operands.fact(1), operands.fact(3)], resultCount: 1)
    guard let shape = plain[0].type.shape else { return plain }
    let offsetGroups = op.int("offset_group")
    let channels = operands.fact(0)?.type.shape?.dims.dropFirst().first
    guard offsetGroups > 0, channels?.value.map({ $0 % offsetGroups == 0 }) ?? true else { throw badAttribute("\(offsetGroups) groups of offsets") }
    guard let weight = operands.fact(1)?.type.shape, let taps = Shape.product(weight.dims[2...]) else { return plain }
    let maps = try taps.times(Dim(offsetGroups))
    for (index, count) in [(2, try maps.times(Dim(weight.rank - 2))), (4, maps)] {
      guard let own = operands.fact(index)?.type.shape else { continue }
      guard own.rank == shape.rank else { throw mismatch("operand \(index) has shape \(own)") }
      for (axis, size) in ([shape[0], count] + shape.dims[2...]).enumerated() { try checkAgree(own[axis], size, "operand \(index) of shape \(own)") }
    }
    return plain
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost { convolution.cost(operands: operands, results: results) }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0)
    let w = try operands.required(1)
    let spatial = Array(x.dims[2...])
    let made = Array(dims[2...])
    let kernel = Array(w.dims[2...])
    let axes = try op.window().axes(input: spatial, output: made, kernel: kernel, of: mnemonic)
    let values = try x.reals(for: mnemonic)
    let weights = try w.reals(for: mnemonic)
    let offsets = try operands.required(2).reals(for: mnemonic)
    let bias = try operands.tensor(3)?.reals(for: mnemonic)
    let mask = try operands.tensor(4)?.reals(for: mnemonic)
    let (plane, outPlane, taps) = (spatial.reduce(1, *), made.reduce(1, *), kernel.reduce(1, *))
    let (channels, perGroup, perOffset) = (x.dims[1], w.dims[1], x.dims[1] / op.int("offset_group"))
    let outPerGroup = dims[1] / op.int("group")
    let inputSteps = rowMajorStrides(spatial)
    var result = [Double](repeating: 0, count: dims.reduce(1, *))
    guard !result.isEmpty else { return [try Tensor(element, dims: dims, reals: result)] }
    var columns = [Double](repeating: 0, count: channels * taps)
    for batch in 0..<dims[0] {
      var place = 0
      forEachIndex(made) { window in
        for offsetGroup in 0..<op.int("offset_group") {
          var tap = 0
          forEachIndex(kernel) { position in
            let map = (batch * op.int("offset_group") + offsetGroup) * taps + tap
            // Pixels around the moved tap; those outside are 0.
            var corners: [(offset: Int, weight: Double)] = [(0, mask?[map * outPlane + place] ?? 1)]
            for axis in axes.indices {
              let fixed = window[axis] * axes[axis].stride + position[axis] * axes[axis].dilation - axes[axis].padBegin
              let moved = Double(fixed) + offsets[(map * axes.count + axis) * outPlane + place]
              guard moved > -1, moved < Double(spatial[axis]) else {
                corners = []
                break
              }
              let low = Int(moved.rounded(.down))
              let part = moved - Double(low)
              corners = corners.flatMap { corner in
                [(low, 1 - part), (low + 1, part)].compactMap { index, weight in
                  0..<spatial[axis] ~= index ? (corner.offset + index * inputSteps[axis], corner.weight * weight) : nil
                }
              }
            }
            for channel in offsetGroup * perOffset..<(offsetGroup + 1) * perOffset {
              var sum = 0.0
              for corner in corners { sum += corner.weight * values[(batch * channels + channel) * plane + corner.offset] }
              columns[channel * taps + tap] = sum
            }
            tap += 1
          }
        }
        for out in 0..<dims[1] {
          var sum = bias?[out] ?? 0
          let first = out / outPerGroup * perGroup * taps
          for index in 0..<perGroup * taps { sum += columns[first + index] * weights[out * perGroup * taps + index] }
          result[(batch * dims[1] + out) * outPlane + place] = sum
        }
        place += 1
      }
    }
    return [try Tensor(element, dims: dims, reals: result)]
  }
}

/// Col2Im (ONNX 18): input (N, C * block, windows), image shape, block shape: the sum of overlapping blocks.
struct Col2Im: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(3...3) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkNumeric(x.type.element)
    try checkRank(x, 3, "the input")
    for index in 1...2 { try checkElement(try operands.required(index), [.int64], "operand \(index)") }
    let image = operands.fact(1)?.value?.dimensions
    let block = operands.fact(2)?.value?.dimensions
    guard let shape = x.type.shape, let image else {
      let rank = operands.fact(1)?.type.shape?.dims.first?.value
      return [Fact(TensorType(x.type.element, rank.flatMap { 1...8 ~= $0 ? Shape.unknown(rank: $0 + 2) : nil }))]
    }
    guard let block else { return [Fact(TensorType(x.type.element, Shape([shape[0], .unknown] + image)))] }
    guard block.count == image.count, 1...8 ~= image.count, block.allSatisfy({ ($0.value ?? 1) > 0 }), image.allSatisfy({ ($0.value ?? 1) > 0 }),
      let taps = Shape.product(block[...])
    else { throw mismatch("an image of \(image) and blocks of \(block)") }
    guard let channels = shape[1].dividedExactly(by: taps) ?? (shape[1].value == nil || taps.value == nil ? .unknown : nil) else {
      throw mismatch("\(shape[1]) rows of blocks of \(taps)")
    }
    let window = Window(kernel: [], strides: op.ints("strides"), dilations: op.ints("dilations"), padding: .explicit(op.ints("pads")))
    let windows = try window.outputSizes(image[...], kernel: block, of: mnemonic)
    if let count = Shape.product(windows[...]) { try checkAgree(shape[2], count, "windows") }
    return [Fact(TensorType(x.type.element, Shape([shape[0], channels] + image)))]
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(elementwise: operands.first??.elementCount ?? 0) }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0)
    let image = Array(dims[2...])
    let block = try operands.required(2).wholes(for: mnemonic)
    let window = Window(kernel: [], strides: op.ints("strides"), dilations: op.ints("dilations"), padding: .explicit(op.ints("pads")))
    let counts = try window.outputSizes(image.map { Dim($0) }[...], kernel: block.map { Dim($0) }, of: mnemonic).compactMap(\.value)
    let axes = try window.axes(input: image, output: counts, kernel: block, of: mnemonic)
    let (plane, taps, windows) = (image.reduce(1, *), block.reduce(1, *), counts.reduce(1, *))
    let steps = rowMajorStrides(image)
    // For each tap and window the pixel, or nowhere.
    var targets = [Int](repeating: -1, count: taps * windows)
    var tap = 0
    forEachIndex(block) { position in
      var place = 0
      forEachIndex(counts) { start in
        var target = 0
        for axis in axes.indices {
          let index = start[axis] * axes[axis].stride + position[axis] * axes[axis].dilation - axes[axis].padBegin
          if target < 0 || !(0..<image[axis] ~= index) { target = -1 } else { target += index * steps[axis] }
        }
        targets[tap * windows + place] = target
        place += 1
      }
      tap += 1
    }
    let values = try x.reals(for: mnemonic)
    var result = [Double](repeating: 0, count: dims.reduce(1, *))
    for slice in 0..<dims[0] * dims[1] {
      for index in targets.indices where targets[index] >= 0 { result[slice * plane + targets[index]] += values[slice * targets.count + index] }
    }
    return [element.isFloatingPoint ? try Tensor(element, dims: dims, reals: result) : try Tensor(element, dims: dims, wholes: result.map { saturated($0) })]
  }
}
