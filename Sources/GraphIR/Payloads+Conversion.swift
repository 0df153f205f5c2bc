public import Tensors

/// Casts beyond the plain one.
public enum ConversionOp: Hashable, Sendable {
  /// Cast (ONNX 28) to an 8-bit float otherwise than by default.
  case narrowing(to: ElementType, NarrowingRule)
  /// CastLike (ONNX 25): x, and a tensor whose type is taken.
  case like(NarrowingRule)
  /// BitCast (ONNX 26): the bits as they are, as elements of another type of that width.
  case bits(to: ElementType)
}

/// What becomes of a number that an 8-bit floating-point type does not hold.
public struct NarrowingRule: Hashable, Sendable {
  /// Whether it becomes the largest number; else infinity or NaN.
  public var saturates: Bool
  /// For float8e8m0.
  public var rounding: ScaleRounding
  public init(saturates: Bool = true, rounding: ScaleRounding = .up) {
    self.saturates = saturates
    self.rounding = rounding
  }
}
