internal import Diagnostics
internal import GraphIR
internal import Kernels
internal import Tensors

/// Softmax, normalizations and reductions.
extension PlanBuilder {
  /// Leaves `x + bias` to the softmax that alone reads it.
  func deferToSoftmax(_ id: NodeID, _ a: ValueID, _ b: ValueID, _ output: ValueID) throws(Failure) -> Bool {
    guard let reader = onlyReader(output), case .softmax(.softmax(let axis)) = graph[reader].op else { return false }
    let shape = try dims(of: output)
    let rank = shape.count
    guard rank >= 1, axis == -1 || axis == rank - 1 else { return false }
    let whole = try dims(of: a) == shape ? a : b
    let bias = whole == a ? b : a
    guard a != b, try dims(of: whole) == shape else { return false }
    let view = try plain(view(of: bias))
    guard let wide = view.layout.broadcast(to: shape), wide.strides[rank - 1] == 1 || shape[rank - 1] == 1 else { return false }
    biased[output] = (try self.view(of: whole), view.with(wide))
    markDone([id])
    return true
  }

  func planSoftmax(_ id: NodeID, _ node: Node, _ op: SoftmaxOp) throws(Failure) -> Bool {
    guard let input = node.input(0), let output = node.output(0), try type(of: input).element == .float32 else { return false }
    let shape = try dims(of: input)
    let rank = shape.count
    let given =
      switch op {
      case .softmax(let axis), .logSoftmax(let axis), .hardmax(let axis): axis
      }
    if case .hardmax = op { return false }
    let axis = given < 0 ? given + rank : given
    guard rank >= 1, axis >= 0, axis < rank else { return false }
    let pending = biased[input]
    let argument = if let pending { pending.x } else { try view(of: input) }
    let scale = argument.factor
    // Along another axis: as the last axis of a transposed copy.
    var order = Array(0..<rank)
    if axis != rank - 1 { order.swapAt(axis, rank - 1) }
    let source = argument.unscaled.with(argument.layout.permuted(order))
    let target: View
    if case .logSoftmax = op {
      guard scale == 1, pending == nil else { return false }
      let whole = try dense(source)
      let (width, rows) = (shape[axis], whole.layout.count / shape[axis])
      target = try newView((.float32, whole.dims))
      emit([id], "LogSoftmax", reads: [whole], writes: [target], inPlace: true) { (memory) throws(Failure) in
        unsafe Rows.logSoftmax(memory.floats(whole), memory.floats(target), rows: rows, width: width)
      }
    } else {
      target = try softmax([id], source, scale: scale, bias: pending?.bias)
    }
    set(output, target.with(target.layout.permuted(order)))
    return true
  }

  /// Adds `softmax(scale * x + bias)` along the last axis as a step; the bias has the dimensions of `x` at any strides, its
  /// rows contiguous.
  func softmax(_ nodes: [NodeID], _ x: View, scale: Float, bias: View?) throws(Failure) -> View {
    let source = try dense(x)
    let width = source.dims.last ?? 1
    let rows = source.layout.count / Swift.max(width, 1)
    let target = try newView((.float32, source.dims))
    guard let bias else {
      emit(nodes, "Softmax", reads: [source], writes: [target], inPlace: true) { (memory) throws(Failure) in
        unsafe Rows.softmax(memory.floats(source), scale: scale, memory.floats(target), rows: rows, width: width)
      }
      return target
    }
    let outer = Array(bias.layout.dims.dropLast())
    let strides = Array(bias.layout.strides.dropLast())
    emit(nodes, "Softmax", reads: [source, bias], writes: [target], inPlace: source.slot != bias.slot) { (memory) throws(Failure) in
      unsafe Rows.softmax(
        memory.floats(source), scale: scale, bias: UnsafePointer(memory.floats(bias)),
        biasRow: { row in
          var (rest, offset) = (row, 0)
          for axis in outer.indices.reversed() {
            offset += rest % outer[axis] * strides[axis]
            rest /= outer[axis]
          }
          return offset
        }, memory.floats(target), rows: rows, width: width)
    }
    return target
  }

