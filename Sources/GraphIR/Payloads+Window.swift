/// Padding of a window operator.
public enum WindowPadding: Hashable, Sendable {
  /// Begins of all spatial axes, then ends.
  case explicit([Int])
  case sameUpper, sameLower, valid
}

/// The geometry that convolutions and pools share; all arrays have one entry per spatial axis.
public struct Window: Hashable, Sendable {
  /// Empty where the weight's shape tells it (convolutions).
  public var kernel: [Int]
  public var strides: [Int]
  public var dilations: [Int]
  public var padding: WindowPadding
  public init(kernel: [Int], strides: [Int], dilations: [Int], padding: WindowPadding) {
    self.kernel = kernel
    self.strides = strides
    self.dilations = dilations
    self.padding = padding
  }
}

public enum ConvolutionOp: Hashable, Sendable {
  /// Conv (ONNX 22): X (N,C,…), W (M,C/groups,…), B?.
  case conv(Window, groups: Int)
  /// ConvTranspose (ONNX 22): X, W (C,M/groups,…), B?.
  case convTranspose(Window, groups: Int, outputPadding: [Int])
}

public enum PoolingOp: Hashable, Sendable {
  /// MaxPool (ONNX 22), first output only unless the second is used.
  case max(Window, ceilMode: Bool)
  case average(Window, ceilMode: Bool, countIncludePad: Bool)
  case globalAverage, globalMax
}
