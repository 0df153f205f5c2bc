/// One-operand element-wise operators; the associated values are the ONNX attributes.
public enum UnaryOp: Hashable, Sendable {
  case abs, neg, ceil, floor, round, sqrt, reciprocal, exp, log, sin, cos, tan, tanh, sigmoid, erf, relu, sign, not, softplus, softsign, mish
  case sinh, cosh, asin, acos, atan, asinh, acosh, atanh
  case bitwiseNot
  case identity
  /// HardSwish (ONNX 14): `x * max(0, min(1, x/6 + 1/2))`.
  case hardSwish
  /// HardSigmoid (ONNX 6): `max(0, min(1, alpha * x + beta))`.
  case hardSigmoid(alpha: Float, beta: Float)
  case leakyRelu(alpha: Float)
  case elu(alpha: Float)
  case selu(alpha: Float, gamma: Float)
  /// Gelu (ONNX 20): exact with erf, or the tanh form.
  case gelu(GeluForm)
  /// Swish (ONNX 24), QuickGelu (com.microsoft): `x * sigmoid(alpha * x)`.
  case swish(alpha: Float)
  case isNaN
  /// IsInf (ONNX 20), of the signs asked for.
  case isInfinite(negative: Bool, positive: Bool)
  /// Celu (ONNX 28): `max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`.
  case celu(alpha: Float)
  case thresholdedRelu(alpha: Float)
  /// Shrink (ONNX 9): towards 0 by `bias` beyond `threshold`, 0 within.
  case shrink(bias: Float, threshold: Float)
}

public enum GeluForm: Hashable, Sendable { case exact, tanh }

/// Two-operand broadcasting operators.
public enum BinaryOp: Hashable, Sendable {
  case add, subtract, multiply, divide, power
  /// Mod (ONNX 13); `truncated` is C's fmod (`fmod = 1`).
  case modulo(truncated: Bool)
  case bitwiseAnd, bitwiseOr, bitwiseXor
  /// BitShift (ONNX 28); the right shift of a signed number keeps its sign.
  case shiftLeft, shiftRight
  /// Min and Max of two; longer lists are folded by the reader.
  case minimum, maximum
  case equal, less, lessOrEqual, greater, greaterOrEqual
  case and, or, xor
  case prelu
  /// BiasGelu (com.microsoft): exact GELU of the sum.
  case biasGelu
}