  func planNormalization(_ id: NodeID, _ node: Node, _ op: NormalizationOp) throws(Failure) -> Bool {
    guard let input = node.input(0), let output = node.output(0), try type(of: input).element == .float32 else { return false }
    switch op {
    case .layer(let axis, let epsilon):
      guard node.outputs.dropFirst().allSatisfy({ $0 == nil }) else { return false }
      return try planRows(id, "LayerNorm", input, output, axis: axis, epsilon: epsilon, centered: true, gain: node.input(1), bias: node.input(2))
    case .rms(let axis, let epsilon):
      return try planRows(id, "RMSNorm", input, output, axis: axis, epsilon: epsilon, centered: false, gain: node.input(1), bias: nil)
    case .batch(let epsilon):
      guard let (scale, shift) = try batchFactors(node, epsilon: epsilon) else { return false }
      let shape = try dims(of: input)
      guard shape.count >= 2 else { return false }
      let channels = [shape[1]] + [Int](repeating: 1, count: shape.count - 2)
      let product = try binary([], .multiply, try plain(view(of: input)), try reshaped(scale, channels), shape)
      set(output, try binary([id], .add, product, try reshaped(shift, channels), shape))
      return true
    case .instance(let epsilon):
      return try planGroups(id, node, input, output, groups: dims(of: input).dropFirst().first ?? 1, epsilon: epsilon)
    case .group(let groups, let epsilon): return try planGroups(id, node, input, output, groups: groups, epsilon: epsilon)
    case .skipLayer(let epsilon): return try planSkip(id, node, output, epsilon: epsilon, centered: true, gain: 2, shift: 3, bias: 4)
    case .skipRMS(let epsilon): return try planSkip(id, node, output, epsilon: epsilon, centered: false, gain: 2, shift: nil, bias: 3)
    case .lp, .batchTraining, .localResponse, .meanVariance: return false
    }
  }

  private func planRows(
    _ id: NodeID, _ name: String, _ input: ValueID, _ output: ValueID, axis: Int, epsilon: Float, centered: Bool, gain: ValueID?, bias: ValueID?
  ) throws(Failure) -> Bool {
    let shape = try dims(of: input)
    let axis = axis < 0 ? axis + shape.count : axis
    guard axis >= 0, axis < shape.count else { return false }
    let width = shape[axis...].reduce(1, *)
    let rows = shape[..<axis].reduce(1, *)
    func row(_ value: ValueID?) throws(Failure) -> View? {
      guard let value else { return nil }
      let view = try view(of: value)
      guard let wide = view.layout.broadcast(to: Array(shape[axis...])) else { return nil }
      return try dense(view.with(wide))
    }
    let (scale, shift) = (try row(gain), try row(bias))
    guard (scale != nil) == (gain != nil), (shift != nil) == (bias != nil) else { return false }
    set(output, try normalized([id], name, try view(of: input), rows: rows, width: width, epsilon: epsilon, centered: centered, gain: scale, bias: shift))
    return true
  }

  /// Instance and group normalization: rows of one group each without gain, then gain and bias by channel.
  private func planGroups(_ id: NodeID, _ node: Node, _ input: ValueID, _ output: ValueID, groups: Int, epsilon: Float) throws(Failure) -> Bool {
    let shape = try dims(of: input)
    guard shape.count >= 2, groups > 0, shape[1] % groups == 0, let gain = node.input(1), let bias = node.input(2) else { return false }
    let channels = [shape[1]] + [Int](repeating: 1, count: shape.count - 2)
    guard try dims(of: gain) == [shape[1]], try dims(of: bias) == [shape[1]] else { return false }
    let rows = shape[0] * groups
    let width = shape.reduce(1, *) / rows
    let even = try normalized([], "GroupNorm", try view(of: input), rows: rows, width: width, epsilon: epsilon, centered: true, gain: nil, bias: nil)
    let scaled = try binary([], .multiply, even, try reshaped(plain(view(of: gain)), channels), shape)
    set(output, try binary([id], .add, scaled, try reshaped(plain(view(of: bias)), channels), shape))
    return true
  }

  /// SkipLayerNormalization: the sum first, which may be a result as well.
  private func planSkip(
    _ id: NodeID, _ node: Node, _ output: ValueID, epsilon: Float, centered: Bool, gain: Int, shift: Int?, bias: Int
  ) throws(Failure) -> Bool {
    guard let input = node.input(0), let skip = node.input(1), let gain = node.input(gain), node.output(1) == nil, node.output(2) == nil else { return false }
    let shape = try dims(of: input)
    guard let width = shape.last, try dims(of: skip) == shape, try dims(of: gain) == [width] else { return false }
    var sum = try binary([], .add, input, skip, shape)
    if let bias = node.input(bias) { sum = try binary([], .add, sum, try plain(view(of: bias)), shape) }
    let offset = try shift.flatMap { node.input($0) }.map { (value) throws(Failure) in try dense(view(of: value)) }
    if let total = node.output(3) { set(total, sum) }
    set(
      output,
      try normalized(
        [id], "SkipNorm", sum, rows: shape.dropLast().reduce(1, *), width: width, epsilon: epsilon, centered: centered, gain: try dense(view(of: gain)),
        bias: offset))
    return true
  }

  private func normalized(
    _ nodes: [NodeID], _ name: String, _ x: View, rows: Int, width: Int, epsilon: Float, centered: Bool, gain scale: View?, bias shift: View?
  ) throws(Failure) -> View {
    let source = try dense(x)
    let target = try newView((.float32, source.dims))
    emit(nodes, name, reads: [source] + [scale, shift].compactMap { $0 }, writes: [target], inPlace: true) { (memory) throws(Failure) in
      unsafe Rows.normalize(
        memory.floats(source), gain: scale.map { unsafe UnsafePointer(memory.floats($0)) }, bias: shift.map { unsafe UnsafePointer(memory.floats($0)) },
        epsilon: epsilon, centered: centered, memory.floats(target), rows: rows, width: width)
    }
    return target
  }

