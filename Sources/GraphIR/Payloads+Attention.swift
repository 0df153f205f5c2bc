public import Tensors

/// Whole attention operators.
public enum AttentionOp: Hashable, Sendable {
  /// Attention (ONNX 25): Q, K, V, mask?, past key?, past value?, lengths of keys?; outputs Y, present key?, present
  /// value?, scores?.
  case standard(StandardAttention)
  /// Attention (com.microsoft): input, weights, bias?, mask index?, past?, attention bias?.
  case packedProjection(heads: Int, scale: Float?, qkvHiddenSizes: [Int], causal: Bool)
  /// MultiHeadAttention (com.microsoft): query, key?, value?, bias?, key padding mask?, attention bias?.
  case multiHead(heads: Int, scale: Float?, causal: Bool)
}

public struct StandardAttention: Hashable, Sendable {
  /// Zero where the operands are 4-D.
  public var queryHeads, keyHeads: Int
  /// nil: 1/sqrt(head size).
  public var scale: Float?
  public var softcap: Float
  public var causal: Bool
  /// How many positions before and after its own a query sees; nil: all.
  public var leftWindow, rightWindow: Int?
  /// What the fourth result holds.
  public var scores: AttentionScores
  /// The type that scores are rounded to before softmax; nil: none.
  public var softmaxPrecision: ElementType?
  public init(
    queryHeads: Int, keyHeads: Int, scale: Float?, softcap: Float, causal: Bool, leftWindow: Int? = nil, rightWindow: Int? = nil,
    scores: AttentionScores = .raw, softmaxPrecision: ElementType? = nil
  ) {
    self.queryHeads = queryHeads
    self.keyHeads = keyHeads
    self.scale = scale
    self.softcap = softcap
    self.causal = causal
    self.leftWindow = leftWindow
    self.rightWindow = rightWindow
    self.scores = scores
    self.softmaxPrecision = softmaxPrecision
  }
}

/// The stage at which Attention gives its scores out (`qk_matmul_output_mode` of ONNX 25, in the order of its numbers).
public enum AttentionScores: Int, Hashable, Sendable { case raw, capped, biased, probabilities }

/// RotaryEmbedding (ONNX 23): X, cosines, sines, positions?.
public struct RotaryEmbedding: Hashable, Sendable {
  /// Zero where X is 4-D.
  public var heads: Int
  /// How many channels of a head are rotated; zero: all.
  public var rotatedDims: Int
  /// Whether neighboring channels are rotated together, and not those of the two halves.
  public var interleaved: Bool
  public init(heads: Int = 0, rotatedDims: Int = 0, interleaved: Bool = false) {
    self.heads = heads
    self.rotatedDims = rotatedDims
    self.interleaved = interleaved
  }
}

/// Operators that carry a state from token to token.
public enum RecurrenceOp: Hashable, Sendable {
  /// LinearAttention (ONNX 27): query, key, value, past state?, decay?, beta?; outputs Y, state.
  case linearAttention(LinearAttention)
  /// CausalConvWithState (ONNX 27): input, weight, bias?, past state?; outputs Y, state.
  case causalConvolution(swish: Bool)
}

public struct LinearAttention: Hashable, Sendable {
  public enum Rule: Hashable, Sendable { case linear, gated, delta, gatedDelta }
  public var queryHeads, keyHeads: Int
  /// Zero: 1/sqrt(head size).
  public var scale: Float
  public var rule: Rule
  public init(queryHeads: Int, keyHeads: Int, scale: Float = 0, rule: Rule = .gatedDelta) {
    self.queryHeads = queryHeads
    self.keyHeads = keyHeads
    self.scale = scale
    self.rule = rule
  }
}
