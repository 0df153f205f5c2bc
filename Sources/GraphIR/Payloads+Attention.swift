/// Whole attention operators.
public enum AttentionOp: Hashable, Sendable {
  /// Attention (ONNX 24): Q, K, V, mask?, past key?, past value?.
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
  public init(queryHeads: Int, keyHeads: Int, scale: Float?, softcap: Float, causal: Bool) {
    self.queryHeads = queryHeads
    self.keyHeads = keyHeads
    self.scale = scale
    self.softcap = softcap
    self.causal = causal
  }
}
