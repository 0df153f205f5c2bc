public import Diagnostics
public import GraphIR
internal import Glibc
public import Tensors

/// Cast (ONNX 28): float to integer truncates and saturates, to bool compares with 0, integers wrap, strings are parsed
/// and spelled.
struct CastOperator: Operator {
  let target: ElementType
  var rule = NarrowingRule()
  var mnemonic: String { "Cast" }
  var domain: String { "" }
  var arity: Arity { Arity(1...1) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    let type = TensorType(target, x.type.shape)
    if x.type.element == target { return [Fact(type, value: x.value)] }
    let keepsWholes = target.isInteger || target == .float32 || target == .float64
    return [Fact(type, value: keepsWholes ? ShapeArithmetic.map(x, target) { $0 } : nil)]
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost() }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    let dims = x.dims
    if x.elementType == target { return [x] }
    if target == .string { return [try Tensor(.string, dims: dims, storage: .strings(try spelled(x)))] }
    if case .strings(let strings) = x.storage { return [try parsed(strings, dims)] }
    if target.isFloatingPoint, target.bitWidth <= 8 {
      let numbers = try x.reals(for: mnemonic)
      return [try Tensor(target, dims: dims, narrowing: numbers, saturates: rule.saturates, rounding: rule.rounding)]
    }
    switch (x.elementType.isFloatingPoint, target) {
    case (true, .bool): return [try Tensor(dims: dims, truths: try x.reals(for: mnemonic).map { $0 != 0 })]
    case (false, .bool): return [try Tensor(dims: dims, truths: try x.wholes(for: mnemonic).map { $0 != 0 })]
    case (_, _) where target.isFloatingPoint: return [try Tensor(target, dims: dims, reals: try x.reals(for: mnemonic))]
    case (true, _) where target.isInteger: return [try Tensor(target, dims: dims, reals: try x.reals(for: mnemonic))]
    case (false, _) where target.isInteger: return [try Tensor(target, dims: dims, wholes: try x.wholes(for: mnemonic))]
    default: throw notRunnable(target)
    }
  }

  /// A number as text: whole numbers as such, others with the fewest digits that give them back in their own type.
  private func spelled(_ x: Tensor) throws(Failure) -> [[UInt8]] {
    func texts(_ list: [String]) -> [[UInt8]] { list.map { Array($0.utf8) } }
    func real<T: BinaryFloatingPoint & LosslessStringConvertible>(_ value: T) -> String {
      value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-INF" : "INF") : String(value)
    }
    switch x.elementType {
    case .bool: return texts(x.truths().map { $0 ? "True" : "False" })
    case .uint64: return texts(x.elements(as: UInt64.self).map { String($0) })
    case .float32: return texts(x.elements(as: Float.self).map { real($0) })
    case .float16: return texts(x.elements(as: Float16.self).map { real($0) })
    case .float64: return texts(x.elements(as: Double.self).map { real($0) })
    default: return texts(x.elementType.isInteger ? try x.wholes(for: mnemonic).map { String($0) } : try x.reals(for: mnemonic).map { real(Float($0)) })
    }
  }

  private func parsed(_ strings: [[UInt8]], _ dims: [Int]) throws(Failure) -> Tensor {
    var numbers: [Double] = []
    numbers.reserveCapacity(strings.count)
    var wholes: [Int] = []
    for bytes in strings {
      let text = String(decoding: bytes, as: UTF8.self).trimming
      if target.isInteger, let whole = Int(text) ?? UInt64(text).map({ Int(bitPattern: UInt($0)) }) {
        wholes.append(whole)
        continue
      }
      guard let number = Double(text) else { throw Failure(.badRunInput, "Cast: '\(text.prefix(40))' is no number") }
      numbers.append(number)
      wholes.append(saturated(number))
    }
    if target.isInteger { return try Tensor(target, dims: dims, wholes: wholes) }
    if target.isFloatingPoint, target.bitWidth <= 8 {
      return try Tensor(target, dims: dims, narrowing: numbers, saturates: rule.saturates, rounding: rule.rounding)
    }
    return try Tensor(target, dims: dims, reals: numbers)
  }
}

extension String {
  /// Without the white space around it.
  fileprivate var trimming: String {
    var text = self[...]
    while let first = text.first, first.isWhitespace { text.removeFirst() }
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return String(text)
  }
}

extension ConversionOp: Operator {
  public var mnemonic: String {
    switch self {
    case .narrowing: "Cast"
    case .like: "CastLike"
    case .bits: "BitCast"
    }
  }
  public var domain: String { "" }
  public var arity: Arity { if case .like = self { Arity(2...2) } else { Arity(1...1) } }

  private func cast(like other: ElementType?) -> CastOperator? {
    switch self {
    case .narrowing(let target, let rule): CastOperator(target: target, rule: rule)
    case .like(let rule): other.map { CastOperator(target: $0, rule: rule) }
    case .bits: nil
    }
  }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    if let cast = cast(like: operands.fact(1)?.type.element) { return try cast.infer(Array(operands.prefix(1)), resultCount: resultCount) }
    let type = try operands.required(0).type
    guard case .bits(let target) = self, type.element.bitWidth == target.bitWidth, target != .string, type.element != .string else {
      throw Failure(.typeMismatch, "\(mnemonic) of \(type.element.name) elements to others of another width")
    }
    return [Fact(TensorType(target, type.shape))]
  }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost() }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    if let cast = cast(like: operands.tensor(1)?.elementType) { return try cast.evaluate([x], resultCount: resultCount) }
    _ = try infer(operands.map { $0.map { Fact($0.type) } }, resultCount: resultCount)
    guard case .bits(let target) = self else { throw Failure(.operandCount, "\(mnemonic) has no type to cast to") }
    return [try Tensor(target, dims: x.dims, storage: x.storage)]
  }
}
