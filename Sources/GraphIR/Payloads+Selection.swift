/// Operators whose results are chosen or counted by the elements' values.
public enum SelectionOp: Hashable, Sendable {
  /// TopK (ONNX 24): X, k; outputs values, indices. Of equal elements the first comes first; results are always sorted.
  case topK(axis: Int, largest: Bool)
  /// NonZero (ONNX 13): the indices of elements other than 0, one column each.
  case nonZero
  /// Unique (ONNX 28): of all elements, or of the slices along an axis; outputs values, indices, inverse indices, counts.
  case unique(axis: Int?, sorted: Bool)
  /// Compress (ONNX 28): input, condition; of all elements, or of the slices along an axis.
  case compress(axis: Int?)
  /// OneHot (ONNX 28): indices, depth, (off, on).
  case oneHot(axis: Int)
}

/// CumSum (ONNX 14) and CumProd (ONNX 26): x, axis.
public struct CumulativeOp: Hashable, Sendable {
  public enum Kind: Hashable, Sendable { case sum, product }
  public var kind: Kind
  /// Without the element itself.
  public var exclusive: Bool
  /// From the axis's end.
  public var reverse: Bool
  public init(_ kind: Kind, exclusive: Bool = false, reverse: Bool = false) {
    self.kind = kind
    self.exclusive = exclusive
    self.reverse = reverse
  }
}

/// NegativeLogLikelihoodLoss (ONNX 22): input, target, weight?; SoftmaxCrossEntropyLoss (ONNX 13): scores, labels,
/// weights?, with the log-probabilities as a second result. Classes stand in axis 1.
public struct LossOp: Hashable, Sendable {
  public enum Kind: Hashable, Sendable { case negativeLogLikelihood, softmaxCrossEntropy }
  public enum Reduction: Hashable, Sendable { case none, sum, mean }
  public var kind: Kind
  public var reduction: Reduction
  /// A target that counts for nothing.
  public var ignoredIndex: Int?
  public init(_ kind: Kind, reduction: Reduction = .mean, ignoredIndex: Int? = nil) {
    self.kind = kind
    self.reduction = reduction
    self.ignoredIndex = ignoredIndex
  }
}
