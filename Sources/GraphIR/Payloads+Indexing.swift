public enum IndexingOp: Hashable, Sendable {
  /// Gather (ONNX 13): data, indices.
  case gather(axis: Int)
  /// GatherElements (ONNX 13).
  case gatherElements(axis: Int)
  /// GatherND (ONNX 13).
  case gatherND(batchDims: Int)
  /// ScatterND (ONNX 18) without reduction.
  case scatterND
  /// ScatterElements (ONNX 18) without reduction.
  case scatterElements(axis: Int)
  /// Resize (ONNX 19): X, roi?, scales?, sizes?.
  case resize(ResizeOp)
  /// Trilu (ONNX 14): input, k?.
  case trilu(upper: Bool)
}
