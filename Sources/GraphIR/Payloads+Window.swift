/// Padding of a window operator.
public enum WindowPadding: Hashable, Sendable {
  /// Begins of all spatial axes, then ends.
  case explicit([Int])
  case sameUpper, sameLower, valid
  /// What a transposed convolution needs for results of these sizes; an odd rest goes to the end, or to the begin.
  case toSizes([Int], restAtEnd: Bool)
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
  /// MaxPool whose indices count columns first (`storage_order = 1`).
  case maxByColumns(Window, ceilMode: Bool)
  /// LpPool (ONNX 22): `(sum |x|^p)^(1/p)` over each window.
  case lp(Window, ceilMode: Bool, p: Float)
  case globalLp(p: Float)
  /// MaxUnpool (ONNX 22): X, indices, output shape?.
  case unpool(Window)
  case globalAverage, globalMax
}
