internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// What each operator does to the meaning of axes.
extension AxisLabels {
  mutating func propagate(_ node: Node, _ shape: Shape, _ typed: TypedGraph) -> AxisLayout? {
    switch node.op {
    case .unary, .cast, .clip, .softmax:
      return node.input(0).flatMap { layouts[$0] }
    case .normalization:
      return node.input(0).flatMap { layouts[$0] }
    case .binary, .select:
      return merged(node.inputs.compactMap { $0 }, shape, typed)
    case .matrix(let op):
      return product(op, node, shape, typed)
    case .convolution(let op):
      return convolved(op, node, shape, typed)
    case .pooling:
      return pooled(node, shape, typed)
    case .reduction(let op):
      return reduced(op, node, shape, typed)
    case .layout(let op):
      return rearranged(op, node, shape, typed)
    case .indexing(let op):
      return indexed(op, node, shape, typed)
    case .attention:
      guard let query = node.input(0), let layout = layouts[query], layout.axes.count == shape.rank else { return nil }
      return layout
    default:
      return nil
    }
  }

  /// Broadcasting: each axis is that of the operand which has it, the one that says more first.
  private mutating func merged(_ operands: [ValueID], _ shape: Shape, _ typed: TypedGraph) -> AxisLayout? {
    let known = operands.compactMap { operand in layouts[operand].flatMap { layout in typed.shape(of: operand).map { ($0, layout) } } }
    guard !known.isEmpty else { return nil }
    var axes: [[AxisFactor]] = []
    for axis in 0..<shape.rank {
      var best: [AxisFactor] = []
      var rank = -1
      for (whole, layout) in known {
        let own = axis - (shape.rank - whole.rank)
        guard own >= 0, layout.axes.count == whole.rank, whole[own] == shape[axis], !layout.axes[own].isEmpty else { continue }
        let kind = kind(layout.axes[own])
        let value = kind == .other ? 0 : kind == .channel ? 1 : 2
        if value > rank { (best, rank) = (layout.axes[own], value) }
      }
      axes.append(best.isEmpty ? fresh(.other, shape[axis]) : best)
    }
    return AxisLayout(axes)
  }

  private mutating func product(_ op: MatrixOp, _ node: Node, _ shape: Shape, _ typed: TypedGraph) -> AxisLayout? {
    guard let a = node.input(0), let b = node.input(1), let aShape = typed.shape(of: a), let bShape = typed.shape(of: b) else { return nil }
    switch op {
    case .matMul:
      guard aShape.rank >= 2, bShape.rank >= 2, shape.rank >= 2 else {
        return layouts[a].flatMap { layout in aShape.rank == shape.rank + 1 ? AxisLayout(Array(layout.axes.dropLast())) : nil }
      }
      var axes = merged(batchOf: [(a, aShape), (b, bShape)], Array(shape.dims.dropLast(2)))
      let rows = layouts[a]?.axes[aShape.rank - 2]
      let columns = layouts[b]?.axes[bShape.rank - 1]
      let factors = layouts[a]?.axes.last ?? layouts[b]?.axes[bShape.rank - 2] ?? []
      // Channels of several places side by side, as patches are merged, give channels.
      let isMerged = (layouts[a] == nil || layouts[b] == nil) && factors.contains { kind($0) == .channel }
      let contracted = isMerged ? .channel : kind(factors)
      let made: AxisKind = contracted == .token ? .token : contracted == .channel || contracted == nil ? .channel : .other
      axes.append(rows ?? fresh(made, shape[shape.rank - 2]))
      axes.append(columns ?? fresh(made, shape[shape.rank - 1]))
      return AxisLayout(axes)
    case .gemm(_, _, let transposeA, let transposeB):
      let rows = layouts[a].map { $0.axes[transposeA ? 1 : 0] } ?? fresh(.channel, shape[0])
      let columns = layouts[b].map { $0.axes[transposeB ? 0 : 1] } ?? fresh(.channel, shape[1])
      return AxisLayout([rows, columns])
    case .fusedMatMul, .determinant:
      return nil
    case .einsum(let equation):
      return einsum(equation, node, shape, typed)
    }
  }

