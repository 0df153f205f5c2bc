public import Diagnostics
public import GraphIR
public import Tensors

extension LayoutOp: Operator {
  public var mnemonic: String {
    switch self {
    case .reshape: "Reshape"
    case .transpose: "Transpose"
    case .squeeze: "Squeeze"
    case .unsqueeze: "Unsqueeze"
    case .flatten: "Flatten"
    case .expand: "Expand"
    case .concat: "Concat"
    case .split: "Split"
    case .slice: "Slice"
    case .pad: "Pad"
    case .tile: "Tile"
    case .depthToSpace: "DepthToSpace"
    case .spaceToDepth: "SpaceToDepth"
    case .centerCropPad: "CenterCropPad"
    case .reverseSequence: "ReverseSequence"
    }
  }
  public var domain: String { "" }
  public var arity: Arity {
    switch self {
    case .reshape, .expand, .tile, .unsqueeze, .centerCropPad, .reverseSequence: Arity(2...2)
    case .transpose, .flatten, .depthToSpace, .spaceToDepth: Arity(1...1)
    case .squeeze: Arity(1...2)
    case .concat: Arity(1...(1 << 20))
    case .split: Arity(1...2, results: 1...(1 << 20))
    case .slice: Arity(3...5)
    case .pad: Arity(2...4)
    }
  }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let data = try operands.required(0)
    let element: ElementType
    switch self {
    case .concat: element = try operands.sharedElement(Array(operands.indices), of: mnemonic)
    case .pad:
      element = try operands.sharedElement([0, 2], of: mnemonic)
      try checkIndices(operands, [1, 3])
    default:
      element = data.type.element
      try checkIndices(operands, Array(operands.indices.dropFirst()))
    }
    let shapes = try resultShapes(operands, data, resultCount)
    let movesAll = if case .concat = self { true } else { false }
    // These fill in elements of their own.
    let isPad =
      switch self {
      case .pad, .centerCropPad: true
      default: false
      }
    let values =
      isPad
      ? [KnownValue?](repeating: nil, count: resultCount)
      : ShapeArithmetic.moved(by: self, operands, moved: movesAll ? Array(operands.indices) : [0], resultCount: resultCount)
    return zip(shapes, values).map { Fact(TensorType(element, $0), value: $1) }
  }

  /// Shapes, axes, starts … are integers.
  private func checkIndices(_ operands: [Fact?], _ indices: [Int]) throws(Failure) {
    for index in indices {
      guard let element = operands.fact(index)?.type.element else { continue }
      guard element == .int64 || element == .int32 else { throw Failure(.typeMismatch, "\(mnemonic) has operand \(index) of \(element.name)") }
    }
  }

  private func resultShapes(_ operands: [Fact?], _ data: Fact, _ resultCount: Int) throws(Failure) -> [Shape?] {
    let shape = data.type.shape
    switch self {
    case .reshape(let allowZero): return [try reshaped(shape, to: try operands.required(1), allowZero: allowZero)]
    case .transpose(let permutation):
      guard let shape else { return [permutation.isEmpty ? nil : .unknown(rank: permutation.count)] }
      return [Shape(try order(permutation, rank: shape.rank).map { shape[$0] })]
    case .squeeze: return [try squeezed(shape, operands.fact(1))]
    case .unsqueeze: return [try unsqueezed(shape, try operands.required(1))]
    case .flatten(let axis):
      guard let shape else { return [.unknown(rank: 2)] }
      guard axis >= -shape.rank, axis <= shape.rank else { throw mismatch("axis \(axis) of a tensor of rank \(shape.rank)") }
      let cut = axis < 0 ? axis + shape.rank : axis
      return [Shape([try product(shape.dims[..<cut]), try product(shape.dims[cut...])])]
    case .expand:
      guard let target = try target(operands.fact(1)) else { return [nil] }
      return [try Broadcasting.shape([shape, target], of: mnemonic)]
    case .concat(let axis): return [try concatenatedShape(operands, axis)]
    case .split(let axis): return try splitShapes(shape, axis, operands.fact(1), resultCount)
    case .slice: return [try slicedShape(shape, operands)]
    case .pad: return [try paddedShape(shape, operands)]
    case .tile:
      guard let shape else { return [nil] }
      guard let repeats = operands.fact(1)?.value?.dimensions else { return [.unknown(rank: shape.rank)] }
      guard repeats.count == shape.rank, repeats.allSatisfy({ ($0.value ?? 0) >= 0 }) else { throw mismatch("repeats \(repeats) for \(shape)") }
      var dims: [Dim] = []
      for (dim, count) in zip(shape.dims, repeats) { dims.append(try dim.times(count)) }
      return [Shape(dims)]
    case .depthToSpace(let block, _):
      guard let shape else { return [.unknown(rank: 4)] }
      guard shape.rank == 4, block > 0, block < 1 << 16, let channels = shape[1].floorDivided(by: Dim(block * block)),
        shape[1].value.map({ $0 % (block * block) == 0 }) ?? true
      else { throw mismatch("blocks of \(block) from \(shape)") }
      return [Shape([shape[0], channels, try shape[2].times(Dim(block)), try shape[3].times(Dim(block))])]
    case .spaceToDepth(let block, _):
      guard let shape else { return [.unknown(rank: 4)] }
      guard shape.rank == 4, block > 0, block < 1 << 16, shape.dims[2...].allSatisfy({ ($0.value ?? 0) % block == 0 }) else {
        throw mismatch("blocks of \(block) from \(shape)")
      }
      return [Shape([shape[0], try shape[1].times(Dim(block * block)), try shape[2].floored(by: Dim(block)), try shape[3].floored(by: Dim(block))])]
    case .centerCropPad(let axes): return [try croppedShape(shape, axes, try operands.required(1))]
    case .reverseSequence(let time, let batch):
      try checkSequences(shape, try operands.required(1), time, batch)
      return [shape]
    }
  }

  private func croppedShape(_ shape: Shape?, _ axes: [Int]?, _ sizes: Fact) throws(Failure) -> Shape? {
    guard let shape else { return nil }
    let places = try axes.map { (axes) throws(Failure) in try self.axes(axes, rank: shape.rank) } ?? Array(0..<shape.rank)
    var dims = shape.dims
    let target = try target(sizes)?.dims ?? places.map { _ in .unknown }
    guard target.count == places.count, target.allSatisfy({ ($0.value ?? 0) >= 0 }) else { throw mismatch("sizes \(target) for \(places.count) axes") }
    for (axis, size) in zip(places, target) { dims[axis] = size }
    return Shape(dims)
  }

  private func checkSequences(_ shape: Shape?, _ lengths: Fact, _ time: Int, _ batch: Int) throws(Failure) {
    guard let shape else { return }
    guard (0...1).contains(time), (0...1).contains(batch), time != batch, shape.rank >= 2 else {
      throw mismatch("time axis \(time) and batch axis \(batch) of \(shape)")
    }
    guard let own = lengths.type.shape else { return }
    guard own.rank == 1 else { throw mismatch("lengths of shape \(own)") }
    try checkAgree(own[0], shape[batch], "lengths and batch")
  }

  /// The shape that a target operand spells: its elements, or as many unknown sizes as it has elements.
  private func target(_ fact: Fact?) throws(Failure) -> Shape? {
    guard let fact else { return nil }
    if let shape = fact.type.shape, shape.rank != 1 { throw mismatch("a target of shape \(shape)") }
    if let dims = fact.value?.dimensions { return Shape(dims) }
    return fact.type.shape?.dims.first?.value.map { .unknown(rank: min($0, 64)) }
  }

  private func product(_ dims: ArraySlice<Dim>) throws(Failure) -> Dim {
    guard let product = Shape.product(dims) else { throw Failure(.sizeOverflow, "\(mnemonic): the product of \(Array(dims)) overflows") }
    return product
  }

  /// 0 copies the data's size, -1 takes what is left.
  private func reshaped(_ shape: Shape?, to fact: Fact, allowZero: Bool) throws(Failure) -> Shape? {
    guard var dims = try target(fact)?.dims else { return nil }
    var open: Int?
    for (index, dim) in dims.enumerated() {
      if dim.value == 0, !allowZero {
        guard let shape else {
          dims[index] = .unknown
          continue
        }
        guard index < shape.rank else { throw mismatch("copies axis \(index) of \(shape)") }
        dims[index] = shape[index]
      } else if dim.value == -1 {
        guard open == nil else { throw mismatch("two sizes are left open in \(dims)") }
        open = index
      } else if let value = dim.value, value < 0 {
        throw mismatch("a target of \(dims)")
      }
    }
    guard let shape, !dims.contains(.unknown) else {
      if let open { dims[open] = .unknown }
      return Shape(dims)
    }
    let total = try product(shape.dims[...])
    if let open {
      dims.remove(at: open)
      let rest = try product(dims[...])
      guard let size = total.dividedExactly(by: rest) ?? (total.value != nil && rest.value != nil ? nil : total.floorDivided(by: rest)) else {
        throw mismatch("\(shape) does not fit \(dims) and one more")
      }
      dims.insert(size, at: open)
    } else {
      try checkAgree(total, try product(dims[...]), "\(shape) and \(Shape(dims)) have different sizes")
    }
    return Shape(dims)
  }

  func order(_ permutation: [Int], rank: Int) throws(Failure) -> [Int] {
    if permutation.isEmpty { return (0..<rank).reversed() }
    guard permutation.count == rank, Set(permutation).count == rank, permutation.allSatisfy({ (0..<rank).contains($0) }) else {
      throw mismatch("\(permutation) is no order of \(rank) axes")
    }
    return permutation
  }

  private func squeezed(_ shape: Shape?, _ list: Fact?) throws(Failure) -> Shape? {
    guard let shape else { return nil }
    guard let list else {
      // Without axes every 1 goes; a symbol is taken to be more than 1 only when it must be.
      guard shape.concrete != nil || shape.dims.allSatisfy({ $0.value != nil || ($0.lowerBound ?? 0) > 1 }) else { return nil }
      return Shape(shape.dims.filter { $0.value != 1 })
    }
    guard let axes = list.value?.integers else { return list.type.shape?.dims.first?.value.map { .unknown(rank: max(0, shape.rank - $0)) } }
    let gone = try self.axes(axes, rank: shape.rank)
    for axis in gone { try checkAgree(shape[axis], 1, "axis \(axis) of \(shape) is not 1") }
    return Shape(shape.dims.indices.filter { !gone.contains($0) }.map { shape[$0] })
  }

  private func unsqueezed(_ shape: Shape?, _ list: Fact) throws(Failure) -> Shape? {
    guard let shape else { return nil }
    guard let axes = list.value?.integers else { return list.type.shape?.dims.first?.value.map { .unknown(rank: min(64, shape.rank + $0)) } }
    let rank = shape.rank + axes.count
    let new = try self.axes(axes, rank: rank)
    var old = shape.dims.makeIterator()
    return Shape((0..<rank).map { new.contains($0) ? 1 : old.next() ?? 1 })
  }

  private func concatenatedShape(_ operands: [Fact?], _ axis: Int) throws(Failure) -> Shape? {
    var result: Shape?
    var unknown = false
    for index in operands.indices {
      guard let shape = try operands.required(index).type.shape else {
        unknown = true
        continue
      }
      let axis = try self.axis(axis, rank: shape.rank)
      guard var sum = result else {
        result = shape
        continue
      }
      guard sum.rank == shape.rank else { throw mismatch("\(sum) and \(shape) have different ranks") }
      for other in shape.dims.indices {
        if other == axis {
          sum.dims[axis] = try sum[axis].plus(shape[axis])
        } else {
          try checkAgree(sum[other], shape[other], "axis \(other)")
          sum.dims[other] = sum[other].merged(with: shape[other])
        }
      }
      result = sum
    }
    if unknown, let rank = result?.rank { return .unknown(rank: rank) }
    return result
  }

  private func splitShapes(_ shape: Shape?, _ axis: Int, _ sizes: Fact?, _ resultCount: Int) throws(Failure) -> [Shape?] {
    guard let shape else { return [Shape?](repeating: nil, count: resultCount) }
    let axis = try self.axis(axis, rank: shape.rank)
    let parts: [Dim]
    if let sizes {
      parts = sizes.value?.dimensions ?? [Dim](repeating: .unknown, count: resultCount)
      guard parts.count == resultCount, parts.allSatisfy({ ($0.value ?? 0) >= 0 }) else { throw mismatch("sizes \(parts) for \(resultCount) results") }
      if !parts.contains(.unknown) { try checkAgree(try Split.sum(parts), shape[axis], "the sizes of the parts and axis \(axis)") }
    } else {
      parts = try Split.equalParts(shape[axis], resultCount)
      if let last = parts.last?.value, last < 0 { throw mismatch("\(shape[axis]) cannot be split into \(resultCount)") }
    }
    return parts.map { part in
      var dims = shape.dims
      dims[axis] = part
      return Shape(dims)
    }
  }

  private func slicedShape(_ shape: Shape?, _ operands: [Fact?]) throws(Failure) -> Shape? {
    guard let shape else { return nil }
    guard let bounds = try SliceBounds(operands, shape: shape, of: self) else { return .unknown(rank: shape.rank) }
    var dims = shape.dims
    for (position, axis) in bounds.axes.enumerated() { dims[axis] = try bounds.size(at: position, of: shape[axis]) }
    return Shape(dims)
  }

  private func paddedShape(_ shape: Shape?, _ operands: [Fact?]) throws(Failure) -> Shape? {
    guard let shape else { return nil }
    guard let pads = operands.fact(1)?.value?.dimensions, let axes = try padAxes(operands.fact(3), rank: shape.rank) else { return .unknown(rank: shape.rank) }
    guard pads.count == 2 * axes.count else { throw mismatch("\(pads.count) pads for \(axes.count) axes") }
    var dims = shape.dims
    for (index, axis) in axes.enumerated() {
      dims[axis] = try shape[axis].plus(pads[index]).plus(pads[index + axes.count])
      if let value = dims[axis].value, value < 0 { throw mismatch("pads \(pads) take more than \(shape) has") }
    }
    return Shape(dims)
  }

  /// The axes that pads are given for; nil when they are not known.
  func padAxes(_ fact: Fact?, rank: Int) throws(Failure) -> [Int]? {
    guard let fact else { return Array(0..<rank) }
    return try fact.value?.integers.map { (list) throws(Failure) in try axes(list, rank: rank) }
  }

  /// Moving an element is no arithmetic.
  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost() }
}

/// How Split (ONNX 18) divides an axis.
enum Split {
  /// Into `count` equal parts, the last smaller.
  static func equalParts(_ size: Dim, _ count: Int) throws(Failure) -> [Dim] {
    let part = try size.ceiled(by: Dim(count))
    return [Dim](repeating: part, count: count - 1) + [try size.minus(try part.times(Dim(count - 1)))]
  }

  static func sum(_ parts: [Dim]) throws(Failure) -> Dim {
    var sum = Dim(0)
    for part in parts { sum = try sum.plus(part) }
    return sum
  }
}
