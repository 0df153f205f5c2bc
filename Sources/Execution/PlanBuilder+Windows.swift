internal import Diagnostics
internal import GraphIR
internal import Kernels
internal import Tensors

/// Convolutions and pools. Their operands and results lie channels-last, which oneDNN's kernels like best, which makes the
/// tokens of a patch embedding contiguous, and of which strips of rows are pieces for the threads.
extension PlanBuilder {
  func planConvolution(_ id: NodeID, _ node: Node, _ op: ConvolutionOp) throws(Failure) -> Bool {
    guard case .conv(let window, let groups) = op, let input = node.input(0), let kernel = node.input(1), let output = node.output(0),
      try type(of: input).element == .float32, try type(of: kernel).element == .float32, isConstant(kernel), !isConstant(input)
    else { return false }
    let (xDims, wDims, yDims) = (try dims(of: input), try dims(of: kernel), try dims(of: output))
    guard xDims.count >= 3, xDims.count <= 5, let geometry = geometry(window, xDims, Array(wDims.dropFirst(2)), yDims) else { return false }
    let weight = try dense(view(of: kernel))
    guard let tensor = slots[weight.slot].constant else { return false }
    if groups == 1, zip(geometry.kernel, geometry.strides).allSatisfy({ $0 <= $1 }), geometry.dilations.allSatisfy({ $0 == 1 }),
      (geometry.padBegin + geometry.padEnd).allSatisfy({ $0 == 0 })
    {
      return try planPatches(id, node, weight, geometry, yDims)
    }
    let isExact = unsafe tensor.withUnsafeBytes { bytes in
      unsafe bytes.baseAddress.map { unsafe geometry.allows(filters: $0 + weight.offset * 4, count: weight.layout.count) } ?? false
    }
    guard isExact else { return false }
    let target = try newView((.float32, yDims), order: channelsLast(yDims.count))

    var bias = try node.input(2).map { (value) throws(Failure) in try dense(view(of: value)) }
    let after = try epilogue(after: output, channel: 1, kernelRank: yDims.count, kernelChannel: 1, takesBias: bias == nil) { [self] (view) throws(Failure) in
      let whole = try plain(view)
      return whole.layout == target.layout ? whole : try copyOrdered(whole, channelsLast(yDims.count))
    }
    if let vector = after.bias { bias = vector }
    let source = try windowOperand(view(of: input))
    let nodes = [id] + after.nodes
    let extras = (bias.map { [$0] } ?? []) + after.operands
    if DepthwiseConvolution.supports(x: xDims, weights: wDims, groups: groups, post: after.operations) {
      let prepared = try unsafe tensor.withUnsafeBytes { (bytes) throws(Failure) -> DepthwiseConvolution? in
        guard let base = bytes.baseAddress else { return nil }
        return try unsafe DepthwiseConvolution(
          x: xDims, y: yDims, weights: base + weight.offset * 4, window: geometry, post: after.operations,
          workspace: workspace)
      }
      guard let prepared else { return false }
      let (operands, offset) = (after.operands, bias)
      emit(nodes, "DepthwiseConv", reads: [source] + extras, writes: [target]) { (memory) throws(Failure) in
        unsafe prepared.run(
          x: memory.floats(source), bias: offset.map { unsafe UnsafePointer(memory.floats($0)) }, y: memory.floats(target),
          operands: operands.map { unsafe UnsafePointer(memory.floats($0)) })
      }
    } else if PackedConvolution.isFast(x: xDims, weights: wDims, groups: groups), productPrecision == .float32 {
      let prepared = try unsafe tensor.withUnsafeBytes { (bytes) throws(Failure) -> PackedConvolution? in
        guard let base = bytes.baseAddress else { return nil }
        return try unsafe PackedConvolution(
          x: xDims, y: yDims, weights: (base + weight.offset * 4).assumingMemoryBound(to: Float.self), window: geometry, bias: bias != nil,
          post: after.operations, cache: weights, workspace: workspace)
      }
      guard let prepared else { return false }
      release(tensor)
      emit(nodes, "Conv", reads: [source] + extras, writes: [target]) { (memory) throws(Failure) in
        unsafe prepared.run(x: memory.address(source), y: memory.address(target), extras: extras.map { unsafe UnsafeRawPointer(memory.address($0)) })
      }
    } else {
      let prepared = try unsafe tensor.withUnsafeBytes { (bytes) throws(Failure) -> Convolution? in
        guard let base = bytes.baseAddress else { return nil }
        return try unsafe Convolution(
          x: source.layout, weights: wDims, y: target.layout, window: geometry, groups: groups, bias: bias != nil, post: after.operations,
          constantWeights: base + weight.offset * 4, precision: productPrecision, cache: weights, workspace: workspace)
      }
      guard let prepared else { return false }
      release(tensor)
      emit(nodes, "Conv", reads: [source] + extras, writes: [target]) { (memory) throws(Failure) in
        try unsafe prepared.run(
          x: memory.address(source), y: memory.address(target), extras: extras.map { unsafe UnsafeRawPointer(memory.address($0)) })
      }
    }
    set(after.output, target)
    return true
  }

