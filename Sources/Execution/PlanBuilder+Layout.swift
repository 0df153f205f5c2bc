internal import Diagnostics
internal import GraphIR
internal import Kernels
internal import Tensors

/// Layout operators: views where strides can say it, copies where they cannot.
extension PlanBuilder {
  /// Whether the sizes and axes that steer the operator are known: a view rests on them. Where only the run tells them,
  /// though the result's shape can be nothing else, the reference kernel holds them against its rules.
  private func isSteeredByConstants(_ node: Node, _ op: LayoutOp) throws(Failure) -> Bool {
    if case .concat = op { return true }
    for case .some(let value) in node.inputs.dropFirst() where try type(of: value).element.isInteger {
      if constantTensor(value) == nil { return false }
    }
    return true
  }

  func planLayout(_ id: NodeID, _ node: Node, _ op: LayoutOp) throws(Failure) -> Bool {
    guard let data = node.input(0), let output = node.output(0), try isSteeredByConstants(node, op) else { return false }
    let target = try dims(of: output)
    if try planSplit(data, op, output) {
      markDone([id])
      return true
    }
    switch op {
    case .reshape, .squeeze, .unsqueeze, .flatten:
      set(output, try reshaped(view(of: data), target))
    case .transpose(let permutation):
      let source = try view(of: data)
      let axes = permutation.isEmpty ? Array((0..<source.layout.rank).reversed()) : permutation.map { $0 < 0 ? $0 + source.layout.rank : $0 }
      guard axes.sorted() == Array(0..<source.layout.rank) else { return false }
      set(output, source.with(source.layout.permuted(axes)))
    case .expand:
      let source = try view(of: data)
      guard let wide = source.layout.broadcast(to: target) else { return false }
      set(output, source.with(wide))
    case .slice:
      guard let sliced = try slice(node, try view(of: data), target) else { return false }
      set(output, sliced)
    case .split(let axis):
      let source = try view(of: data)
      let axis = axis < 0 ? axis + source.layout.rank : axis
      var start = 0
      for part in node.outputs {
        guard let part else { return false }
        let partDims = try dims(of: part)
        set(part, source.with(Strided(dims: partDims, strides: source.layout.strides), offset: source.offset + start * source.layout.strides[axis]))
        start += partDims[axis]
      }
    case .concat(let axis): return try planConcat(id, node, axis: axis < 0 ? axis + target.count : axis)
    case .pad(.constant): return try planPad(id, node)
    case .pad, .tile, .depthToSpace, .spaceToDepth, .centerCropPad, .reverseSequence: return false
    }
    markDone([id])
    return true
  }

  /// Reshapes and transpositions behind each other, of which the first would have to copy: one copy at their end.
  private func planSplit(_ data: ValueID, _ op: LayoutOp, _ output: ValueID) throws(Failure) -> Bool {
    guard !isConstant(data) else { return false }
    let pending = splits[data]
    let given = if let pending { pending } else { SplitView(try view(of: data)) }
    let target = try dims(of: output)
    let made: SplitView
    switch op {
    case .reshape, .squeeze, .unsqueeze, .flatten:
      if pending == nil, given.view.layout.reshaped(target) != nil { return false }
      guard !given.view.layout.strides.contains(0), let result = given.reshaped(target) else { return false }
      made = result
    case .transpose(let permutation):
      let rank = given.axes.count
      let axes = permutation.isEmpty ? Array((0..<rank).reversed()) : permutation.map { $0 < 0 ? $0 + rank : $0 }
      guard pending != nil, axes.sorted() == Array(0..<rank) else { return false }
      made = given.permuted(axes)
    default: return false
    }
    if let view = made.merged {
      set(output, view)
    } else if goesOnMoving(output) {
      splits[output] = made
    } else {
      set(output, try copied(made))
    }
    return true
  }

  /// Whether the only reader moves elements as well.
  private func goesOnMoving(_ value: ValueID) -> Bool {
    guard let reader = onlyReader(value) else { return false }
    switch graph[reader].op {
    case .layout(.reshape), .layout(.squeeze), .layout(.unsqueeze), .layout(.flatten), .layout(.transpose): return true
    default: return false
    }
  }

  func reshaped(_ view: View, _ target: [Int]) throws(Failure) -> View {
    if let layout = view.layout.reshaped(target) { return view.with(layout) }
    return try dense(view).with(Strided(dense: target))
  }

  private func slice(_ node: Node, _ source: View, _ target: [Int]) throws(Failure) -> View? {
    guard let starts = integers(node.input(1)) else { return nil }
    let axes = try node.input(3).map { (value) throws(Failure) in integers(value) } ?? Array(starts.indices)
    let steps = node.input(4) == nil ? [Int](repeating: 1, count: starts.count) : integers(node.input(4))
    guard let axes, let steps, axes.count == starts.count, steps.count == starts.count else { return nil }
    var layout = Strided(dims: target, strides: source.layout.strides)
    var offset = source.offset
    for (index, axis) in axes.enumerated() {
      let axis = axis < 0 ? axis + source.layout.rank : axis
      let size = source.dims[axis]
      guard steps[index] > 0 else { return nil }
      let start = starts[index] < 0 ? Swift.max(starts[index] + size, 0) : Swift.min(starts[index], size)
      offset += start * source.layout.strides[axis]
      layout.strides[axis] = source.layout.strides[axis] * (target[axis] == 1 ? 1 : steps[index])
    }
    return source.with(layout, offset: offset)
  }

