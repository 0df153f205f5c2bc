public import Diagnostics
public import GraphIR
public import Tensors

extension SequenceOp: ContainerOperator {
  public var mnemonic: String {
    switch self {
    case .empty: "SequenceEmpty"
    case .construct: "SequenceConstruct"
    case .at: "SequenceAt"
    case .insert: "SequenceInsert"
    case .erase: "SequenceErase"
    case .length: "SequenceLength"
    case .split: "SplitToSequence"
    case .concat: "ConcatFromSequence"
    case .optional: "Optional"
    case .hasElement: "OptionalHasElement"
    case .getElement: "OptionalGetElement"
    }
  }

  public var arity: Arity {
    switch self {
    case .empty: Arity(0...0)
    case .construct: Arity(1...Int.max)
    case .at: Arity(2...2)
    case .insert: Arity(2...3)
    case .erase, .split: Arity(1...2)
    case .length, .concat, .getElement: Arity(1...1)
    case .optional, .hasElement: Arity(0...1)
    }
  }

  public func evaluate(_ operands: [RuntimeValue?], resultCount: Int) throws(Failure) -> [RuntimeValue] {
    let first = operands.first ?? nil
    switch self {
    case .empty: return [.sequence([])]
    case .construct:
      var elements: [RuntimeValue] = []
      for operand in operands { elements.append(try present(operand)) }
      try checkAlike(elements)
      return [.sequence(elements)]
    case .at:
      let elements = try sequence(first)
      guard let position = try position(operands, 1, below: elements.count) else { throw Failure(.operandCount, "SequenceAt has no position") }
      return [elements[position]]
    case .insert:
      var elements = try sequence(first)
      let new = try present(operands.count > 1 ? operands[1] : nil)
      if let head = elements.first { try checkAlike([head, new]) }
      // The end is a place to insert at, too.
      elements.insert(new, at: try position(operands, 2, below: elements.count + 1, countedFrom: elements.count) ?? elements.count)
      return [.sequence(elements)]
    case .erase:
      var elements = try sequence(first)
      guard !elements.isEmpty else { throw Failure(.indexOutOfRange, "SequenceErase of an empty sequence") }
      elements.remove(at: try position(operands, 1, below: elements.count) ?? elements.count - 1)
      return [.sequence(elements)]
    case .length: return [.tensor(try Tensor(int64: [Int64(try sequence(first).count)], dims: []))]
    case .split(let axis, let keepsAxis): return [.sequence(try split(try tensor(first), operands.count > 1 ? operands[1] : nil, axis, keepsAxis))]
    case .concat(let axis, let newAxis): return [.tensor(try joined(try sequence(first), axis, newAxis))]
    case .optional: return [.optional(first)]
    case .hasElement:
      let holds = if case .optional(nil)? = first { false } else { first != nil }
      return [.tensor(try Tensor(dims: [], truths: [holds]))]
    case .getElement:
      guard let first else { throw Failure(.operandCount, "OptionalGetElement has no operand") }
      guard case .optional(let held) = first else { return [first] }
      guard let held else { throw Failure(.indexOutOfRange, "OptionalGetElement of an empty optional") }
      return [held]
    }
  }

  // MARK: Operands

  private func present(_ value: RuntimeValue?) throws(Failure) -> RuntimeValue {
    guard let value else { throw Failure(.operandCount, "\(mnemonic) has an operand left out") }
    return value
  }

  private func sequence(_ value: RuntimeValue?) throws(Failure) -> [RuntimeValue] {
    switch try present(value) {
    case .sequence(let elements), .optional(.sequence(let elements)?): return elements
    case let other: throw Failure(.typeMismatch, "\(mnemonic) takes a sequence and was given \(other.kind)")
    }
  }

  private func tensor(_ value: RuntimeValue?) throws(Failure) -> Tensor {
    switch try present(value) {
    case .tensor(let tensor), .optional(.tensor(let tensor)?): return tensor
    case let other: throw Failure(.typeMismatch, "\(mnemonic) takes a tensor and was given \(other.kind)")
    }
  }

  /// A position counted from the front; negative ones count from the end.
  private func position(_ operands: [RuntimeValue?], _ index: Int, below limit: Int, countedFrom end: Int? = nil) throws(Failure) -> Int? {
    guard index < operands.count, let value = operands[index] else { return nil }
    let tensor = try tensor(value)
    guard tensor.elementType == .int64 || tensor.elementType == .int32, tensor.count == 1, let given = tensor.integers()?.first else {
      throw Failure(.typeMismatch, "\(mnemonic) has a position of type \(tensor.type)")
    }
    let end = end ?? limit
    guard given >= -end, given < limit else { throw Failure(.indexOutOfRange, "\(mnemonic): position \(given) of a sequence of \(end)") }
    return given < 0 ? given + end : given
  }