  /// A convolution whose windows do not overlap is a matrix product over patches.
  private func planPatches(_ id: NodeID, _ node: Node, _ weight: View, _ window: WindowGeometry, _ y: [Int]) throws(Failure) -> Bool {
    guard let input = node.input(0), let output = node.output(0) else { return false }
    let source = try view(of: input)
    let spatial = window.kernel.count
    // Rows and columns that no patch reaches, behind the last or between two, are left out: (N, C, …) as (N, C, patches, inside, …).
    var (dims, strides) = (Array(source.dims[..<2]), Array(source.layout.strides[..<2]))
    for axis in 0..<spatial {
      dims += [y[axis + 2], window.kernel[axis]]
      strides += [source.layout.strides[axis + 2] * window.strides[axis], source.layout.strides[axis + 2]]
    }
    let order = [0] + (0..<spatial).map { 2 + 2 * $0 } + [1] + (0..<spatial).map { 3 + 2 * $0 }
    let patches = source.with(Strided(dims: dims, strides: strides).permuted(order))
    let depth = weight.layout.count / y[1]
    let rows = try reshaped(patches, [y[0]] + y[2...] + [depth])
    let matrix = weight.with(Strided(dims: [depth, y[1]], strides: [1, depth]))
    let bias = try node.input(2).map { (value) throws(Failure) in
      let vector = try dense(view(of: value))
      return vector.with(Strided(dense: [y[1]] + [Int](repeating: 1, count: spatial)))
    }
    return try planFlat(id, rows, matrix, output, addend: bias, axes: channelsLast(y.count))
  }

  func planPooling(_ id: NodeID, _ node: Node, _ op: PoolingOp) throws(Failure) -> Bool {
    guard let input = node.input(0), let output = node.output(0), try type(of: input).element == .float32,
      node.outputs.dropFirst().allSatisfy({ $0 == nil })
    else { return false }
    let (xDims, yDims) = (try dims(of: input), try dims(of: output))
    guard xDims.count >= 3, xDims.count <= 5 else { return false }
    let kind: Pooling.Kind
    let window: Window
    switch op {
    case .globalAverage: return try planReduce([id], "GlobalAveragePool", .mean, input, axes: Set(2..<xDims.count), output)
    case .globalMax: return try planReduce([id], "GlobalMaxPool", .maximum, input, axes: Set(2..<xDims.count), output)
    case .maxByColumns, .lp, .globalLp, .unpool: return false
    case .max(let given, let ceilMode):
      guard !ceilMode else { return false }
      (kind, window) = (.maximum, given)
    case .average(let given, let ceilMode, let countIncludePad):
      guard !ceilMode else { return false }
      (kind, window) = (countIncludePad ? .averageIncludingPadding : .average, given)
    }
    guard let geometry = geometry(window, xDims, window.kernel, yDims),
      zip(geometry.kernel, geometry.padBegin).allSatisfy({ $0 > $1 }), zip(geometry.kernel, geometry.padEnd).allSatisfy({ $0 > $1 })
    else { return false }
    let source = try windowOperand(view(of: input))
    let target = try newView((.float32, yDims), order: channelsLast(yDims.count))
    let pooling = try Pooling(kind, x: source.layout, y: target.layout, window: geometry, workspace: workspace)
    emit([id], "Pool", reads: [source], writes: [target]) { (memory) throws(Failure) in
      try unsafe pooling.run(x: memory.address(source), y: memory.address(target))
    }
    set(output, target)
    return true
  }