  private mutating func merged(batchOf operands: [(value: ValueID, shape: Shape)], _ dims: [Dim]) -> [[AxisFactor]] {
    var axes: [[AxisFactor]] = []
    for axis in dims.indices {
      var found: [AxisFactor] = []
      for (value, shape) in operands {
        let own = axis - (dims.count + 2 - shape.rank)
        guard own >= 0, let layout = layouts[value], layout.axes.count == shape.rank, shape[own] == dims[axis], found.isEmpty else { continue }
        found = layout.axes[own]
      }
      axes.append(found.isEmpty ? fresh(.other, dims[axis]) : found)
    }
    return axes
  }

  private mutating func einsum(_ equation: String, _ node: Node, _ shape: Shape, _ typed: TypedGraph) -> AxisLayout? {
    let sides = equation.filter { !$0.isWhitespace }.components(separatedBy: "->")
    guard sides.count == 2, !equation.contains("."), sides[1].count == shape.rank else { return nil }
    let terms = sides[0].split(separator: ",", omittingEmptySubsequences: false).map(Array.init)
    var axes: [[AxisFactor]] = []
    for (axis, letter) in sides[1].enumerated() {
      var found: [AxisFactor]?
      for (term, operand) in zip(terms, node.inputs) {
        guard found == nil, let operand, let layout = layouts[operand], layout.axes.count == term.count, let place = term.firstIndex(of: letter) else {
          continue
        }
        found = layout.axes[place]
      }
      axes.append(found ?? fresh(.channel, shape[axis]))
    }
    return AxisLayout(axes)
  }

  private mutating func convolved(_ op: ConvolutionOp, _ node: Node, _ shape: Shape, _ typed: TypedGraph) -> AxisLayout? {
    guard let x = node.input(0), let whole = typed.shape(of: x), whole.rank == shape.rank, shape.rank >= 3 else { return nil }
    let from = layouts[x] ?? AxisLayout(Array(repeating: [], count: shape.rank))
    guard from.axes.count == shape.rank else { return nil }
    var axes = [from.axes[0]]
    let isDepthwise: Bool
    switch op {
    case .conv(_, let groups), .convTranspose(_, let groups, _): isDepthwise = groups > 1 && whole[1].value == groups && shape[1].value == groups
    }
    if isDepthwise {
      axes.append(from.axes[1])
    } else {
      axes.append(fresh(kind(from.axes[1]) == .token ? .token : .channel, shape[1]))
    }
    for axis in 2..<shape.rank {
      // Behind an operator that says nothing of its axes, folding say, a convolution says that they are places.
      let known = kind(from.axes[axis]) == .other ? [] : from.axes[axis]
      axes.append(place(known, whole[axis], shape[axis]))
    }
    return AxisLayout(axes)
  }

  /// A spatial axis: the same where its size stays, new places where it changes.
  private mutating func place(_ factors: [AxisFactor], _ before: Dim, _ after: Dim) -> [AxisFactor] {
    if before == after { return factors.isEmpty ? fresh(.token, after) : factors }
    let parent = factors.count == 1 ? factors.first.flatMap { factor -> Int? in if case .label(let id) = factor.source { id } else { nil } } : nil
    return fresh(kind(factors) ?? .token, after, parent: parent)
  }

  private mutating func pooled(_ node: Node, _ shape: Shape, _ typed: TypedGraph) -> AxisLayout? {
    guard let x = node.input(0), let whole = typed.shape(of: x), let from = layouts[x], whole.rank == shape.rank, from.axes.count == shape.rank,
      shape.rank >= 2
    else { return nil }
    var axes = Array(from.axes[..<2])
    for axis in 2..<shape.rank { axes.append(place(from.axes[axis], whole[axis], shape[axis])) }
    return AxisLayout(axes)
  }

