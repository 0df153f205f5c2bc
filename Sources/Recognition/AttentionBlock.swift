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

/// What of the image or sequence the tokens of a block are.
public struct BlockGeometry: Sendable, Hashable {
  /// Tokens of one window along the axes it spans, outermost first; empty where all tokens attend together.
  public var window: [Int] = []
  /// How far the windows are shifted from those of a plain partition, along each axis; empty where they are not.
  public var shift: [Int] = []
  /// How many groups of tokens attend apart in one sample.
  public var groups: Int = 1
  /// Query tokens for each key token, where keys are reduced.
  public var reduction: Int?
  /// Rows and columns of a kernel, for blocks that mix with one.
  public var kernel: [Int] = []
  public init() {}
}

/// A constant of the graph that a block works with.
public struct BlockWeight: Sendable {
  /// `query`, `key`, `value`, `output`, `mix`, `gate`, ...
  public var role: String
  public var value: ValueID
  public init(role: String, value: ValueID) {
    self.role = role
    self.value = value
  }
}

/// One block that attends, gates or mixes, as a single object. Value and node ids are those of the graph as it was read.
public struct AttentionBlock: Sendable {
  /// The module's name as the exporter left it in node, value or weight names: `blocks.0.attn`.
  public var name: String
  public var family: AttentionFamily
  /// `softmax`, or the id of a catalogue mechanism.
  public var mechanism: String
  /// nil for families without heads.
  public var heads: Int?
  public var headDim: Int?
  public var valueDim: Int?
  public var queryTokens: Dim
  public var keyTokens: Dim
  /// The factor on Q K^T, gathered from wherever it was spread; nil where there is none or each head has its own.
  public var scale: Double?
  public var bias: ScoreBias
  /// `none`, `l2`, `layer` or `rms`.
  public var qkNorm: String
  public var rotary: Bool
  public var causal: Bool
  public var geometry: BlockGeometry
  /// Channels of the tokens that it reads, where they are known.
  public var width: Int?
  /// What else tells this block from others of its family, in the field's words.
  public var traits: [String]
  /// What the block reads and what it gives, where those are values of the graph as read.
  public var input: ValueID?
  public var output: ValueID?
  /// The addition that joins the branch to the residual stream, and the value of the sum.
  public var residualAdd: NodeID?
  public var residualSum: ValueID?
  /// The node where the block was found: its softmax, gate or mixing product.
  public var anchor: NodeID
  public var weights: [BlockWeight]
  /// Every node of the graph as read that belongs to the block.
  public var nodes: [NodeID]
  /// Elements of the weights and biases of its linear layers.
  public var parameters: Int
  /// Work of the block's linear layers and products for one sample, where the number of tokens is known.
  public var cost: Cost
  /// The canonical operands of its two products, for softmax over a product.
  var operands: (query: ValueID, key: ValueID, value: ValueID)?
  /// The block written from what is told of it; empty where its family or something in it has no such formula.
  public var claims: [any ClaimedFormula] = []
  /// The block as computations of its own by the graph's nodes, all of which must give what the graph gives.
  public var formulas: [BlockFormula] = []
  /// What is unusual of its kind, though it attends: a scale that is not `head_dim^-1/2`, say.
  public var remarks: [String] = []
  /// The roles that rewrites work on, for plain attention.
  public var projected: ProjectedAttention?
  /// What a gate consists of.
  var gate: GateParts?

  public init(
    family: AttentionFamily, mechanism: String = "softmax", heads: Int? = nil, headDim: Int? = nil, valueDim: Int? = nil, queryTokens: Dim = 1,
    keyTokens: Dim = 1, scale: Double? = nil, bias: ScoreBias = .none, qkNorm: String = "none", rotary: Bool = false, causal: Bool = false,
    geometry: BlockGeometry = BlockGeometry(), traits: [String] = [], input: ValueID? = nil, output: ValueID? = nil, residualAdd: NodeID? = nil,
    residualSum: ValueID? = nil, anchor: NodeID, weights: [BlockWeight] = [], nodes: [NodeID], parameters: Int = 0, cost: Cost = Cost()
  ) {
    name = ""
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
    self.geometry = geometry
    self.traits = traits
    self.input = input
    self.output = output
    self.residualAdd = residualAdd
    self.residualSum = residualSum
    self.anchor = anchor
    self.weights = weights
    self.nodes = nodes
    self.parameters = parameters
    self.cost = cost
  }

  /// - Parameter anchor: the node of the graph as read that makes the attention map.
  init(_ projected: ProjectedAttention, anchor: NodeID) {
    self.init(
      family: projected.family, mechanism: projected.mechanism, heads: projected.heads, headDim: projected.headDim, valueDim: projected.valueDim,
      queryTokens: projected.queryTokens, keyTokens: projected.keyTokens, scale: projected.scale, bias: projected.bias, qkNorm: projected.qkNorm,
      rotary: projected.rotary, causal: projected.causal, input: projected.input, output: projected.output, residualAdd: projected.residualAdd,
      residualSum: projected.residualSum, anchor: anchor, nodes: projected.nodes, parameters: projected.parameters, cost: projected.cost)
    weights = [("query", projected.query), ("key", projected.key), ("value", projected.value), ("output", projected.outputProjection)].compactMap {
      (role, projection) in projection.map { BlockWeight(role: role, value: $0.weight.value) }
    }
    self.projected = projected
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
  /// Modules that several of the blocks apply.
  public var sharedModules: [SharedModule] = []
  public var nearMisses: [NearMiss]
  /// How tokens lie on the image, where the model cuts it into patches.
  public var geometry: TokenGeometry?
  public var architecture: ArchitectureFacts
  public init(
    blocks: [AttentionBlock] = [], nearMisses: [NearMiss] = [], geometry: TokenGeometry? = nil, architecture: ArchitectureFacts = ArchitectureFacts()
  ) {
    self.blocks = blocks
    self.nearMisses = nearMisses
    self.geometry = geometry
    self.architecture = architecture
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
