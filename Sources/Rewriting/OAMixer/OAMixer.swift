public import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Recognition
internal import Tensors

/// Attention reweighted by how alike the objects of two patches are: `A' = A * M / rowsum(A * M)`, `M = exp(-kappa D)`
/// or `1 - kappa D`, D a distance of patch labels.
///
/// After OAMixer (Kang et al., "OAMixer: object-aware mixing layer for vision transformers"). It is written as one bias
/// added before the softmax, `softmax(scores + log M)`, which is the same function without a division that could be 0/0;
/// prefix tokens get a bias of zero.
public struct OAMixer: Rewrite {
  public enum Labels: String, Sendable, Hashable, CaseIterable { case tokens, input }
  public enum Distance: String, Sendable, Hashable, CaseIterable { case cosine, l1 }
  public enum Mask: String, Sendable, Hashable, CaseIterable { case exp, minus }

  public static let id = "oamixer"
  public static let summary = "attention between patches of different objects is damped by exp(-kappa * distance of their labels)"
  public static let exactness = Exactness.changesFunction
  public static let calibration = CalibrationNeed.none
  /// A kappa of zero adds nothing, so nothing is inserted.
  public static let neutral = NeutralSetting.at(["kappa=0"], .bitIdentical)
  public static let parameters = [
    ParameterDescription("kappa", values: "K|K,K,...|search", standard: "search", "strength: one, or one by block; search needs samples"),
    ParameterDescription("labels", values: "tokens|input", standard: "tokens", "the patch tokens themselves, or an extra input patch_labels"),
    ParameterDescription("distance", values: "cosine|l1", standard: "cosine", "distance of two patches' labels"),
    ParameterDescription("mask", values: "exp|minus", standard: "exp", "exp(-kappa D), or 1 - kappa D"),
    ParameterDescription("grid", values: "HxW", standard: "found in the graph", "the patch grid; tokens before it are prefix tokens"),
  ]
  /// The name of the extra input: (batch, patches, label width).
  public static let labelInput = "patch_labels"

  /// By block, in order; the last one holds for all that follow. Nil: searched.
  public var kappa: [Double]?
  public var labels: Labels
  public var distance: Distance
  public var mask: Mask
  private var givenGrid: (height: Int, width: Int)?

  public init(parameters: [String]) throws(Failure) {
    let read = try RewriteParameters(parameters, of: Self.id, known: Self.parameters)
    kappa = read.text("kappa") == "search" ? nil : try read.numbers("kappa")
    labels = try read.choice("labels", .tokens)
    distance = try read.choice("distance", .cosine)
    mask = try read.choice("mask", .exp)
    givenGrid = try read.sides("grid")
    if mask == .minus, distance == .l1 {
      throw Failure(
        .rewriteParameter, "mask=minus with distance=l1 is refused: the distance of two label distributions reaches 2, so that 1 - kappa D turns negative",
        advice: "use mask=exp, or distance=cosine")
    }
    for value in kappa ?? [] {
      guard value >= 0 else { throw read.wrong("kappa") }
      if mask == .minus, value > largestKappa {
        throw Failure(
          .rewriteParameter, "mask=minus on \(labels.rawValue) takes a kappa of at most \(largestKappa), not \(value): 1 - kappa D must not turn negative",
          advice: "use mask=exp")
      }
    }
  }

  public var specification: String {
    let strength = kappa.map { $0.map { "\($0)" }.joined(separator: ",") } ?? "search"
    return "\(Self.id):kappa=\(strength),labels=\(labels.rawValue),distance=\(distance.rawValue),mask=\(mask.rawValue)"
  }

  /// `1 - kappa D` must stay positive wherever D can go: the cosine distance of two tokens reaches 2, that of
  /// nonnegative labels 1.
  var largestKappa: Double { mask == .exp ? 8 : labels == .tokens ? 0.49 : 1 }

  public func refusal(_ site: RewriteSite) -> String? {
    let block = site.block
    guard block.mechanism == "softmax" else { return "its mechanism is \(block.mechanism), not softmax attention" }
    guard block.family == .selfAttention || block.family == .causal, block.keyInput == block.input else {
      return "it is \(block.family.rawValue) attention, not self-attention over patches"
    }
    guard let tokens = block.queryTokens.value, block.keyTokens.value == tokens else { return "its number of tokens is not fixed" }
    guard grid(site) != nil else { return "its \(tokens) tokens are no patch grid with prefix tokens before it" }
    guard let type = site.original.type(of: block.input), [.float32, .float64, .float16].contains(type.element), type.shape?.rank == 3 else {
      return "its tokens are not a floating-point tensor of rank 3"
    }
    return ScoreBiasInsertion.refusal(block, in: site.original)
  }

  func grid(_ site: RewriteSite) -> PatchGrid? {
    PatchGrid.of(site, given: givenGrid)
  }

  public func fit(_ site: RewriteSite, _ fitting: inout Fitting) throws(Failure) -> any FittedRewrite {
    if let reason = refusal(site) { throw Failure(.rewriteRefused, reason, at: .element(site.block.name)) }
    guard let grid = grid(site) else { throw Failure(.rewriteRefused, "no patch grid", at: .element(site.block.name)) }
    if let kappa, let last = kappa.last {
      return FittedOAMixer(rewrite: self, grid: grid, kappa: site.index < kappa.count ? kappa[site.index] : last, block: site.block)
    }
    return try searched(site, grid, fitting)
  }

  public func candidates(_ site: RewriteSite, _ fitting: inout Fitting) throws(Failure) -> [RewriteCandidate] {
    [RewriteCandidate(self, macs: site.block.cost.macs, error: 0)]
  }

  /// Goes up a ladder of strengths until the held-out loss rises, then halves the steps around the best one; the smaller
  /// wins a tie.
  private func searched(_ site: RewriteSite, _ grid: PatchGrid, _ fitting: Fitting) throws(Failure) -> FittedOAMixer {
    guard let source = fitting.source else {
      throw Failure(.calibrationData, "a search for kappa needs samples", advice: "give --samples, or kappa=VALUE")
    }
    // All trials differ from here on only.
    _ = try source.activations([site.boundary], of: fitting.current, samples: 0..<min(1, source.sampleCount), boundary: site.boundary)
    var tried: [(kappa: Double, loss: Double)] = []
    func measured(_ kappa: Double) throws(Failure) -> Double {
      let candidate = FittedOAMixer(rewrite: self, grid: grid, kappa: kappa, block: site.block)
      let loss = try source.heldOutLoss(of: try candidate.patch(site, on: fitting.current).commit())
      tried.append((kappa, loss))
      return loss
    }
    var last = Double.infinity
    for kappa in [0, 0.25, 0.5, 1, 2, 4] where kappa <= largestKappa {
      let loss = try measured(kappa)
      if loss > last { break }
      last = loss
    }
    func best() -> (kappa: Double, loss: Double) { tried.min { ($0.loss, $0.kappa) < ($1.loss, $1.kappa) } ?? (0, .infinity) }
    for _ in 0..<2 {
      let center = best().kappa
      let below = tried.map(\.kappa).filter { $0 < center }.max() ?? center
      let above = tried.map(\.kappa).filter { $0 > center }.min() ?? min(2 * center, largestKappa)
      for kappa in [(below + center) / 2, (center + above) / 2] where !tried.contains(where: { $0.kappa == kappa }) { _ = try measured(kappa) }
    }
    return FittedOAMixer(rewrite: self, grid: grid, kappa: best().kappa, loss: best().loss, block: site.block)
  }
}