  /// Batch normalization at inference as a factor and a summand for each channel; nil unless its statistics are constant.
  func batchFactors(_ node: Node, epsilon: Float) throws(Failure) -> (scale: View, shift: View)? {
    var numbers: [[Double]] = []
    for index in 1...4 {
      guard let value = node.input(index), let tensor = constantTensor(value), let values = tensor.doubles() else { return nil }
      numbers.append(values)
    }
    let channels = numbers[0].count
    guard node.outputs.dropFirst().allSatisfy({ $0 == nil }), numbers.allSatisfy({ $0.count == channels }) else { return nil }
    let scale = (0..<channels).map { numbers[0][$0] / (numbers[3][$0] + Double(epsilon)).squareRoot() }
    let shift = (0..<channels).map { numbers[1][$0] - numbers[2][$0] * scale[$0] }
    return (
      try constantView(try Tensor(float32: scale.map { Float($0) }, dims: [channels])),
      try constantView(try Tensor(float32: shift.map { Float($0) }, dims: [channels]))
    )
  }

  func planReduction(_ id: NodeID, _ node: Node, _ op: ReductionOp) throws(Failure) -> Bool {
    guard let input = node.input(0), let output = node.output(0), try type(of: input).element == .float32, let kind = op.kind.fast else { return false }
    let rank = try dims(of: input).count
    var axes = Array(0..<rank)
    if let list = node.input(1) {
      guard let known = integers(list) else { return false }
      axes = known.isEmpty ? (op.noopWithEmptyAxes ? [] : axes) : known.map { $0 < 0 ? $0 + rank : $0 }
    } else if op.noopWithEmptyAxes {
      axes = []
    }
    guard !axes.isEmpty else { return false }
    return try planReduce([id], "Reduce", kind, input, axes: Set(axes), output)
  }

  /// Reduces `axes`; where they are neighbors in memory nothing is moved before.
  func planReduce(_ nodes: [NodeID], _ name: String, _ kind: Reduction.Kind, _ input: ValueID, axes: Set<Int>, _ output: ValueID) throws(Failure) -> Bool {
    var source = try plain(view(of: input))
    let target = try newView(type(of: output))
    var order = source.layout.memoryOrder.filter { source.dims[$0] != 1 }
    let kept = source.layout.dims.indices.filter { !axes.contains($0) && source.dims[$0] != 1 }
    let flags = order.map { axes.contains($0) }
    // The result is row-major, so the kept axes have to come in that order, the reduced ones in one piece.
    let runs = flags.indices.filter { flags[$0] && ($0 == 0 || !flags[$0 - 1]) }.count
    if !source.layout.isPacked || order.filter({ !axes.contains($0) }) != kept || runs > 1 {
      order = kept + source.layout.dims.indices.filter { axes.contains($0) && source.dims[$0] != 1 }
      let whole = order + source.layout.dims.indices.filter { source.dims[$0] == 1 }
      source = try dense(source.with(source.layout.permuted(whole)))
      source = source.with(Strided(dense: order.indices.map { source.dims[$0] }))
      let outer = kept.reduce(1) { $0 * source.dims[kept.firstIndex(of: $1) ?? 0] }
      return emitReduction(nodes, name, kind, source, target, outer: outer, reduced: source.layout.count / Swift.max(outer, 1), inner: 1, output)
    }
    let first = flags.firstIndex(of: true) ?? order.count
    let last = flags.lastIndex(of: true).map { $0 + 1 } ?? order.count
    let sizes = order.map { source.dims[$0] }
    return emitReduction(
      nodes, name, kind, source, target, outer: sizes[..<first].reduce(1, *), reduced: sizes[first..<last].reduce(1, *),
      inner: sizes[last...].reduce(1, *), output)
  }

  private func emitReduction(
    _ nodes: [NodeID], _ name: String, _ kind: Reduction.Kind, _ source: View, _ target: View, outer: Int, reduced: Int, inner: Int, _ output: ValueID
  ) -> Bool {
    emit(nodes, name, reads: [source], writes: [target]) { (memory) throws(Failure) in
      unsafe Reduction.apply(kind, memory.floats(source), outer: outer, reduced: reduced, inner: inner, memory.floats(target))
    }
    set(output, target)
    return true
  }
}

extension ReductionOp.Kind {
  var fast: Reduction.Kind? {
    switch self {
    case .sum: .sum
    case .mean: .mean
    case .max: .maximum
    case .min: .minimum
    case .sumSquare: .sumSquare
    case .l1: .sumAbs
    case .l2: .l2
    default: nil
    }
  }
}
