/// How far a model is from its reference on the same samples. Numbers that do not apply are nil (no labels, no logits).
public struct Comparison: Sendable {
  /// Over all outputs: the largest absolute difference, and the largest relative to the reference's largest magnitude.
  public var maxAbs: Double?
  public var maxRel: Double?
  /// Squared error over the reference's variance over samples.
  public var nmse: Double?
  /// Kullback-Leibler divergence of the softmaxes of the logits, reference first, in nats, mean over samples.
  public var kl: Double?
  /// Share of samples whose largest logit is the same.
  public var top1Agreement: Double?
  /// Accuracy on the labels, of the model and of the reference.
  public var top1: Double?
  public var top1Reference: Double?
  public var samples: Int
  public var outputs: [OutputComparison]
  public var blocks: [BlockComparison]
  /// Where the two models first part by more than rounding explains.
  public var firstDifference: FirstDifference?

  public init(
    maxAbs: Double? = nil, maxRel: Double? = nil, nmse: Double? = nil, kl: Double? = nil, top1Agreement: Double? = nil, top1: Double? = nil,
    top1Reference: Double? = nil, samples: Int, outputs: [OutputComparison] = [], blocks: [BlockComparison] = [],
    firstDifference: FirstDifference? = nil
  ) {
    self.maxAbs = maxAbs
    self.maxRel = maxRel
    self.nmse = nmse
    self.kl = kl
    self.top1Agreement = top1Agreement
    self.top1 = top1
    self.top1Reference = top1Reference
    self.samples = samples
    self.outputs = outputs
    self.blocks = blocks
    self.firstDifference = firstDifference
  }
}

/// One output of the graph against the reference's. `tolerance` is the bound on `maxAbs` that rounding alone explains,
/// derived from the computation; `toleranceBasis` says how.
public struct OutputComparison: Sendable {
  public var name: String
  public var maxAbs: Double
  public var maxRel: Double
  public var nmse: Double
  public var tolerance: Double?
  public var toleranceBasis: String?
  public init(name: String, maxAbs: Double, maxRel: Double, nmse: Double, tolerance: Double? = nil, toleranceBasis: String? = nil) {
    self.name = name
    self.maxAbs = maxAbs
    self.maxRel = maxRel
    self.nmse = nmse
    self.tolerance = tolerance
    self.toleranceBasis = toleranceBasis
  }
}

/// The output of one attention block against the reference's.
public struct BlockComparison: Sendable {
  public var index: Int
  public var name: String
  /// Squared error of all rows over their variance.
  public var nmse: Double
  /// The same for patch rows and for prefix rows (class token and the like) alone, where the block has both.
  public var patchNMSE: Double?
  public var prefixNMSE: Double?
  /// Size of the error over the size of the residual stream after the block.
  public var residualError: Double?
  public init(index: Int, name: String, nmse: Double, patchNMSE: Double? = nil, prefixNMSE: Double? = nil, residualError: Double? = nil) {
    self.index = index
    self.name = name
    self.nmse = nmse
    self.patchNMSE = patchNMSE
    self.prefixNMSE = prefixNMSE
    self.residualError = residualError
  }
}

/// The first value at which two models part.
public struct FirstDifference: Sendable, Hashable {
  /// The block that holds the node, where one does.
  public var block: String?
  public var node: String
  public var maxAbs: Double
  public var tolerance: Double
  public init(block: String?, node: String, maxAbs: Double, tolerance: Double) {
    self.block = block
    self.node = node
    self.maxAbs = maxAbs
    self.tolerance = tolerance
  }
}
