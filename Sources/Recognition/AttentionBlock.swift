public import GraphIR
public import Operators
public import Tensors

/// Families of attention, in the vocabulary of the command line's JSON.
public enum AttentionFamily: String, Sendable, Hashable, CaseIterable {
  case selfAttention = "self"
  case causal, gqa, window, grid, axial, cross
  case classAttention = "class"
  case talkingHeads = "talking-heads"
  case spatialReduction = "spatial-reduction"
  case pooled
  case crossCovariance = "cross-covariance"
  case factorized, linear, additive, cascaded, outlook, deformable
  case nonLocal = "non-local"
  case channelGate = "channel-gate"
  case spatialGate = "spatial-gate"
  case globalContext = "global-context"
  case tokenMixing = "token-mixing"
  case convMixing = "conv-mixing"
}

/// A matrix (or vector) of weights as the block uses it: a constant of the graph, seen through transposes, slices,
/// gathers and scalings, none of which is carried out until the elements are asked for.
///
/// `element(i, j) = multiplier * constant.flat[offset + row(i) + column(j)]`, where `row(i) = i * rowStride`, or with a
/// grouping `(i / size) * grouping.stride + (i % size) * rowStride`: heads that do not lie behind each other. Columns alike.
public struct WeightView: Sendable {
  /// `size` neighbors at the axis' own stride, groups of them at `stride`.
  public struct Grouping: Sendable, Hashable {
    public var size: Int
    public var stride: Int
    public init(size: Int, stride: Int) {
      self.size = size
      self.stride = stride
    }
  }

  public var value: ValueID
  public var tensor: Tensor
  public var offset: Int
  public var rows: Int
  public var columns: Int
  public var rowStride: Int
  public var columnStride: Int
  public var multiplier: Double
  public var rowGrouping: Grouping?
  public var columnGrouping: Grouping?

  public init(value: ValueID, tensor: Tensor, offset: Int, rows: Int, columns: Int, rowStride: Int, columnStride: Int, multiplier: Double = 1) {
    self.value = value
    self.tensor = tensor
    self.offset = offset
    self.rows = rows
    self.columns = columns
    self.rowStride = rowStride
    self.columnStride = columnStride
    self.multiplier = multiplier
  }

  private func position(_ index: Int, _ stride: Int, _ grouping: Grouping?) -> Int {
    guard let grouping, grouping.size > 0 else { return index * stride }
    return index / grouping.size * grouping.stride + index % grouping.size * stride
  }

  /// The elements, row-major, in float64.
  public func materialized() -> [Double]? {
    guard let all = tensor.doubles() else { return nil }
    var result: [Double] = []
    result.reserveCapacity(rows * columns)
    for i in 0..<rows {
      for j in 0..<columns {
        let index = offset + position(i, rowStride, rowGrouping) + position(j, columnStride, columnGrouping)
        guard index >= 0, index < all.count else { return nil }
        result.append(multiplier * all[index])
      }
    }
    return result
  }
}

/// A linear layer as the block sees it: `y = x W + b`, W (in, out) with channels of the output in head-major order
/// (`c = head * headDim + r`), scale not included.
public struct Projection: Sendable {
  public var weight: WeightView
  /// One row; nil where there is none.
  public var bias: WeightView?
  public init(weight: WeightView, bias: WeightView?) {
    self.weight = weight
    self.bias = bias
  }
}

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

/// One attention block as a single object: everything a rewrite or a report needs to know. Value and node ids are those
/// of the graph as it was read (canonicalization keeps them).
public struct AttentionBlock: Sendable {
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

/// Something that got past a recognizer's anchor and was refused.
public struct NearMiss: Sendable, Hashable {
  /// The node of the graph as read where the first difference is.
  public var at: NodeID
  public var lookedLike: AttentionFamily
  /// The missing fact, in words.
  public var reason: String
  public init(at: NodeID, lookedLike: AttentionFamily, reason: String) {
    self.at = at
    self.lookedLike = lookedLike
    self.reason = reason
  }
}

/// What recognition found.
public struct Recognized: Sendable {
  public var blocks: [AttentionBlock]
  public var nearMisses: [NearMiss]
  /// How tokens lie on the image, where the model cuts it into patches.
  public var geometry: TokenGeometry?
  public init(blocks: [AttentionBlock] = [], nearMisses: [NearMiss] = [], geometry: TokenGeometry? = nil) {
    self.blocks = blocks
    self.nearMisses = nearMisses
    self.geometry = geometry
  }
}

/// Tokens of a plain vision transformer: `prefixTokens` (class token, registers), then the patches row by row, then
/// `suffixTokens`.
public struct TokenGeometry: Hashable, Sendable {
  public var prefixTokens: Int
  public var gridHeight: Int
  public var gridWidth: Int
  public var suffixTokens: Int
  public init(prefixTokens: Int, gridHeight: Int, gridWidth: Int, suffixTokens: Int = 0) {
    self.prefixTokens = prefixTokens
    self.gridHeight = gridHeight
    self.gridWidth = gridWidth
    self.suffixTokens = suffixTokens
  }
  public var tokens: Int { prefixTokens &+ gridHeight &* gridWidth &+ suffixTokens }
}
