public import GraphIR
public import Operators
public import Tensors

/// Which axis of a rank-3 token tensor is which: most exporters write (batch, token, channel), some (token, batch, channel).
public struct TokenLayout: Hashable, Sendable {
  public var batch, token, channel: Int
  public init(batch: Int, token: Int, channel: Int) {
    self.batch = batch
    self.token = token
    self.channel = channel
  }
  public static let batchFirst = TokenLayout(batch: 0, token: 1, channel: 2)
}

/// What is added to the scores before the softmax.
public enum ScoreBias: Sendable {
  case none
  /// A constant the same for every input: relative positions, say. (broadcastable to heads, queries, keys)
  case constant(ValueID)
  /// A constant of zeros and very negative numbers, or the Boolean one it is made of; the attention map (or the result of
  /// the fused operator) where only an attribute asks for it.
  case mask(ValueID)
  /// Computed from the input.
  case computed(ValueID)

  public var word: String {
    switch self {
    case .none: "none"
    case .constant: "constant"
    case .mask: "mask"
    case .computed: "computed"
    }
  }
}

/// Where the attention map is computed.
public enum AttentionCore: Sendable {
  /// A softmax node of the graph as read. `scores` is its operand; its axes are given by `ScoreLayout`.
  case softmax(node: NodeID, scores: ValueID, probabilities: ValueID, layout: ScoreLayout)
  /// An operator that does all of attention at once.
  case fused(node: NodeID)
}

/// How a scores tensor lays out (batch, head, query, key).
public enum ScoreLayout: Hashable, Sendable {
  /// (batch, head, query, key)
  case separate
  /// (batch * head, query, key), the head running fastest
  case merged
}

/// Softmax attention of all tokens of one tensor among themselves, with its linear projections as weights: everything that
/// a rewrite needs to know. Value and node ids are those of the graph as it was read (canonicalization keeps them).
public struct ProjectedAttention: Sendable {
  /// The module's name as the exporter left it in node, value or weight names: `blocks.0.attn`.
  public var name: String
  public var family: AttentionFamily
  /// `softmax`, or the id of a catalogue mechanism.
  public var mechanism: String
  public var heads: Int
  public var headDim: Int
  public var valueDim: Int
  public var queryTokens: Dim
  public var keyTokens: Dim
  /// The factor on Q K^T, gathered from wherever it was spread.
  public var scale: Double
  public var bias: ScoreBias
  /// `none`, `l2`, `layer` or `rms`.
  public var qkNorm: String
  /// Whether queries and keys are rotated by position before their product.
  public var rotary: Bool
  public var causal: Bool

  /// The tokens that the projections read: X~ (after the norm).
  public var input: ValueID
  public var inputLayout: TokenLayout
  /// Keys and values read from here; the same as `input` for self-attention.
  public var keyInput: ValueID
  public var query, key, value: Projection
  public var outputProjection: Projection?
  public var core: AttentionCore
  /// Heads merged, before the output projection, where that value exists in the graph as read.
  public var merged: ValueID?
  /// Axes of `merged`, where that has three.
  public var mergedLayout: TokenLayout?
  /// The branch's result, after the output projection and its bias, before layer scale and residual. In `outputLayout`.
  public var output: ValueID
  public var outputLayout: TokenLayout
  /// False where the file adds the projection's bias in a later fused node (SkipLayerNormalization): `output` is before it.
  public var outputHasBias: Bool
  /// The normalization before the projections, and what it reads.
  public var norm: NodeID?
  public var normInput: ValueID?
  /// The addition that joins the branch to the residual stream, and the value of the sum.
  public var residualAdd: NodeID?
  public var residualSum: ValueID?

  /// Every node of the graph as read that belongs to the block.
  public var nodes: [NodeID]
  /// Elements of the four projections' weights and biases.
  public var parameters: Int
  /// Work of the projections and the two products for one sample, where the number of tokens is known.
  public var cost: Cost

  public init(
    name: String, family: AttentionFamily, mechanism: String = "softmax", heads: Int, headDim: Int, valueDim: Int, queryTokens: Dim, keyTokens: Dim,
    scale: Double, bias: ScoreBias, qkNorm: String = "none", rotary: Bool = false, causal: Bool = false, input: ValueID, inputLayout: TokenLayout,
    keyInput: ValueID,
    query: Projection, key: Projection, value: Projection, outputProjection: Projection?, core: AttentionCore, merged: ValueID?,
    mergedLayout: TokenLayout? = nil, output: ValueID,
    outputLayout: TokenLayout, outputHasBias: Bool = true, norm: NodeID? = nil, normInput: ValueID? = nil, residualAdd: NodeID? = nil,
    residualSum: ValueID? = nil,
    nodes: [NodeID], parameters: Int, cost: Cost
  ) {
    self.name = name
    self.family = family
    self.mechanism = mechanism
    self.heads = heads
    self.headDim = headDim
    self.valueDim = valueDim
    self.queryTokens = queryTokens
    self.keyTokens = keyTokens
    self.scale = scale
    self.bias = bias
    self.qkNorm = qkNorm
    self.rotary = rotary
    self.causal = causal
    self.input = input
    self.inputLayout = inputLayout
    self.keyInput = keyInput
    self.query = query
    self.key = key
    self.value = value
    self.outputProjection = outputProjection
    self.core = core
    self.merged = merged
    self.mergedLayout = mergedLayout
    self.output = output
    self.outputLayout = outputLayout
    self.outputHasBias = outputHasBias
    self.norm = norm
    self.normInput = normInput
    self.residualAdd = residualAdd
    self.residualSum = residualSum
    self.nodes = nodes
    self.parameters = parameters
    self.cost = cost
  }
}