  private func reduced(_ op: ReductionOp, _ node: Node, _ shape: Shape, _ typed: TypedGraph) -> AxisLayout? {
    guard let x = node.input(0), let from = layouts[x], let rank = typed.shape(of: x)?.rank, from.axes.count == rank else { return nil }
    var reduced = Set(0..<rank)
    if let axes = node.input(1).flatMap({ typed.known($0)?.integers }), !axes.isEmpty { reduced = Set(axes.map { $0 < 0 ? $0 + rank : $0 }) }
    return AxisLayout(from.axes.indices.compactMap { reduced.contains($0) ? (op.keepDims ? [] : nil) : from.axes[$0] })
  }

  private mutating func rearranged(_ op: LayoutOp, _ node: Node, _ shape: Shape, _ typed: TypedGraph) -> AxisLayout? {
    if case .concat(let axis) = op { return concatenated(node, axis < 0 ? axis + shape.rank : axis, shape, typed) }
    guard let x = node.input(0), var from = layouts[x], let whole = typed.shape(of: x), from.axes.count == whole.rank else { return nil }
    from.offsets = [:]
    switch op {
    case .reshape, .squeeze, .unsqueeze, .flatten:
      return from.reshaped(to: shape) ?? regrouped(from, whole, shape)
    case .transpose:
      return Rearrangement.apply(node, to: from, in: typed)
    case .slice:
      if var moved = Rearrangement.apply(node, to: from, in: typed) {
        moved.offsets = [:]
        return moved
      }
      return resized(from, whole, shape)
    case .split:
      return resized(from, whole, shape)
    case .pad:
      return resized(from, whole, shape)
    case .expand:
      return expanded(from, whole, shape)
    case .tile:
      guard whole.rank == shape.rank else { return nil }
      var axes: [[AxisFactor]] = []
      for axis in shape.dims.indices {
        if whole[axis] == shape[axis] {
          axes.append(from.axes[axis])
        } else {
          let copies = shape[axis].dividedExactly(by: whole[axis])
          axes.append(copies.map { fresh(.other, $0) + from.axes[axis] } ?? derived(from.axes[axis], shape[axis]))
        }
      }
      return AxisLayout(axes)
    case .centerCropPad:
      return resized(from, whole, shape)
    case .concat, .depthToSpace, .spaceToDepth, .reverseSequence:
      return nil
    }
  }

  /// Axes that keep their size keep their label; the others get one that remembers.
  private mutating func resized(_ from: AxisLayout, _ whole: Shape, _ shape: Shape) -> AxisLayout? {
    guard whole.rank == shape.rank else { return nil }
    var axes: [[AxisFactor]] = []
    for axis in shape.dims.indices {
      if whole[axis] == shape[axis] {
        axes.append(from.axes[axis])
      } else if from.axes[axis].count == 1, let factor = from.axes[axis].first, let kind = kind(factor), kind == .channel {
        axes.append([AxisFactor(factor.source, stride: factor.stride, size: shape[axis])])
      } else {
        axes.append(derived(from.axes[axis], shape[axis]))
      }
    }
    return AxisLayout(axes)
  }

  private mutating func expanded(_ from: AxisLayout, _ whole: Shape, _ shape: Shape) -> AxisLayout? {
    var axes: [[AxisFactor]] = []
    for axis in shape.dims.indices {
      let own = axis - (shape.rank - whole.rank)
      if own >= 0, whole[own] == shape[axis] { axes.append(from.axes[own]) } else { axes.append(fresh(.other, shape[axis])) }
    }
    return AxisLayout(axes)
  }

  /// A reshape that strides do not say: leading and trailing axes that stay keep their labels.
  private mutating func regrouped(_ from: AxisLayout, _ whole: Shape, _ shape: Shape) -> AxisLayout? {
    var head = 0
    while head < min(whole.rank, shape.rank), whole[head] == shape[head] { head += 1 }
    var tail = 0
    while tail < min(whole.rank, shape.rank) - head, whole[whole.rank - 1 - tail] == shape[shape.rank - 1 - tail] { tail += 1 }
    let middle = Array(from.axes[head..<(whole.rank - tail)].joined())
    let kinds = Set(middle.compactMap { self.kind($0) })
    let made: AxisKind = kinds.count == 1 ? kinds.first ?? .other : kinds.isSubset(of: [.batch, .token]) && !kinds.isEmpty ? .token : .other
    var axes = Array(from.axes[..<head])
    for axis in head..<(shape.rank - tail) { axes.append(fresh(made, shape[axis])) }
    axes += from.axes[(whole.rank - tail)...]
    return AxisLayout(axes)
  }

