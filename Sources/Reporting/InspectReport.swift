public import Diagnostics
public import Tensors

/// What `inspect` tells of a checkpoint.
public struct InspectReport: Sendable {
  public var model: ModelSummary
  /// Operators and how often they occur, most frequent first; foreign domains are written out: `com.microsoft.Attention`.
  public var operators: [OperatorCount]
  public var cost: CostSummary
  public var architecture: ArchitectureSummary
  public var attention: [AttentionSummary]
  /// Attention modules that several residual blocks of a stage apply.
  public var sharedModules: [SharedModuleSummary] = []
  public var nearMisses: [NearMissSummary]
  public var findings: [Diagnostic]
  /// What was asked about one node.
  public var explanation: NodeExplanation?

  public init(
    model: ModelSummary, operators: [OperatorCount] = [], cost: CostSummary = CostSummary(), architecture: ArchitectureSummary = ArchitectureSummary(),
    attention: [AttentionSummary] = [],
    nearMisses: [NearMissSummary] = [], findings: [Diagnostic] = []
  ) {
    self.model = model
    self.operators = operators
    self.cost = cost
    self.architecture = architecture
    self.attention = attention
    self.nearMisses = nearMisses
    self.findings = findings
  }
}

/// The head of a report: which file this is.
public struct ModelSummary: Sendable {
  public var path: String
  public var format: String
  /// Name and version of what wrote the file; empty where it does not say.
  public var producer: String
  /// Operator sets: domain ("" for ONNX itself) and version.
  public var opset: [Opset]
  /// Numbers in the weights.
  public var parameters: Int
  /// The size of the file and of the external files it refers to.
  public var bytes: Int
  public var inputs: [PortSummary]
  public var outputs: [PortSummary]

  public struct Opset: Sendable, Hashable {
    public var domain: String
    public var version: Int
    public init(domain: String, version: Int) {
      self.domain = domain
      self.version = version
    }
  }

  public init(
    path: String, format: String, producer: String = "", opset: [Opset] = [], parameters: Int = 0, bytes: Int = 0, inputs: [PortSummary] = [],
    outputs: [PortSummary] = []
  ) {
    self.path = path
    self.format = format
    self.producer = producer
    self.opset = opset
    self.parameters = parameters
    self.bytes = bytes
    self.inputs = inputs
    self.outputs = outputs
  }
}

/// An input or output of a graph. The type is nil behind operators that vitconv does not know.
public struct PortSummary: Sendable, Hashable {
  public var name: String
  public var type: TensorType?
  /// The type of a value that is no tensor: `sequence(float32[*])`.
  public var container: String?
  public init(name: String, type: TensorType?, container: String? = nil) {
    self.name = name
    self.type = type
    self.container = container
  }
}

public struct OperatorCount: Sendable, Hashable {
  public var name: String
  public var count: Int
  public init(name: String, count: Int) {
    self.name = name
    self.count = count
  }
}

/// Work of one pass for one sample (symbolic batch read as 1); nil where shapes are not known.
public struct CostSummary: Sendable, Hashable {
  /// Multiply-adds of matrix products and convolutions, attention products included.
  public var macs: Int?
  /// Every other arithmetic result; never added to `macs`.
  public var elementwise: Int?
  /// The most bytes of activations alive at once when nodes run in order and buffers are freed after their last use.
  public var activationBytesPeak: Int?
  public init(macs: Int? = nil, elementwise: Int? = nil, activationBytesPeak: Int? = nil) {
    self.macs = macs
    self.elementwise = elementwise
    self.activationBytesPeak = activationBytesPeak
  }
}

/// One attention block. Words are those of the recognizers: family, mechanism, bias and norm.
public struct AttentionSummary: Sendable {
  public var index: Int
  public var name: String
  public var family: String
  public var mechanism: String
  /// nil for families that have no heads.
  public var heads: Int?
  public var headDim: Int?
  public var valueDim: Int?
  public var queryTokens: Dim
  public var keyTokens: Dim
  public var scale: Double?
  public var bias: String
  public var qkNorm: String
  public var causal: Bool
  public var parameters: Int
  public var macs: Int?
  /// Names of the covered nodes in the file's order.
  public var nodes: [String]
  /// Ids of the rewrites that apply.
  public var rewrites: [String]
  /// Arithmetic results of the covered nodes besides multiply-adds, for one sample.
  public var elementwise: Int = 0
  public var geometry = GeometrySummary()
  public var rotary = false
  /// What else tells the block from others of its family, in words.
  public var traits: [String] = []
  /// true where a run on seeded inputs showed the block's formula; nil where none was held against it.
  public var confirmed: Bool?
  public var confirmation: ConfirmationSummary?
  /// The constants that it works with.
  public var weights: [WeightSummary] = []

  public init(
    index: Int, name: String, family: String, mechanism: String, heads: Int?, headDim: Int?, valueDim: Int?, queryTokens: Dim, keyTokens: Dim,
    scale: Double?, bias: String, qkNorm: String, causal: Bool, parameters: Int, macs: Int?, nodes: [String], rewrites: [String]
  ) {
    self.index = index
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
    self.causal = causal
    self.parameters = parameters
    self.macs = macs
    self.nodes = nodes
    self.rewrites = rewrites
  }
}

/// What looked like attention and was refused.
public struct NearMissSummary: Sendable, Hashable {
  /// A node's name.
  public var at: String
  public var lookedLike: String
  public var refused: String
  public init(at: String, lookedLike: String, refused: String) {
    self.at = at
    self.lookedLike = lookedLike
    self.refused = refused
  }
}

/// How far a run on seeded inputs bore a block out.
public struct ConfirmationSummary: Sendable, Hashable {
  /// `formula`: written from the reported facts and extracted weights alone; `replay`: the block's own nodes, run apart
  /// from the graph.
  public var kind: String
  /// `block`: from the tensors it reads to what it gives; `core`: the map and what it weighs, some operands or what
  /// follows taken from the graph.
  public var extent: String
  /// The largest deviation from the graph's tensors, relative to their largest element.
  public var error: Double
  public init(kind: String, extent: String, error: Double) {
    self.kind = kind
    self.extent = extent
    self.error = error
  }
}

/// A constant of the graph in the role that it plays in a block.
public struct WeightSummary: Sendable, Hashable {
  public var role: String
  public var name: String
  public init(role: String, name: String) {
    self.role = role
    self.name = name
  }
}

/// One attention module that several residual blocks of a stage apply.
public struct SharedModuleSummary: Sendable, Hashable {
  /// The mechanism that its blocks are reported under.
  public var mechanism: String
  /// Indices of the attention blocks that are its uses.
  public var attention: [Int]
  /// Which residual blocks of the stage carry it, counted from 0.
  public var carriers: [Int]
  public var residualBlocks: Int
  /// One digit for each residual block, 1 where it carries the module.
  public var bits: String
  /// Elements of its weights, which are there once.
  public var parameters: Int
  public init(mechanism: String, attention: [Int], carriers: [Int], residualBlocks: Int, bits: String, parameters: Int) {
    self.mechanism = mechanism
    self.attention = attention
    self.carriers = carriers
    self.residualBlocks = residualBlocks
    self.bits = bits
    self.parameters = parameters
  }
}