  /// Channels-last as it is, anything else copied to that.
  private func windowOperand(_ view: View) throws(Failure) -> View {
    let rank = view.layout.rank
    let whole = try plain(view)
    let wanted = Strided(dims: whole.dims, order: channelsLast(rank))
    if isChannelsLast(whole.layout) { return whole.with(wanted) }
    return try copyOrdered(whole, channelsLast(rank))
  }

  /// Whether the elements lie in that order. oneDNN takes descriptions that differ at axes of one element only for equal
  /// and may then mix up the primitives that it keeps for them, so no such two must be tried one after the other.
  private func isChannelsLast(_ layout: Strided) -> Bool {
    layout.isPacked && layout.memoryOrder.filter { layout.dims[$0] != 1 } == channelsLast(layout.rank).filter { layout.dims[$0] != 1 }
  }

  private func copyOrdered(_ view: View, _ order: [Int]) throws(Failure) -> View {
    let target = try newView((view.element, view.dims), order: order)
    emit([], "copy", reads: [view], writes: [target]) { (memory) throws(Failure) in
      unsafe Movement.copy(memory.address(view), view.layout, memory.address(target), target.layout, elementBytes: view.elementBytes)
    }
    return target
  }

  private func channelsLast(_ rank: Int) -> [Int] { [0] + Array(2..<rank) + [1] }

  /// Window and padding in numbers; nil where padding cuts into the input.
  private func geometry(_ window: Window, _ x: [Int], _ kernel: [Int], _ y: [Int]) -> WindowGeometry? {
    let axes = x.count - 2
    guard kernel.count == axes, y.count == x.count else { return nil }
    let strides = window.strides.isEmpty ? [Int](repeating: 1, count: axes) : window.strides
    let dilations = window.dilations.isEmpty ? [Int](repeating: 1, count: axes) : window.dilations
    guard strides.count == axes, dilations.count == axes else { return nil }
    var (begin, end) = ([Int](), [Int]())
    for axis in 0..<axes {
      let extent = (kernel[axis] - 1) * dilations[axis] + 1
      switch window.padding {
      case .toSizes: return nil
      case .valid:
        begin.append(0)
        end.append(0)
      case .explicit(let pads):
        guard pads.isEmpty || pads.count == 2 * axes else { return nil }
        begin.append(pads.isEmpty ? 0 : pads[axis])
        end.append(pads.isEmpty ? 0 : pads[axis + axes])
      case .sameUpper, .sameLower:
        let total = Swift.max((y[axis + 2] - 1) * strides[axis] + extent - x[axis + 2], 0)
        let small = total / 2
        begin.append(window.padding == .sameUpper ? small : total - small)
        end.append(window.padding == .sameUpper ? total - small : small)
      }
      guard begin[axis] >= 0, end[axis] >= 0, (x[axis + 2] + begin[axis] + end[axis] - extent) / strides[axis] + 1 == y[axis + 2] else { return nil }
    }
    return WindowGeometry(kernel: kernel, strides: strides, dilations: dilations, padBegin: begin, padEnd: end)
  }
}
