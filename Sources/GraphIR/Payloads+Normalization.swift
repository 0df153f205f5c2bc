public enum NormalizationOp: Hashable, Sendable {
  /// LayerNormalization (ONNX 17): X, scale, bias?; outputs Y, mean?, inverse standard deviation?.
  case layer(axis: Int, epsilon: Float)
  /// RMSNormalization (ONNX 23) and SimplifiedLayerNormalization: X, scale.
  case rms(axis: Int, epsilon: Float)
  /// BatchNormalization (ONNX 15) at inference: X, scale, bias, mean, variance.
  case batch(epsilon: Float)
  /// BatchNormalization (ONNX 15) in training mode: X, scale, bias, running mean and variance; outputs Y, the running
  /// statistics brought on: `momentum * running + (1 - momentum) * batch`.
  case batchTraining(epsilon: Float, momentum: Float)
  /// InstanceNormalization (ONNX 22): X, scale, bias.
  case instance(epsilon: Float)
  /// GroupNormalization (ONNX 21): X, scale (C), bias (C).
  case group(groups: Int, epsilon: Float)
  /// LRN (ONNX 13): over `size` neighboring channels.
  case localResponse(size: Int, alpha: Float, beta: Float, bias: Float)
  /// MeanVarianceNormalization (ONNX 13).
  case meanVariance(axes: [Int])
  /// LpNormalization (ONNX 22).
  case lp(axis: Int, p: Int)
  /// SkipLayerNormalization (com.microsoft): input, skip, gamma, beta?, bias?; outputs Y, _, _, sum?.
  case skipLayer(epsilon: Float)
  /// SkipSimplifiedLayerNormalization (com.microsoft): input, skip, gamma, bias?.
  case skipRMS(epsilon: Float)
}

public enum SoftmaxOp: Hashable, Sendable {
  /// Softmax (ONNX 13) along one axis.
  case softmax(axis: Int)
  case logSoftmax(axis: Int)
  /// Hardmax (ONNX 13): 1 at the first largest element along the axis, 0 elsewhere.
  case hardmax(axis: Int)
}
