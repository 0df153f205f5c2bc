/// Reductions (ONNX 18): data, axes?.
public struct ReductionOp: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    case sum, mean, max, min, prod, l1, l2, sumSquare, logSum, logSumExp, argMax, argMin
    /// Of equal extremes the last (`select_last_index = 1`).
    case lastArgMax, lastArgMin
  }
  public var kind: Kind
  public var keepDims: Bool
  /// With empty axes: keep the input as it is instead of reducing all.
  public var noopWithEmptyAxes: Bool
  public init(_ kind: Kind, keepDims: Bool, noopWithEmptyAxes: Bool = false) {
    self.kind = kind
    self.keepDims = keepDims
    self.noopWithEmptyAxes = noopWithEmptyAxes
  }
}
