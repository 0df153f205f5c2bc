public enum IndexingOp: Hashable, Sendable {
  /// Gather (ONNX 13): data, indices.
  case gather(axis: Int)
  /// GatherElements (ONNX 13).
  case gatherElements(axis: Int)
  /// GatherND (ONNX 13).
  case gatherND(batchDims: Int)
  /// ScatterND (ONNX 18).
  case scatterND(ScatterReduction)
  /// ScatterElements (ONNX 18).
  case scatterElements(axis: Int, reduction: ScatterReduction = .none)
  /// TensorScatter (ONNX 24): past cache, update, write indices?; `circular` writes begin again at the cache's start.
  case tensorScatter(axis: Int, circular: Bool)
  /// Resize (ONNX 19): X, roi?, scales?, sizes?.
  case resize(ResizeOp)
  /// Trilu (ONNX 14): input, k?.
  case trilu(upper: Bool)
}

/// What a scatter does with the element that stands at an index.
public enum ScatterReduction: Hashable, Sendable { case none, add, multiply, minimum, maximum }
