public import Tensors

/// Operators that make tensors from shapes and scalars.
public enum GeneratorOp: Hashable, Sendable {
  /// Shape (ONNX 25) of dimensions `start..<end`; nil is to the last.
  case shape(start: Int, end: Int?)
  /// Size (ONNX 25).
  case size
  /// ConstantOfShape (ONNX 25): shape.
  case constantOfShape(FillValue)
  /// Range (ONNX 11): start, limit, delta.
  case range
  /// EyeLike (ONNX 22): a matrix whose shape is taken; ones on a diagonal. Without a type, the operand's.
  case eyeLike(ElementType?, diagonal: Int)
}

/// One element and its type.
public struct FillValue: Hashable, Sendable {
  public var elementType: ElementType
  /// Exact for every type up to 32 bits and for integers up to 2^53.
  public var value: Double
  public init(_ elementType: ElementType, _ value: Double) {
    self.elementType = elementType
    self.value = value
  }
}
