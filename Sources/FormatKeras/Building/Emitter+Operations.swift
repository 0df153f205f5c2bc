internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

// The operations that layers are made of, with the arguments that ONNX wants as constants.
extension Emitter {
  mutating func add(_ a: ValueID, _ b: ValueID, _ label: String = "Add") throws(Failure) -> ValueID { try emit(.binary(.add), [a, b], label) }
  mutating func subtract(_ a: ValueID, _ b: ValueID, _ label: String = "Sub") throws(Failure) -> ValueID { try emit(.binary(.subtract), [a, b], label) }
  mutating func multiply(_ a: ValueID, _ b: ValueID, _ label: String = "Mul") throws(Failure) -> ValueID { try emit(.binary(.multiply), [a, b], label) }
  mutating func divide(_ a: ValueID, _ b: ValueID, _ label: String = "Div") throws(Failure) -> ValueID { try emit(.binary(.divide), [a, b], label) }
  mutating func unary(_ op: UnaryOp, _ a: ValueID, _ label: String) throws(Failure) -> ValueID { try emit(.unary(op), [a], label) }
  mutating func matMul(_ a: ValueID, _ b: ValueID, _ label: String = "MatMul") throws(Failure) -> ValueID { try emit(.matrix(.matMul), [a, b], label) }

  mutating func add(_ a: ValueID, _ number: Double, _ label: String = "Add") throws(Failure) -> ValueID { try add(a, try scalar(number, like: a), label) }
  mutating func multiply(_ a: ValueID, _ number: Double, _ label: String = "Mul") throws(Failure) -> ValueID {
    try multiply(a, try scalar(number, like: a), label)
  }
  mutating func divide(_ a: ValueID, _ number: Double, _ label: String = "Div") throws(Failure) -> ValueID { try divide(a, try scalar(number, like: a), label) }
  mutating func maximum(_ a: ValueID, _ number: Double, _ label: String = "Max") throws(Failure) -> ValueID {
    try emit(.binary(.maximum), [a, try scalar(number, like: a)], label)
  }

  mutating func cast(_ a: ValueID, _ type: ElementType) throws(Failure) -> ValueID {
    if try element(a) == type { return a }
    // Constants are cast here, so that the file does not do it at each run.
    if let tensor = tensor(a), tensor.elementType.isFloatingPoint, let values = tensor.doubles(), type.isFloatingPoint {
      return try weight("\(builder.graph[a].name):\(type.name)", try Tensor.filled(values, dims: tensor.dims, type))
    }
    return try emit(.cast(to: type), [a], "Cast")
  }

  mutating func transpose(_ a: ValueID, _ order: [Int], _ label: String = "Transpose") throws(Failure) -> ValueID {
    if order == Array(order.indices) { return a }
    return try emit(.layout(.transpose(order)), [a], label)
  }

  /// To dimensions of equal product; those that are no numbers must be the operand's own of the same place, but for one.
  mutating func reshape(_ a: ValueID, _ dims: [Dim], _ label: String = "Reshape") throws(Failure) -> ValueID {
    let own = try shape(a)
    if own == dims { return a }
    var target: [Int] = []
    var open = false
    for (axis, dim) in dims.enumerated() {
      if let value = dim.value {
        target.append(value)
      } else if axis < own.count, own[axis] == dim {
        target.append(0)
      } else if !open {
        target.append(-1)
        open = true
      } else {
        throw Failure(.notExpressible, "\(Shape(own)) to \(Shape(dims)) leaves two dimensions open", at: .element(scope))
      }
    }
    // A zero means "as in the operand", so a dimension of no elements has no other spelling.
    if target.enumerated().contains(where: { $1 == 0 && dims[$0].value == 0 }) {
      throw Failure(.notExpressible, "a tensor without elements", at: .element(scope))
    }
    return try emit(.layout(.reshape(allowZero: false)), [a, try integers(target)], label)
  }

  mutating func unsqueeze(_ a: ValueID, _ axes: [Int]) throws(Failure) -> ValueID {
    if axes.isEmpty { return a }
    return try emit(.layout(.unsqueeze), [a, try integers(axes, "axes")], "Unsqueeze")
  }
  mutating func squeeze(_ a: ValueID, _ axes: [Int]) throws(Failure) -> ValueID {
    if axes.isEmpty { return a }
    return try emit(.layout(.squeeze), [a, try integers(axes, "axes")], "Squeeze")
  }
  mutating func concat(_ parts: [ValueID], axis: Int, _ label: String = "Concat") throws(Failure) -> ValueID {
    if parts.count == 1, let only = parts.first { return only }
    return try emit(.layout(.concat(axis: axis)), parts, label)
  }
  mutating func slice(_ a: ValueID, axis: Int, from start: Int, to end: Int, step: Int = 1, _ label: String = "Slice") throws(Failure) -> ValueID {
    try emit(
      .layout(.slice),
      [a, try integers([start], "starts"), try integers([end], "ends"), try integers([axis], "axes"), step == 1 ? nil : try integers([step], "steps")]
        .droppingLastNil, label)
  }
  /// The entry at `index`, its axis taken out.
  mutating func gather(_ a: ValueID, axis: Int, at index: Int) throws(Failure) -> ValueID {
    try emit(.indexing(.gather(axis: axis)), [a, constant("index", try Tensor(int64: [Int64(index)], dims: []))], "Gather")
  }
  mutating func pad(_ a: ValueID, before: [Int], after: [Int], value: Double = 0, mode: PadMode = .constant) throws(Failure) -> ValueID {
    if (before + after).allSatisfy({ $0 == 0 }) { return a }
    return try emit(
      .layout(.pad(mode)), [a, try integers(before + after, "pads"), mode == .constant ? try scalar(value, like: a) : nil].droppingLastNil, "Pad")
  }
  mutating func reduce(_ kind: ReductionOp.Kind, _ a: ValueID, axes: [Int], keep: Bool, _ label: String) throws(Failure) -> ValueID {
    let rank = try rank(a)
    var whole: [Int] = []
    for value in axes { whole.append(try axis(value, rank: rank)) }
    return try emit(.reduction(ReductionOp(kind, keepDims: keep)), [a, try integers(whole, "axes")], label)
  }
  mutating func softmax(_ a: ValueID, axis: Int = -1) throws(Failure) -> ValueID { try emit(.softmax(.softmax(axis: axis)), [a], "Softmax") }

