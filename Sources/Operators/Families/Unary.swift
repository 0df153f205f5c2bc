public import Diagnostics
public import GraphIR
internal import Glibc
public import Tensors

extension UnaryOp: Operator {
  public var mnemonic: String {
    switch self {
    case .abs: "Abs"
    case .neg: "Neg"
    case .ceil: "Ceil"
    case .floor: "Floor"
    case .round: "Round"
    case .sqrt: "Sqrt"
    case .reciprocal: "Reciprocal"
    case .exp: "Exp"
    case .log: "Log"
    case .sin: "Sin"
    case .cos: "Cos"
    case .tan: "Tan"
    case .tanh: "Tanh"
    case .sigmoid: "Sigmoid"
    case .erf: "Erf"
    case .relu: "Relu"
    case .sign: "Sign"
    case .not: "Not"
    case .softplus: "Softplus"
    case .softsign: "Softsign"
    case .mish: "Mish"
    case .identity: "Identity"
    case .hardSwish: "HardSwish"
    case .hardSigmoid: "HardSigmoid"
    case .leakyRelu: "LeakyRelu"
    case .elu: "Elu"
    case .selu: "Selu"
    case .gelu: "Gelu"
    case .swish: "Swish"
    case .isNaN: "IsNaN"
    case .isInfinite: "IsInf"
    case .sinh: "Sinh"
    case .cosh: "Cosh"
    case .asin: "Asin"
    case .acos: "Acos"
    case .atan: "Atan"
    case .asinh: "Asinh"
    case .acosh: "Acosh"
    case .atanh: "Atanh"
    case .bitwiseNot: "BitwiseNot"
    case .celu: "Celu"
    case .thresholdedRelu: "ThresholdedRelu"
    case .shrink: "Shrink"
    }
  }
  public var domain: String { "" }
  public var arity: Arity { Arity(1...1) }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    let element = x.type.element
    switch self {
    case .identity: return [x]
    case .not: if element != .bool { throw Failure(.typeMismatch, "Not of \(element.name)") }
    case .isNaN, .isInfinite:
      try checkFloat(element)
      return [Fact(TensorType(.bool, x.type.shape))]
    case .bitwiseNot: if !element.isInteger { throw Failure(.typeMismatch, "BitwiseNot of \(element.name)") }
    case .abs, .neg, .sign, .relu, .erf, .shrink: try checkNumeric(element)
    default: try checkFloat(element)
    }
    return [Fact(x.type, value: symbolicValue(x))]
  }

  private func symbolicValue(_ x: Fact) -> KnownValue? {
    let element = x.type.element
    switch self {
    case .neg: return ShapeArithmetic.map(x, element) { $0.negated }
    case .floor, .ceil, .round: return ShapeArithmetic.map(x, element) { $0 }
    case .abs: return ShapeArithmetic.map(x, element) { dim in dim.lowerBound.flatMap { $0 >= 0 ? dim : nil } }
    case .relu: return ShapeArithmetic.map(x, element) { $0.maximum(0) }
    default: return nil
    }
  }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    self == .identity ? Cost() : Cost(elementwise: results.elementCount)
  }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    _ = try infer([Fact(x.type)], resultCount: resultCount)
    switch self {
    case .identity: return [x]
    case .not: return [try Tensor(dims: x.dims, truths: x.truths().map { !$0 })]
    case .isNaN: return [try Tensor(dims: x.dims, truths: try x.reals(for: mnemonic).map { $0.isNaN })]
    case .isInfinite(let negative, let positive):
      return [try Tensor(dims: x.dims, truths: try x.reals(for: mnemonic).map { negative && $0 == -.infinity || positive && $0 == .infinity })]
    default: break
    }
    if x.elementType.isFloatingPoint {
      let function = real
      return [try Tensor(x.elementType, dims: x.dims, reals: try x.reals(for: mnemonic).map(function))]
    }
    // Unsigned numbers are their own magnitude, and the sign of what their bits would mean as signed ones tells nothing.
    if x.elementType == .uint64 {
      switch self {
      case .abs, .relu: return [x]
      case .sign: return [try Tensor(.uint64, dims: x.dims, values: x.elements(as: UInt64.self).map { $0 == 0 ? 0 : 1 as UInt64 })]
      default: break
      }
    }
    guard let function = whole else { throw notRunnable(x.elementType) }
    return [try Tensor(x.elementType, dims: x.dims, wholes: try x.wholes(for: mnemonic).map(function))]
  }

  private var whole: ((Int) -> Int)? {
    switch self {
    case .abs: { $0 < 0 ? 0 &- $0 : $0 }
    case .neg: { 0 &- $0 }
    case .sign: { $0.signum() }
    case .relu: { max($0, 0) }
    case .bitwiseNot: { ~$0 }
    case .shrink(let bias, let threshold):
      { saturated(shrunk(Double($0), Double(bias), Double(threshold))) }
    case .erf: { $0 == 0 ? 0 : Int(Glibc.erf(Double($0))) }
    default: nil
    }
  }

  /// The function on reals; `not`, `identity`, and those that ask for special values never come here.
  private var real: (Double) -> Double {
    switch self {
    case .abs: { Swift.abs($0) }
    case .neg: { -$0 }
    case .ceil: { $0.rounded(.up) }
    case .floor: { $0.rounded(.down) }
    case .round: { $0.rounded(.toNearestOrEven) }
    case .sqrt: { $0.squareRoot() }
    case .reciprocal: { 1 / $0 }
    case .exp: { Glibc.exp($0) }
    case .log: { Glibc.log($0) }
    case .sin: { Glibc.sin($0) }
    case .cos: { Glibc.cos($0) }
    case .tan: { Glibc.tan($0) }
    case .tanh: { Glibc.tanh($0) }
    case .sigmoid: { logistic($0) }
    case .erf: { Glibc.erf($0) }
    case .sinh: { Glibc.sinh($0) }
    case .cosh: { Glibc.cosh($0) }
    case .asin: { Glibc.asin($0) }
    case .acos: { Glibc.acos($0) }
    case .atan: { Glibc.atan($0) }
    case .asinh: { Glibc.asinh($0) }
    case .acosh: { Glibc.acosh($0) }
    case .atanh: { Glibc.atanh($0) }
    case .celu(let alpha): { max(0, $0) + min(0, Double(alpha) * expm1($0 / Double(alpha))) }
    case .thresholdedRelu(let alpha): { $0 > Double(alpha) ? $0 : 0 }
    case .shrink(let bias, let threshold): { shrunk($0, Double(bias), Double(threshold)) }
    case .relu: { $0 < 0 ? 0 : $0 }
    case .sign: { $0 > 0 ? 1 : $0 < 0 ? -1 : $0 }
    case .softplus: { smoothRelu($0) }
    case .softsign: { $0 / (1 + Swift.abs($0)) }
    case .mish: { $0 * Glibc.tanh(smoothRelu($0)) }
    case .identity, .not, .isNaN, .isInfinite, .bitwiseNot: { $0 }
    case .hardSwish: { $0 * max(0, min(1, $0 / 6 + 0.5)) }
    case .hardSigmoid(let alpha, let beta): { max(0, min(1, Double(alpha) * $0 + Double(beta))) }
    case .leakyRelu(let alpha): { $0 < 0 ? Double(alpha) * $0 : $0 }
    case .elu(let alpha): { $0 < 0 ? Double(alpha) * expm1($0) : $0 }
    case .selu(let alpha, let gamma): { Double(gamma) * ($0 > 0 ? $0 : Double(alpha) * expm1($0)) }
    case .gelu(.exact): { exactGelu($0) }
    case .gelu(.tanh): { 0.5 * $0 * (1 + Glibc.tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) }
    case .swish(let alpha): { $0 * logistic(Double(alpha) * $0) }
    }
  }
}

private func shrunk(_ x: Double, _ bias: Double, _ threshold: Double) -> Double { x < -threshold ? x + bias : x > threshold ? x - bias : 0 }
func logistic(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
private func smoothRelu(_ x: Double) -> Double { max(x, 0) + log1p(exp(-abs(x))) }

/// GELU with the error function; `erfc` keeps the tail of negative arguments.
func exactGelu(_ x: Double) -> Double { 0.5 * x * erfc(-x * 0.5.squareRoot()) }

extension Array where Element == TensorType {
  /// Elements of all results, symbols and overflow counted as nothing.
  var elementCount: Int { reduce(0) { $0 &+ $1.elementCount } }
}

extension TensorType {
  /// The number of elements, 0 where it is not known.
  var elementCount: Int { shape?.concrete?.checkedProduct ?? 0 }
}
