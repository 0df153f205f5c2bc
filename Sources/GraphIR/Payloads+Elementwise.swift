/// One-operand element-wise operators; the associated values are the ONNX attributes.
public enum UnaryOp: Hashable, Sendable {
  case abs, neg, ceil, floor, round, sqrt, reciprocal, exp, log, sin, cos, tan, tanh, sigmoid, erf, relu, sign, not, softplus, softsign, mish
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
}

public enum GeluForm: Hashable, Sendable { case exact, tanh }

/// Two-operand broadcasting operators.
public enum BinaryOp: Hashable, Sendable {
  case add, subtract, multiply, divide, power
  /// Mod (ONNX 13); `truncated` is C's fmod (`fmod = 1`).
  case modulo(truncated: Bool)
  /// Min and Max of two; longer lists are folded by the reader.
  case minimum, maximum
  case equal, less, lessOrEqual, greater, greaterOrEqual
  case and, or, xor
  case prelu
  /// BiasGelu (com.microsoft): exact GELU of the sum.
  case biasGelu
}
