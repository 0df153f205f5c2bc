public import Tensors

/// Operators that draw random numbers. The same seed gives the same numbers in every run.
public struct RandomOp: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    /// RandomUniform, RandomUniformLike (ONNX 22).
    case uniform(low: Float, high: Float)
    /// RandomNormal, RandomNormalLike (ONNX 22).
    case normal(mean: Float, deviation: Float)
    /// Bernoulli (ONNX 22): probabilities.
    case bernoulli
    /// Multinomial (ONNX 22): unnormalized log-probabilities (batch, class); as many samples for each.
    case multinomial(samples: Int)
    /// Dropout (ONNX 22): data, ratio?, training mode?; outputs Y, mask?. The identity unless in training mode.
    case dropout
  }
  public var kind: Kind
  /// nil where the first operand tells the shape.
  public var shape: [Int]?
  /// nil: the first operand's.
  public var element: ElementType?
  public var seed: Float
  public init(_ kind: Kind, shape: [Int]? = nil, element: ElementType? = nil, seed: Float) {
    self.kind = kind
    self.shape = shape
    self.element = element
    self.seed = seed
  }
}