  /// Parts of one axis put together again (a cyclic shift, say) are that axis; anything else is a new one.
  private mutating func concatenated(_ node: Node, _ axis: Int, _ shape: Shape, _ typed: TypedGraph) -> AxisLayout? {
    let operands = node.inputs.compactMap { $0 }
    let known = operands.compactMap { operand in layouts[operand].flatMap { $0.axes.count == shape.rank ? (operand, $0) : nil } }
    guard let first = known.first, shape.dims.indices.contains(axis) else { return nil }
    var axes: [[AxisFactor]] = []
    for other in shape.dims.indices where other != axis {
      let choices = known.map { $0.1.axes[other] }
      axes.append(choices.first { kind($0) != .other && !$0.isEmpty } ?? choices[0])
    }
    let parts = known.map { $0.1.axes[axis] }
    let largest = known.max { (typed.shape(of: $0.0)?[axis].value ?? 0) < (typed.shape(of: $1.0)?[axis].value ?? 0) } ?? first
    var joint = parts.first { !$0.isEmpty } ?? []
    let sources = Set(parts.joined().map(\.source))
    let whole = joint.first.flatMap(label)?.size
    if known.count == operands.count, sources.count == 1, parts.allSatisfy({ $0.count <= 1 }), whole == shape[axis], let factor = joint.first {
      joint = [AxisFactor(factor.source, stride: factor.stride, size: shape[axis])]
    } else if largest.1.axes[axis].isEmpty {
      // Single things side by side: places where any of them was one, else branches.
      joint = fresh(.other, shape[axis])
    } else {
      joint = derived(largest.1.axes[axis], shape[axis])
    }
    axes.insert(joint, at: axis)
    return AxisLayout(axes)
  }

  private mutating func indexed(_ op: IndexingOp, _ node: Node, _ shape: Shape, _ typed: TypedGraph) -> AxisLayout? {
    guard let x = node.input(0), let whole = typed.shape(of: x) else { return nil }
    switch op {
    case .gather(let raw):
      guard let index = node.input(1), let picked = typed.shape(of: index) else { return nil }
      let axis = raw < 0 ? raw + whole.rank : raw
      guard whole.dims.indices.contains(axis), shape.rank == whole.rank - 1 + picked.rank else { return nil }
      if let from = layouts[x], from.axes.count == whole.rank {
        var middle: [[AxisFactor]] = []
        for dim in picked.dims { middle.append(dim == whole[axis] && picked.rank == 1 ? from.axes[axis] : derived(from.axes[axis], dim)) }
        return AxisLayout(Array(from.axes[..<axis]) + middle + Array(from.axes[(axis + 1)...]))
      }
      // A table looked up.
      guard let chosen = layouts[index], chosen.axes.count == picked.rank else { return nil }
      var axes: [[AxisFactor]] = []
      for dim in whole.dims[..<axis] { axes.append(fresh(.channel, dim)) }
      axes += chosen.axes
      for dim in whole.dims[(axis + 1)...] { axes.append(fresh(.channel, dim)) }
      return AxisLayout(axes)
    case .resize:
      return layouts[x].flatMap { resized($0, whole, shape) }
    default:
      guard whole.rank == shape.rank, let from = layouts[x], from.axes.count == whole.rank else { return nil }
      return resized(from, whole, shape)
    }
  }
}

extension String {
  fileprivate func components(separatedBy mark: String) -> [String] {
    var parts: [String] = []
    var rest = self[...]
    while let range = rest.firstRange(of: mark) {
      parts.append(String(rest[..<range.lowerBound]))
      rest = rest[range.upperBound...]
    }
    return parts + [String(rest)]
  }
}
