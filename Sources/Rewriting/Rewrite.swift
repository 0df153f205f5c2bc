public import Diagnostics
public import GraphIR
public import Inference
public import Recognition

/// What a rewrite promises about the result, at its neutral setting and elsewhere.
public enum Exactness: Sendable, Hashable {
  /// The same bits.
  case bitIdentical
  /// The same formula in another order of operations; `ulps` of the largest magnitude of each output bound the rounding.
  case reassociated(ulps: Int)
  /// Another function that stays near; how near is measured.
  case approximate
  /// Another function on purpose.
  case changesFunction

  public var word: String {
    switch self {
    case .bitIdentical: "bit-identical"
    case .reassociated: "reassociated"
    case .approximate: "approximate"
    case .changesFunction: "changes-function"
    }
  }
}

/// What a rewrite needs before it can be applied.
public enum CalibrationNeed: Sendable, Hashable {
  case none
  case weights
  case samples(atLeast: Int)

  public var word: String {
    switch self {
    case .none: "none"
    case .weights: "weights"
    case .samples(let count): "\(count) samples or more"
    }
  }
}

/// The setting at which a rewrite leaves the function as it was.
public enum NeutralSetting: Sendable, Hashable {
  /// Parameters as they are given on the command line, and how exact the result is there.
  case at([String], Exactness)
  case absent(because: String)
}

/// A parameter of a rewrite, for lists and for messages.
public struct ParameterDescription: Sendable, Hashable {
  public var name: String
  public var values: String
  public var standard: String
  public var meaning: String
  public init(_ name: String, values: String, standard: String, _ meaning: String) {
    self.name = name
    self.values = values
    self.standard = standard
    self.meaning = meaning
  }
}

/// A change of one kind of block: what it promises, what it needs, where it refuses, and how it is fitted.
///
/// A rewrite is a value made from its parameters. Fitting gives numbers (`FittedRewrite`), and those make a patch: the
/// two are apart so that a search can fit often and edit once.
public protocol Rewrite: Sendable {
  static var id: String { get }
  static var summary: String { get }
  static var exactness: Exactness { get }
  static var calibration: CalibrationNeed { get }
  static var neutral: NeutralSetting { get }
  static var parameters: [ParameterDescription] { get }

  /// - Parameter parameters: `key=value`; parts without `=` continue the value before them, so that a list may hold commas.
  /// - Throws: `rewriteParameter` for a name or value that it does not take.
  init(parameters: [String]) throws(Failure)

  /// The rewrite with its parameters, as it is given on the command line.
  var specification: String { get }

  /// Why this block cannot be rewritten; nil when it can.
  func refusal(_ site: RewriteSite) -> String?

  /// Fits the block at `site` on the activations of `fitting`.
  ///
  /// - Throws: `rewriteRefused` where `refusal` has a reason, `calibrationData` and `numericalFailure` where the samples do not carry a fit.
  func fit(_ site: RewriteSite, _ fitting: inout Fitting) throws(Failure) -> any FittedRewrite

  /// What a search may try at this block where parameters were left open, cheapest first, each next one dearer and nearer
  /// to the original; the rewrite itself where nothing is open.
  func candidates(_ site: RewriteSite, _ fitting: inout Fitting) throws(Failure) -> [RewriteCandidate]
}

/// One thing a search may try at a block.
public struct RewriteCandidate: Sendable {
  public var rewrite: any Rewrite
  /// Multiply-adds of the block with it, for one sample.
  public var macs: Int
  /// Its error on held-out samples at this block alone; 0 where it is not fitted.
  public var error: Double
  public init(_ rewrite: any Rewrite, macs: Int, error: Double) {
    self.rewrite = rewrite
    self.macs = macs
    self.error = error
  }
}

/// Where a rewrite is applied: one block of the graph as read.
public struct RewriteSite: Sendable {
  public var block: ProjectedAttention
  /// The block's place among the blocks of the graph.
  public var index: Int
  /// The graph as read, typed.
  public var original: TypedGraph
  /// What `original` tells of the order of tokens.
  public var landmarks: PatchLandmarks

  public init(block: ProjectedAttention, index: Int, original: TypedGraph, landmarks: PatchLandmarks) {
    self.block = block
    self.index = index
    self.original = original
    self.landmarks = landmarks
  }
}

extension RewriteSite {
  /// Where the block begins: all that comes after it in a network with residual connections depends on this value alone.
  var boundary: ActivationRequest {
    ActivationRequest(block.normInput ?? block.input, batchAxis: block.inputLayout.batch)
  }
}

/// The numbers of one rewritten block.
public protocol FittedRewrite: Sendable {
  /// Settings given or fitted, for the report.
  var report: [RewriteFact] { get }
  /// Multiply-adds of the block after the rewrite, for one sample.
  var macs: Int { get }
  /// The error of the fitted quantity on held-out samples, where the fit has one.
  var heldOutError: Double? { get }

  /// The edit, on a graph that is the original or came from it by patches (ids stay the same).
  func patch(_ site: RewriteSite, on graph: Graph) throws(Failure) -> Patch
}

/// One line of a report on a rewritten block.
public struct RewriteFact: Sendable, Hashable {
  public enum Value: Sendable, Hashable {
    case number(Double)
    case integer(Int)
    case text(String)
    case numbers([Double])
  }
  public var name: String
  public var value: Value
  public init(_ name: String, _ value: Value) {
    self.name = name
    self.value = value
  }
}
