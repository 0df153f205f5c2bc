public enum PadMode: Hashable, Sendable { case constant, reflect, edge, wrap }

/// Operators that move elements and change none.
public enum LayoutOp: Hashable, Sendable {
  /// Reshape (ONNX 25): data, shape.
  case reshape(allowZero: Bool)
  /// Transpose (ONNX 25); an empty permutation reverses the axes.
  case transpose([Int])
  /// Squeeze (ONNX 25): data, axes?.
  case squeeze
  /// Unsqueeze (ONNX 25): data, axes.
  case unsqueeze
  /// Flatten (ONNX 25).
  case flatten(axis: Int)
  /// Expand (ONNX 13): data, shape.
  case expand
  /// Concat (ONNX 13).
  case concat(axis: Int)
  /// Split (ONNX 18): data, sizes?; without sizes into as many equal parts as there are outputs, the last smaller.
  case split(axis: Int)
  /// Slice (ONNX 13): data, starts, ends, axes?, steps?.
  case slice
  /// Pad (ONNX 25): data, pads, value?, axes?.
  case pad(PadMode)
  /// Tile (ONNX 13): data, repeats.
  case tile
  case depthToSpace(blockSize: Int, columnRowDepth: Bool)
  case spaceToDepth(blockSize: Int, columnRowDepth: Bool = false)
  /// CenterCropPad (ONNX 18): data, sizes of `axes` (nil: of all).
  case centerCropPad(axes: [Int]?)
  /// ReverseSequence (ONNX 28): data, lengths.
  case reverseSequence(timeAxis: Int, batchAxis: Int)
}
