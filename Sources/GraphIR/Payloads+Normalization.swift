public enum NormalizationOp: Hashable, Sendable {
  /// LayerNormalization (ONNX 17): X, scale, bias?; outputs Y, mean?, inverse standard deviation?.
  case layer(axis: Int, epsilon: Float)
  /// RMSNormalization (ONNX 23) and SimplifiedLayerNormalization: X, scale.
  case rms(axis: Int, epsilon: Float)
  /// BatchNormalization (ONNX 15) at inference: X, scale, bias, mean, variance.
  case batch(epsilon: Float)
  /// InstanceNormalization (ONNX 22): X, scale, bias.
  case instance(epsilon: Float)
  /// GroupNormalization (ONNX 21): X, scale (C), bias (C).
  case group(groups: Int, epsilon: Float)
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
}
