public import Diagnostics
public import GraphIR
internal import Glibc
public import Tensors

extension BinaryOp: Operator {
  public var mnemonic: String {
    switch self {
    case .add: "Add"
    case .subtract: "Sub"
    case .multiply: "Mul"
    case .divide: "Div"
    case .power: "Pow"
    case .modulo: "Mod"
    case .minimum: "Min"
    case .maximum: "Max"
    case .equal: "Equal"
    case .less: "Less"
    case .lessOrEqual: "LessOrEqual"
    case .greater: "Greater"
    case .greaterOrEqual: "GreaterOrEqual"
    case .and: "And"
    case .or: "Or"
    case .xor: "Xor"
    case .bitwiseAnd: "BitwiseAnd"
    case .bitwiseOr: "BitwiseOr"
    case .bitwiseXor: "BitwiseXor"
    case .shiftLeft, .shiftRight: "BitShift"
    case .prelu: "PRelu"
    case .biasGelu: "BiasGelu"
    }
  }
  public var domain: String { self == .biasGelu ? "com.microsoft" : "" }
  public var arity: Arity { Arity(2...2) }

  /// Whether the result is a truth value.
  private var isComparison: Bool {
    switch self {
    case .equal, .less, .lessOrEqual, .greater, .greaterOrEqual: true
    default: false
    }
  }
  private var dividesWholes: Bool {
    switch self {
    case .divide, .modulo: true
    default: false
    }
  }
  private var isBitwise: Bool {
    switch self {
    case .bitwiseAnd, .bitwiseOr, .bitwiseXor, .shiftLeft, .shiftRight: true
    default: false
    }
  }
  private var isLogical: Bool { self == .and || self == .or || self == .xor }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let a = try operands.required(0)
    let b = try operands.required(1)
    if self == .power {
      try checkNumeric(a.type.element)
      try checkNumeric(b.type.element)
    } else {
      let element = try operands.sharedElement([0, 1], of: mnemonic)
      switch self {
      case .and, .or, .xor: if element != .bool { throw Failure(.typeMismatch, "\(mnemonic) of \(element.name)") }
      case .equal: break
      case .biasGelu: try checkFloat(element)
      case .bitwiseAnd, .bitwiseOr, .bitwiseXor, .shiftLeft, .shiftRight:
        if !element.isInteger { throw Failure(.typeMismatch, "\(mnemonic) of \(element.name)") }
      default: try checkNumeric(element)
      }
    }
    let shape = try Broadcasting.shape([a.type.shape, b.type.shape], of: mnemonic)
    if self == .prelu, let x = a.type.shape, let shape, shape.rank != x.rank {
      throw mismatch("a slope of \(b.type) does not broadcast to \(a.type)")
    }
    let element = isComparison || isLogical ? .bool : a.type.element
    return [Fact(TensorType(element, shape), value: symbolicValue(a, b, TensorType(element, shape)))]
  }

  private func symbolicValue(_ a: Fact, _ b: Fact, _ type: TensorType) -> KnownValue? {
    let isReal = a.type.element.isFloatingPoint
    let body: (Dim, Dim) -> Dim?
    switch self {
    case .add: body = { $0.adding($1) }
    case .subtract: body = { $0.subtracting($1) }
    case .multiply: body = { $0.multiplied(by: $1) }
    case .minimum: body = { $0.minimum($1) }
    case .maximum: body = { $0.maximum($1) }
    case .divide:
      // Integers divide towards zero, which is the floor where nothing is negative; floats only when it comes out even.
      body = { x, y in
        if let exact = x.dividedExactly(by: y) { return exact }
        guard !isReal, let low = x.lowerBound, low >= 0, let divisor = y.lowerBound, divisor > 0 else { return nil }
        return x.floorDivided(by: y)
      }
    case .modulo(let truncated):
      // Of a positive divisor the remainder is what the floor leaves; the truncated one only of what is not negative.
      body = { x, y in
        guard let divisor = y.lowerBound, divisor > 0, !truncated || (x.lowerBound ?? -1) >= 0 else { return nil }
        return x.floorDivided(by: y).flatMap { $0.multiplied(by: y) }.flatMap { x.subtracting($0) }
      }
    case .power: body = { x, y in y.value == 1 ? x : y.value == 2 ? x.multiplied(by: x) : nil }
    case .equal: body = { x, y in x == y ? 1 : x.subtracting(y).flatMap { $0.isNonzero ? 0 : nil } }
    case .less: body = { x, y in truth(x, below: y) }
    case .greater: body = { x, y in truth(y, below: x) }
    case .lessOrEqual: body = { x, y in truth(y, below: x).flatMap { Dim(1).subtracting($0) } }
    case .greaterOrEqual: body = { x, y in truth(x, below: y).flatMap { Dim(1).subtracting($0) } }
    case .and, .or, .xor, .prelu, .biasGelu, .bitwiseAnd, .bitwiseOr, .bitwiseXor, .shiftLeft, .shiftRight: return nil
    }
    return ShapeArithmetic.combine(a, b, shape: type.shape, type.element, body)
  }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(elementwise: results.elementCount) }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let a = try operands.required(0)
    let b = try operands.required(1)
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    if isLogical || (self == .equal && a.elementType == .bool) {
      let result = broadcastMap(a.truths(), a.dims, b.truths(), b.dims, to: dims) { x, y in
        switch self {
        case .and: x && y
        case .or: x || y
        case .xor: x != y
        default: x == y
        }
      }
      return [try Tensor(dims: dims, truths: result)]
    }
    if self == .equal, case .strings(let first) = a.storage, case .strings(let second) = b.storage {
      return [try Tensor(dims: dims, truths: broadcastMap(first, a.dims, second, b.dims, to: dims) { $0 == $1 })]
    }
    if a.elementType.isFloatingPoint || (self == .power && b.elementType.isFloatingPoint) {
      let x = try a.reals(for: mnemonic)
      let y = try b.reals(for: mnemonic)
      if isComparison { return [try Tensor(dims: dims, truths: compared(x, a.dims, y, b.dims, dims))] }
      let result = try reals(x, a.dims, y, b.dims, dims)
      if element.isFloatingPoint { return [try Tensor(element, dims: dims, reals: result)] }
      return [try Tensor(element, dims: dims, wholes: result.map { saturated($0) })]
    }
    if a.elementType == .uint64 {
      let (x, y) = (a.elements(as: UInt64.self), b.elements(as: UInt64.self))
      if isComparison { return [try Tensor(dims: dims, truths: compared(x, a.dims, y, b.dims, dims))] }
      if isBitwise { return [try Tensor(element, dims: dims, values: bits(x, a.dims, y, b.dims, dims, width: 64))] }
      if dividesWholes, y.contains(0) { throw Failure(.operatorNotRunnable, "\(mnemonic): an integer is divided by zero") }
      return [try Tensor(element, dims: dims, values: try wholes(x, a.dims, y, b.dims, dims))]
    }
    let x = try a.wholes(for: mnemonic)
    let y = try b.wholes(for: mnemonic)
    if isBitwise { return [try Tensor(element, dims: dims, wholes: bits(x, a.dims, y, b.dims, dims, width: element.bitWidth))] }
    if isComparison { return [try Tensor(dims: dims, truths: compared(x, a.dims, y, b.dims, dims))] }
    if dividesWholes, y.contains(0) { throw Failure(.operatorNotRunnable, "\(mnemonic): an integer is divided by zero") }
    return [try Tensor(element, dims: dims, wholes: try wholes(x, a.dims, y, b.dims, dims))]
  }

  private func compared<T: Comparable>(_ x: [T], _ xDims: [Int], _ y: [T], _ yDims: [Int], _ dims: [Int]) -> [Bool] {
    switch self {
    case .less: broadcastMap(x, xDims, y, yDims, to: dims) { $0 < $1 }
    case .lessOrEqual: broadcastMap(x, xDims, y, yDims, to: dims) { $0 <= $1 }
    case .greater: broadcastMap(x, xDims, y, yDims, to: dims) { $0 > $1 }
    case .greaterOrEqual: broadcastMap(x, xDims, y, yDims, to: dims) { $0 >= $1 }
    default: broadcastMap(x, xDims, y, yDims, to: dims) { $0 == $1 }
    }
  }

  private func reals(_ x: [Double], _ xDims: [Int], _ y: [Double], _ yDims: [Int], _ dims: [Int]) throws(Failure) -> [Double] {
    switch self {
    case .add: broadcastMap(x, xDims, y, yDims, to: dims) { $0 + $1 }
    case .subtract: broadcastMap(x, xDims, y, yDims, to: dims) { $0 - $1 }
    case .multiply: broadcastMap(x, xDims, y, yDims, to: dims) { $0 * $1 }
    case .divide: broadcastMap(x, xDims, y, yDims, to: dims) { $0 / $1 }
    case .power: broadcastMap(x, xDims, y, yDims, to: dims) { pow($0, $1) }
    case .modulo(truncated: true): broadcastMap(x, xDims, y, yDims, to: dims) { fmod($0, $1) }
    case .modulo(truncated: false):
      broadcastMap(x, xDims, y, yDims, to: dims) { a, b in
        let rest = fmod(a, b)
        // Zero takes the sign of the divisor.
        return rest == 0 ? (b < 0 ? -0.0 : 0) : (rest < 0) != (b < 0) ? rest + b : rest
      }
    case .minimum: broadcastMap(x, xDims, y, yDims, to: dims) { $0.isNaN || $1.isNaN ? .nan : min($0, $1) }
    case .maximum: broadcastMap(x, xDims, y, yDims, to: dims) { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }
    case .prelu: broadcastMap(x, xDims, y, yDims, to: dims) { $0 < 0 ? $0 * $1 : $0 }
    case .biasGelu: broadcastMap(x, xDims, y, yDims, to: dims) { exactGelu($0 + $1) }
    case .equal, .less, .lessOrEqual, .greater, .greaterOrEqual, .and, .or, .xor, .bitwiseAnd, .bitwiseOr, .bitwiseXor, .shiftLeft, .shiftRight:
      throw Failure(.internalError, "\(mnemonic) is no arithmetic of reals")
    }
  }

  /// Bits past the ends are gone; a shift by more than there are leaves what the sign alone fills.
  private func bits<T: FixedWidthInteger>(_ x: [T], _ xDims: [Int], _ y: [T], _ yDims: [Int], _ dims: [Int], width: Int) -> [T] {
    switch self {
    case .bitwiseAnd: broadcastMap(x, xDims, y, yDims, to: dims) { $0 & $1 }
    case .bitwiseOr: broadcastMap(x, xDims, y, yDims, to: dims) { $0 | $1 }
    case .bitwiseXor: broadcastMap(x, xDims, y, yDims, to: dims) { $0 ^ $1 }
    case .shiftLeft: broadcastMap(x, xDims, y, yDims, to: dims) { $1 < 0 || $1 >= width ? 0 : $0 << $1 }
    default: broadcastMap(x, xDims, y, yDims, to: dims) { $1 < 0 || $1 >= width ? ($0 < 0 ? ~0 : 0) : $0 >> $1 }
    }
  }

  private func wholes<T: FixedWidthInteger>(_ x: [T], _ xDims: [Int], _ y: [T], _ yDims: [Int], _ dims: [Int]) throws(Failure) -> [T] {
    switch self {
    case .add: broadcastMap(x, xDims, y, yDims, to: dims) { $0 &+ $1 }
    case .subtract: broadcastMap(x, xDims, y, yDims, to: dims) { $0 &- $1 }
    case .multiply: broadcastMap(x, xDims, y, yDims, to: dims) { $0 &* $1 }
    case .divide: broadcastMap(x, xDims, y, yDims, to: dims) { $0.dividedReportingOverflow(by: $1).partialValue }
    case .modulo(truncated: true): broadcastMap(x, xDims, y, yDims, to: dims) { $0.remainderReportingOverflow(dividingBy: $1).partialValue }
    case .modulo(truncated: false):
      broadcastMap(x, xDims, y, yDims, to: dims) { a, b in
        let rest = a.remainderReportingOverflow(dividingBy: b).partialValue
        return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest
      }
    case .minimum: broadcastMap(x, xDims, y, yDims, to: dims) { min($0, $1) }
    case .maximum: broadcastMap(x, xDims, y, yDims, to: dims) { max($0, $1) }
    case .power: broadcastMap(x, xDims, y, yDims, to: dims) { wholePower($0, $1) }
    case .prelu: broadcastMap(x, xDims, y, yDims, to: dims) { $0 < 0 ? $0 &* $1 : $0 }
    case .equal, .less, .lessOrEqual, .greater, .greaterOrEqual, .and, .or, .xor, .biasGelu, .bitwiseAnd, .bitwiseOr, .bitwiseXor, .shiftLeft,
      .shiftRight:
      throw Failure(.internalError, "\(mnemonic) is no arithmetic of integers")
    }
  }
}

/// 1 or 0 where it is certain that `x < y`, or that it is not.
private func truth(_ x: Dim, below y: Dim) -> Dim? {
  guard let difference = y.subtracting(x) else { return nil }
  if let low = difference.lowerBound, low > 0 { return 1 }
  if let high = difference.upperBound, high <= 0 { return 0 }
  return nil
}

extension Dim {
  /// Whether no value of the symbols makes this 0.
  fileprivate var isNonzero: Bool { (lowerBound ?? 0) > 0 || (upperBound ?? 0) < 0 }
}

/// Squaring, wrapping; a negative exponent gives the truncated reciprocal.
private func wholePower<T: FixedWidthInteger>(_ base: T, _ exponent: T) -> T {
  if exponent < 0 { return base == 1 ? 1 : base == ~0 ? (exponent % 2 == 0 ? 1 : base) : 0 }
  var result: T = 1
  var factor = base
  var rest = exponent
  while rest > 0 {
    if rest & 1 == 1 { result = result &* factor }
    factor = factor &* factor
    rest >>= 1
  }
  return result
}