  /// The elements of a sequence are of one kind.
  private func checkAlike(_ elements: [RuntimeValue]) throws(Failure) {
    guard let head = elements.first else { return }
    for element in elements.dropFirst() {
      if case .tensor(let a) = head, case .tensor(let b) = element, a.elementType == b.elementType { continue }
      if case .tensor = head {} else if head.isSameKind(as: element) { continue }
      throw Failure(.typeMismatch, "\(mnemonic) puts \(element.kind) beside \(head.kind)")
    }
  }

  // MARK: Tensors in parts

  private func split(_ tensor: Tensor, _ given: RuntimeValue?, _ axis: Int, _ keepsAxis: Bool) throws(Failure) -> [RuntimeValue] {
    guard axis >= -tensor.dims.count, axis < tensor.dims.count else {
      throw Failure(.shapeMismatch, "SplitToSequence has axis \(axis) of a tensor of rank \(tensor.dims.count)")
    }
    let axis = axis < 0 ? axis + tensor.dims.count : axis
    let length = tensor.dims[axis]
    var sizes = [Int](repeating: 1, count: length)
    if let given {
      let split = try self.tensor(given)
      guard let numbers = split.integers(), split.dims.count <= 1 else { throw Failure(.typeMismatch, "SplitToSequence has sizes of type \(split.type)") }
      if split.dims.isEmpty, let size = numbers.first {
        guard size > 0 else { throw Failure(.shapeMismatch, "SplitToSequence into parts of \(size)") }
        sizes = [Int](repeating: size, count: length / size) + (length % size > 0 ? [length % size] : [])
      } else {
        sizes = numbers
      }
      var total = 0
      for size in sizes {
        let (sum, overflow) = total.addingReportingOverflow(size)
        guard size >= 0, !overflow else { throw Failure(.shapeMismatch, "SplitToSequence into parts of \(size)") }
        total = sum
      }
      guard total == length else { throw Failure(.shapeMismatch, "SplitToSequence: parts of \(total) together of an axis of \(length)") }
    }
    if sizes.isEmpty { return [] }
    let parts = try LayoutOp.split(axis: axis).evaluate([tensor, try Tensor(.int64, dims: [sizes.count], wholes: sizes)], resultCount: sizes.count)
    guard given == nil, !keepsAxis else { return parts.map { .tensor($0) } }
    var dims = tensor.dims
    dims.remove(at: axis)
    var result: [RuntimeValue] = []
    for part in parts { result.append(.tensor(try part.reshaped(dims))) }
    return result
  }

  private func joined(_ elements: [RuntimeValue], _ axis: Int, _ newAxis: Bool) throws(Failure) -> Tensor {
    var tensors: [Tensor] = []
    for element in elements { tensors.append(try tensor(element)) }
    guard let head = tensors.first else { throw Failure(.shapeMismatch, "ConcatFromSequence of an empty sequence") }
    let rank = head.dims.count + (newAxis ? 1 : 0)
    guard axis >= -rank, axis < rank else { throw Failure(.shapeMismatch, "ConcatFromSequence has axis \(axis) of a result of rank \(rank)") }
    return newAxis ? try Tensor.stacking(tensors, axis: axis < 0 ? axis + rank : axis) : try LayoutOp.concat(axis: axis).evaluate(tensors, resultCount: 1)[0]
  }
}

extension RuntimeValue {
  fileprivate func isSameKind(as other: RuntimeValue) -> Bool {
    switch (self, other) {
    case (.tensor, .tensor), (.sequence, .sequence), (.optional, .optional), (.map, .map): true
    default: false
    }
  }
}

extension Tensor {
  /// Tensors of one type and shape along a new axis.
  public static func stacking(_ parts: [Tensor], axis: Int) throws(Failure) -> Tensor {
    guard let head = parts.first, axis >= 0, axis <= head.dims.count else { throw Failure(.shapeMismatch, "there is nothing to stack along axis \(axis)") }
    var raised: [Tensor] = []
    raised.reserveCapacity(parts.count)
    for part in parts {
      guard part.type == head.type else { throw Failure(.shapeMismatch, "\(part.type) is stacked on \(head.type)") }
      raised.append(try part.reshaped(part.dims[..<axis] + [1] + part.dims[axis...]))
    }
    if head.elementType != .string, head.elementType.bitWidth % 8 == 0 { return try concatenating(raised, axis: axis) }
    return try LayoutOp.concat(axis: axis).evaluate(raised, resultCount: 1)[0]
  }
}
