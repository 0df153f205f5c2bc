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

  /// The values of some samples, concatenated on their batch axes.
  ///
  /// - Parameter boundary: a value that later runs can start from, as long as nothing before it is rewritten: the source
  ///   may keep it.
  func activations(
    _ requests: [ActivationRequest], of graph: Graph, samples: Range<Int>, boundary: ActivationRequest?
  ) throws(Failure) -> [Tensor]

  /// How bad `graph` is on held-out samples (some of them, where there are many): cross-entropy with the labels where there are some, else the divergence of
  /// its logits from the original's.
  func heldOutLoss(of graph: Graph) throws(Failure) -> Double
}

/// A conversion under way: the graph as rewritten so far, where activations come from, and what fits share.
public struct Fitting {
  /// Nil where there are no samples: only rewrites that need none can be fitted.
  public let source: (any ActivationSource)?
  /// The graph with the rewrites of the blocks before.
  public internal(set) var current: Graph
  /// Names the rewrites in `current`: what was prepared after the same ones is still good.
  var state = ""
  /// Targets of blocks, which settings and searches share.
  var targets: [Int: AttentionTarget] = [:]
  /// Blocks ready to be fitted, the latest last.
  private var prepared: [(key: String, block: PreparedFCViT)] = []
  /// How many of them are kept.
  private static let keptBlocks = 12

  public init(source: (any ActivationSource)?, original: Graph) {
    self.source = source
    current = original
  }

  /// Samples that a fit uses: some of calibration, then some held out that measure it. More would hardly change sums over
  /// that many patches, and each costs time at every trial of a search.
  static func fitSamples(_ source: any ActivationSource) -> (all: Range<Int>, calibration: Int) {
    let calibration = min(source.calibrationCount, 128)
    let heldOut = min(source.sampleCount - source.calibrationCount, max(1, calibration / 2))
    return ((source.calibrationCount - calibration)..<(source.calibrationCount + heldOut), calibration)
  }

  func prepared(_ index: Int) -> PreparedFCViT? {
    let key = "\(index)/\(state)"
    return prepared.last { $0.key == key }?.block
  }

  mutating func keep(_ block: PreparedFCViT, _ index: Int) {
    if prepared.count >= Self.keptBlocks { prepared.removeFirst() }
    prepared.append(("\(index)/\(state)", block))
  }
}
