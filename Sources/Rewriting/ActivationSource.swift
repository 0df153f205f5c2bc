public import Diagnostics
public import GraphIR
public import Tensors

/// A value whose activations are wanted, and the axis on which samples lie.
public struct ActivationRequest: Hashable, Sendable {
  public var value: ValueID
  public var batchAxis: Int
  public init(_ value: ValueID, batchAxis: Int = 0) {
    self.value = value
    self.batchAxis = batchAxis
  }
}

/// Runs graphs on the samples of a conversion. All samples are split once: some are fitted, the others measure.
public protocol ActivationSource {
  /// How many samples are fitted; they come first.
  var calibrationCount: Int { get }
  var sampleCount: Int { get }

  /// The values of all samples, concatenated on their batch axes, calibration samples first.
  func activations(_ requests: [ActivationRequest], of graph: Graph) throws(Failure) -> [Tensor]

  /// How bad `graph` is on held-out samples: cross-entropy with the labels where there are some, else the divergence of
  /// its logits from the original's.
  func heldOutLoss(of graph: Graph) throws(Failure) -> Double
}

/// A conversion under way: the graph as rewritten so far, and where activations come from.
public struct Fitting {
  public let source: any ActivationSource
  /// The graph with the rewrites of the blocks before.
  public var current: Graph
  /// Targets of blocks, which settings and searches share.
  var targets: [Int: AttentionTarget] = [:]

  public init(source: any ActivationSource, original: Graph) {
    self.source = source
    current = original
  }
}
