public import Tensors

/// Operators on sequences and optionals.
public enum SequenceOp: Hashable, Sendable {
  /// SequenceEmpty (ONNX 11).
  case empty(ElementType)
  /// SequenceConstruct (ONNX 11): tensors.
  case construct
  /// SequenceAt (ONNX 11): sequence, position.
  case at
  /// SequenceInsert (ONNX 11): sequence, tensor, position?.
  case insert
  /// SequenceErase (ONNX 11): sequence, position?.
  case erase
  /// SequenceLength (ONNX 11).
  case length
  /// SplitToSequence (ONNX 24): tensor, sizes?; without sizes into slices of 1, whose axis stays when `keepsAxis`.
  case split(axis: Int, keepsAxis: Bool)
  /// ConcatFromSequence (ONNX 11), along an axis or a new one.
  case concat(axis: Int, newAxis: Bool)
  /// Optional (ONNX 15): value?.
  case optional
  /// OptionalHasElement (ONNX 18): optional or value, may be left out.
  case hasElement
  /// OptionalGetElement (ONNX 18): optional or value.
  case getElement
}