  private func planConcat(_ id: NodeID, _ node: Node, axis: Int) throws(Failure) -> Bool {
    guard let output = node.output(0) else { return false }
    if node.reads.allSatisfy({ isConstant($0) }) { return false }
    var sources: [View] = []
    for input in node.inputs {
      guard let input else { return false }
      sources.append(try plain(view(of: input)))
    }
    // In the operands' own order, if they agree.
    let orders = Set(sources.filter { !isConstant($0) }.map(\.layout.memoryOrder))
    let target = try newView(type(of: output), order: orders.count == 1 ? orders.first : nil)
    var parts: [(source: View, target: View)] = []
    var start = 0
    for source in sources {
      let place = Strided(dims: source.dims, strides: target.layout.strides)
      parts.append((source, target.with(place, offset: start * target.layout.strides[axis])))
      start += source.dims[axis]
    }
    let copies = parts
    emit([id], "Concat", reads: copies.map(\.source), writes: [target]) { (memory) throws(Failure) in
      for part in copies {
        unsafe Movement.copy(
          memory.address(part.source), part.source.layout, memory.address(part.target), part.target.layout, elementBytes: part.source.elementBytes)
      }
    }
    set(output, target)
    return true
  }

  /// Zero padding: clear, then copy into the middle. Other values and cropping go to the reference kernel.
  private func planPad(_ id: NodeID, _ node: Node) throws(Failure) -> Bool {
    guard let data = node.input(0), let output = node.output(0), let pads = integers(node.input(1)), !isConstant(data) else { return false }
    if let value = node.input(2) {
      guard let tensor = constantTensor(value), tensor.scalar == 0 else { return false }
    }
    let source = try plain(view(of: data))
    let rank = source.layout.rank
    var axes = Array(0..<rank)
    if let list = node.input(3) {
      guard let known = integers(list) else { return false }
      axes = known.map { $0 < 0 ? $0 + rank : $0 }
    }
    guard pads.count == axes.count * 2, pads.allSatisfy({ $0 >= 0 }) else { return false }
    let target = try newView(type(of: output))
    var offset = 0
    for (index, axis) in axes.enumerated() { offset += pads[index] * target.layout.strides[axis] }
    let middle = target.with(Strided(dims: source.dims, strides: target.layout.strides), offset: offset)
    let bytes = target.layout.count * target.elementBytes
    emit([id], "Pad", reads: [source], writes: [target]) { (memory) throws(Failure) in
      unsafe memory.address(target).initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
      unsafe Movement.copy(memory.address(source), source.layout, memory.address(middle), middle.layout, elementBytes: source.elementBytes)
    }
    set(output, target)
    return true
  }

  /// Gather with constant indices: a view for one index or an even sequence of them, else a copy of slices.
  func planGather(_ id: NodeID, _ node: Node, axis: Int) throws(Failure) -> Bool {
    guard let data = node.input(0), let places = node.input(1), let output = node.output(0), let tensor = constantTensor(places),
      let list = tensor.integers(), !list.isEmpty
    else { return false }
    let source = try view(of: data)
    let axis = axis < 0 ? axis + source.layout.rank : axis
    let size = source.dims[axis]
    let indices = list.map { $0 < 0 ? $0 &+ size : $0 }
    for (given, index) in zip(list, indices) where index < 0 || index >= size {
      throw Failure(.indexOutOfRange, "Gather: index \(given) of an axis of \(size)")
    }
    let step = indices.count > 1 ? indices[1] - indices[0] : 1
    if step > 0, zip(indices, indices.dropFirst()).allSatisfy({ $1 - $0 == step }) {
      var layout = source.layout
      layout.dims[axis] = indices.count
      layout.strides[axis] *= step
      let picked = source.with(layout, offset: source.offset + indices[0] * source.layout.strides[axis])
      set(output, try reshaped(picked, try dims(of: output)))
      markDone([id])
      return true
    }
    if isConstant(data) { return false }
    let from = try dense(source)
    let target = try newView(type(of: output))
    let outer = from.dims[..<axis].reduce(1, *)
    let inner = from.dims[(axis + 1)...].reduce(1, *) * from.elementBytes
    emit([id], "Gather", reads: [from], writes: [target]) { (memory) throws(Failure) in
      unsafe Movement.gather(memory.address(from), outer: outer, axis: size, innerBytes: inner, indices: indices, memory.address(target))
    }
    set(output, target)
    return true
  }
}
