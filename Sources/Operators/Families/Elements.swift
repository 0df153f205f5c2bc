internal import Diagnostics
internal import Tensors

/// Where (ONNX 16): condition, a, b.
struct SelectOperator: Operator {
  var mnemonic: String { "Where" }
  var domain: String { "" }
  var arity: Arity { Arity(3...3) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let condition = try operands.required(0)
    guard condition.type.element == .bool else { throw Failure(.typeMismatch, "Where has a condition of \(condition.type.element.name)") }
    let element = try operands.sharedElement([1, 2], of: mnemonic)
    let shape = try Broadcasting.shape([condition.type.shape, try operands.required(1).type.shape, try operands.required(2).type.shape], of: mnemonic)
    let value = ShapeArithmetic.moved(by: self, operands, moved: [1, 2], resultCount: 1)[0]
    return [Fact(TensorType(element, shape), value: value)]
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(elementwise: results.elementCount) }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let condition = try operands.required(0)
    let a = try operands.required(1)
    let b = try operands.required(2)
    let truths = condition.truths()
    let from = offsets(dims: dims, strides: Broadcasting.strides(of: condition.dims, in: dims))
    let aOffsets = offsets(dims: dims, strides: Broadcasting.strides(of: a.dims, in: dims))
    let bOffsets = offsets(dims: dims, strides: Broadcasting.strides(of: b.dims, in: dims))
    let both = try concatenated([a, b], element)
    return [try both.gathered(from.indices.map { truths[from[$0]] ? aOffsets[$0] : a.count + bOffsets[$0] }, dims: dims)]
  }
}

/// Clip (ONNX 13): x, min?, max?; where the bounds cross, max wins.
struct ClipOperator: Operator {
  var mnemonic: String { "Clip" }
  var domain: String { "" }
  var arity: Arity { Arity(1...3) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkNumeric(try operands.sharedElement([0, 1, 2], of: mnemonic))
    for index in 1..<3 {
      guard let bound = operands.fact(index)?.type.shape else { continue }
      for dim in bound.dims { try checkAgree(dim, 1, "bound \(index) is no scalar") }
    }
    let bounds = [operands.fact(1), operands.fact(2)].map { $0.map { ShapeArithmetic.elements($0)?.elements.first } }
    let value = ShapeArithmetic.map(x, x.type.element) { dim in
      var result: Dim? = dim
      if let low = bounds[0] { result = low.flatMap { result?.maximum($0) } }
      if let high = bounds[1] { result = high.flatMap { result?.minimum($0) } }
      return result
    }
    return [Fact(x.type, value: value)]
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(elementwise: results.elementCount) }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    if element.isFloatingPoint {
      let low = try operands.tensor(1)?.reals(for: mnemonic).first ?? -.infinity
      let high = try operands.tensor(2)?.reals(for: mnemonic).first ?? .infinity
      return [try Tensor(element, dims: dims, reals: try x.reals(for: mnemonic).map { $0.isNaN ? $0 : min(max($0, low), high) })]
    }
    let low = try operands.tensor(1)?.ordered(for: mnemonic).first ?? .min
    let high = try operands.tensor(2)?.ordered(for: mnemonic).first ?? .max
    return [try Tensor(element, dims: dims, ordered: try x.ordered(for: mnemonic).map { min(max($0, low), high) })]
  }
}

/// The elements of several tensors of one type, one after the other.
func concatenated(_ tensors: [Tensor], _ element: ElementType) throws(Failure) -> Tensor {
  var count = 0
  for tensor in tensors { count += tensor.count }
  if element == .string {
    var all: [[UInt8]] = []
    for tensor in tensors { if case .strings(let strings) = tensor.storage { all += strings } }
    return try Tensor(.string, dims: [count], storage: .strings(all))
  }
  if element.bitWidth < 8 { return try Tensor(element, dims: [count], codes: tensors.flatMap { $0.codes() }) }
  var bytes: [UInt8] = []
  bytes.reserveCapacity(element.byteCount(of: count) ?? 0)
  for tensor in tensors { bytes += tensor.elements(as: UInt8.self) }
  return try Tensor(element, dims: [count], values: bytes)
}