  mutating func constantScalar(_ value: Int64) throws(Failure) -> ValueID { constant("axis", try Tensor(int64: [value], dims: [])) }

  /// `min` and `max` bound the value, as scalars.
  mutating func clip(_ a: ValueID, _ low: Double?, _ high: Double?) throws(Failure) -> ValueID {
    var operands: [ValueID?] = [a, nil, nil]
    if let low { operands[1] = try scalar(low, like: a) }
    if let high { operands[2] = try scalar(high, like: a) }
    return try emit(.clip, operands.droppingLastNil, "Clip")
  }

  mutating func select(_ condition: ValueID, _ a: ValueID, _ b: ValueID, _ label: String = "Where") throws(Failure) -> ValueID {
    try emit(.select, [condition, a, b], label)
  }

  /// The value repeated along new axes, to the shape of `like` on its first axis: a token for each sample.
  mutating func expandBatch(_ a: ValueID, like: ValueID) throws(Failure) -> ValueID {
    let dims = try shape(a)
    guard let count = try shape(like).first else { throw Failure(.shapeMismatch, "a value without a batch", at: .element(scope)) }
    let target = [count] + dims.dropFirst()
    if let numbers = Shape(target).concrete { return try emit(.layout(.expand), [a, try integers(numbers)], "Expand") }
    let batch = try emit(.generator(.shape(start: 0, end: 1)), [like], "Shape")
    guard let rest = Shape(Array(dims.dropFirst())).concrete else { throw Failure(.notExpressible, "a token of open shape", at: .element(scope)) }
    return try emit(.layout(.expand), [a, try concat([batch, try integers(rest)], axis: 0)], "Expand")
  }

  mutating func einsum(_ equation: String, _ operands: [ValueID]) throws(Failure) -> ValueID {
    try emit(.matrix(.einsum(equation: equation)), operands, "Einsum")
  }
}

extension [ValueID?] {
  /// Left-out operands at the end are not written at all.
  var droppingLastNil: [ValueID?] {
    var result = self
    while case .some(.none) = result.last { result.removeLast() }
    return result
  }
}

extension Tensor {
  /// Axes in another order, as a tensor of its own.
  func transposed(_ order: [Int]) throws(Failure) -> Tensor {
    guard order.sorted() == Array(dims.indices) else { throw Failure(.shapeMismatch, "\(order) is no order of \(dims.count) axes") }
    let width = elementType.bitWidth / 8
    guard elementType != .string, elementType.bitWidth % 8 == 0 else { throw Failure(.typeMismatch, "\(elementType.name) cannot be transposed here") }
    var strides = [Int](repeating: width, count: dims.count)
    for axis in dims.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * dims[axis + 1] }
    let newDims = order.map { dims[$0] }
    let steps = order.map { strides[$0] }
    let buffer = unsafe TensorBuffer(byteCount: byteCount) { target in
      unsafe withUnsafeBytes { source in
        switch width {
        case 1: unsafe Tensor.gather(UInt8.self, from: source, to: target, dims: newDims, steps: steps)
        case 2: unsafe Tensor.gather(UInt16.self, from: source, to: target, dims: newDims, steps: steps)
        case 4: unsafe Tensor.gather(UInt32.self, from: source, to: target, dims: newDims, steps: steps)
        case 8: unsafe Tensor.gather(UInt64.self, from: source, to: target, dims: newDims, steps: steps)
        default: unsafe Tensor.gather(SIMD2<UInt64>.self, from: source, to: target, dims: newDims, steps: steps)
        }
      }
    }
    return try Tensor(elementType, dims: newDims, storage: .memory(buffer))
  }
  /// Fills `target`, row-major of `dims`, from places that lie `steps` bytes apart along each axis.
  @inline(__always)
  private static func gather<T: BitwiseCopyable>(
    _ type: T.Type, from source: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer, dims: [Int], steps: [Int]
  ) {
    guard let from = source.baseAddress, let to = target.baseAddress, target.count > 0 else { return }
    let width = MemoryLayout<T>.size
    var index = [Int](repeating: 0, count: dims.count)
    var offset = 0
    let inner = dims.last ?? 1
    let step = steps.last ?? 0
    var written = 0
    while written < target.count {
      for position in 0..<inner {
        unsafe (to + written + position * width).storeBytes(of: (from + offset + position * step).loadUnaligned(as: type), as: type)
      }
      written += inner * width
      var axis = dims.count - 2
      while axis >= 0 {
        index[axis] += 1
        offset += steps[axis]
        if index[axis] < dims[axis] { break }
        offset -= steps[axis] * dims[axis]
        index[axis] = 0
        axis -= 1
      }
    }
  }
}
