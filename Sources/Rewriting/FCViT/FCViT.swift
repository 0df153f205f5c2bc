public import Diagnostics
public import GraphIR
internal import Inference
internal import Operators
internal import Recognition
internal import Tensors

/// Softmax attention of patch queries replaced by global contexts and a depth-wise convolution, in closed form.
///
/// After FCViT (Ma et al., "Fully-convolutional vision transformer": attention rows are nearly the same for all queries,
/// so one global context and a convolution can stand for them), carried to trained plain attention: the context comes
/// from the mean query through folded keys, the convolution from a ridge regression on the values, and class and other
/// prefix tokens keep their exact rows. With more contexts (patch queries pooled to R x R means) it runs up to exact
/// attention at the grid's own size. It is FCViT-style, not the official FCViT block.
public struct FCViT: Rewrite {
  public static let id = "fcvit"
  public static let summary = "attention of patch tokens becomes global contexts plus a depth-wise convolution, fitted in closed form"
  public static let exactness = Exactness.approximate
  /// The ridge keeps the fit of few samples near the prior; below this there is nothing to fit. 32 and more fit well.
  public static let calibration = CalibrationNeed.samples(atLeast: 8)
  /// Attention spelled anew: the same sums in another order. The bound is that of a contraction over tokens and channels.
  public static let neutral = NeutralSetting.at(["contexts=grid"], .reassociated(ulps: 4096))
  public static let parameters = [
    ParameterDescription("kernel", values: "0|3|5|7|9|11", standard: "5", "side of the depth-wise filter; 0 is none"),
    ParameterDescription("contexts", values: "R|RxS|grid", standard: "1", "patch queries are pooled to R x R; grid is exact attention"),
    ParameterDescription("temperature", values: "on|off", standard: "off", "fits a temperature by head, kept where held-out samples agree"),
    ParameterDescription("heads", values: "separate|shared", standard: "separate", "whether heads have a context map each"),
    ParameterDescription("static", values: "on|off", standard: "off", "contexts ask with the calibration samples' mean query"),
    ParameterDescription("filter", values: "channel|head", standard: "channel", "whether the channels of a head share one filter"),
    ParameterDescription("grid", values: "HxW", standard: "found in the graph", "the patch grid; tokens before it are prefix tokens"),
  ]

  /// What was asked for; nil is left to the standard or to a search.
  public var kernel: Int?
  var contexts: ContextChoice?
  public var temperature: FCViTSetting.Temperature
  public var heads: FCViTSetting.Heads
  public var `static`: FCViTSetting.Static
  public var filter: FCViTSetting.Filter
  private var givenGrid: (height: Int, width: Int)?

  enum ContextChoice: Hashable {
    case grid
    case pooled(ContextGrid)
  }

  public init(parameters: [String]) throws(Failure) {
    let read = try RewriteParameters(parameters, of: Self.id, known: Self.parameters)
    if let text = read.text("kernel") {
      guard let side = Int(text), side == 0 || (side % 2 == 1 && side > 1 && side <= 11) else { throw read.wrong("kernel") }
      kernel = side
    }
    if read.text("contexts") == "grid" {
      contexts = .grid
    } else if let sides = try read.sides("contexts") {
      contexts = .pooled(ContextGrid(height: sides.height, width: sides.width))
    }
    temperature = try read.choice("temperature", .off)
    heads = try read.choice("heads", .separate)
    `static` = try read.choice("static", .off)
    filter = try read.choice("filter", .channel)
    givenGrid = try read.sides("grid")
  }

  public var specification: String {
    var parts: [String] = []
    if let kernel { parts.append("kernel=\(kernel)") }
    switch contexts {
    case .grid: parts.append("contexts=grid")
    case .pooled(let grid): parts.append("contexts=\(grid)")
    case nil: break
    }
    parts.append("temperature=\(temperature.rawValue),heads=\(heads.rawValue),static=\(`static`.rawValue),filter=\(filter.rawValue)")
    if let givenGrid { parts.append("grid=\(givenGrid.height)x\(givenGrid.width)") }
    return "\(Self.id):" + parts.joined(separator: ",")
  }

  // MARK: Where it applies

  public func refusal(_ site: RewriteSite) -> String? {
    let block = site.block
    guard block.mechanism == "softmax" else { return "its mechanism is \(block.mechanism), not softmax attention" }
    if block.causal { return "it is causal: earlier tokens may not see a global context" }
    guard block.family == .selfAttention else { return "it is \(block.family.rawValue) attention, not self-attention over all tokens" }
    guard block.keyInput == block.input else { return "keys come from other tokens than queries" }
    guard block.qkNorm == "none" else { return "queries and keys are normalized (\(block.qkNorm)), so that a mean query is no projection of a mean token" }
    if block.rotary { return "queries and keys are rotated by position, so that a mean query is no projection of a mean token" }
    switch block.bias {
    case .computed: return "its score bias is computed from the input"
    case .mask: return "its scores are masked"
    case .constant, .none: break
    }
    guard let tokens = block.queryTokens.value, block.keyTokens.value == tokens else { return "its number of tokens is not fixed" }
    guard let grid = grid(site) else { return "its \(tokens) tokens are no patch grid with prefix tokens before it" }
    if case .pooled(let asked)? = contexts, asked.height > grid.height || asked.width > grid.width {
      return "\(asked.height)x\(asked.width) contexts are more than the grid of \(grid.height)x\(grid.width) patches"
    }
    guard let type = site.original.type(of: block.input), [.float32, .float64, .float16].contains(type.element), type.shape?.rank == 3 else {
      return "its tokens are not a floating-point tensor of rank 3"
    }
    if place(site) == nil { return "neither its merged heads nor its output are a tensor of rank 3" }
    return nil
  }

  /// The patch grid of a block's tokens.
  public func grid(_ site: RewriteSite) -> PatchGrid? {
    PatchGrid.of(site, given: givenGrid)
  }

  /// What was asked for on this grid, with standards for the rest.
  public func setting(on grid: PatchGrid) -> FCViTSetting {
    let count: ContextGrid
    switch contexts {
    case .grid: count = ContextGrid(height: grid.height, width: grid.width)
    case .pooled(let asked): count = asked
    case nil: count = ContextGrid(1)
    }
    return FCViTSetting(kernel: kernel ?? 5, contexts: count, temperature: temperature, heads: heads, static: `static`, filter: filter)
  }

  // MARK: Fitting

  public func fit(_ site: RewriteSite, _ fitting: inout Fitting) throws(Failure) -> any FittedRewrite {
    let prepared = try prepared(site, &fitting)
    return try prepared.fitted(setting(on: prepared.problem.grid))
  }

  /// Sides of filters that a search tries.
  private static let searchedKernels = [3, 5, 7]

  /// Of all kernels and numbers of contexts that are cheaper than the block as it stands, those that no cheaper one beats
  /// on held-out samples.
  public func candidates(_ site: RewriteSite, _ fitting: inout Fitting) throws(Failure) -> [RewriteCandidate] {
    let prepared = try prepared(site, &fitting)
    let grid = prepared.problem.grid
    let side = min(grid.height, grid.width)
    if kernel != nil, contexts != nil {
      let fitted = try prepared.fitted(setting(on: grid))
      return [RewriteCandidate(self, macs: fitted.macs, error: fitted.fit.heldOutError)]
    }
    var tried: [RewriteCandidate] = []
    for count in contexts == nil ? Array(1..<max(side, 2)) : [0] {
      var choice = self
      if count > 0 { choice.contexts = .pooled(ContextGrid(count)) }
      let setting = choice.setting(on: grid)
      let kernels = (kernel.map { [$0] } ?? Self.searchedKernels).filter { kernel in
        var asked = setting
        asked.kernel = kernel
        return prepared.macs(asked) < site.block.cost.macs
      }
      if kernels.isEmpty { continue }
      for fit in try prepared.problem.fits(setting, kernels: kernels) {
        choice.kernel = fit.setting.kernel
        tried.append(RewriteCandidate(choice, macs: prepared.macs(fit.setting), error: fit.heldOutError))
      }
    }
    tried.sort { ($0.macs, $0.error) < ($1.macs, $1.error) }
    var best = Double.infinity
    var front: [RewriteCandidate] = []
    for candidate in tried where candidate.error < best {
      best = candidate.error
      front.append(candidate)
    }
    return front
  }

  /// The block ready for fits of any setting, after the blocks before it as they are now.
  func prepared(_ site: RewriteSite, _ fitting: inout Fitting) throws(Failure) -> PreparedFCViT {
    if let reason = refusal(site) { throw Failure(.rewriteRefused, reason, at: .element(site.block.name)) }
    guard let grid = grid(site) else { throw Failure(.rewriteRefused, "no patch grid", at: .element(site.block.name)) }
    let largestKernel = max(kernel ?? 0, Self.searchedKernels.max() ?? 0)
    if let known = fitting.prepared(site.index), known.problem.grid == grid, known.problem.largestKernel >= largestKernel { return known }
    guard let source = fitting.source else {
      throw Failure(.calibrationData, "\(Self.id) is fitted on samples, and none are given", advice: "give --samples")
    }
    guard case .samples(let least) = Self.calibration, source.calibrationCount >= least else {
      throw Failure(
        .calibrationData, "\(source.calibrationCount) calibration samples are too few for a fit", advice: "give 32 or more, and as many again to measure on")
    }
    let (samples, calibrationCount) = Fitting.fitSamples(source)
    let request = ActivationRequest(site.block.input, batchAxis: site.block.inputLayout.batch)
    func tokens(of graph: Graph) throws(Failure) -> TokenBatch {
      guard let tensor = try source.activations([request], of: graph, samples: samples, boundary: site.boundary).first else {
        throw Failure(.internalError, "no activations came back")
      }
      return try TokenBatch(tensor, layout: site.block.inputLayout)
    }
    let weights = try BlockWeights(site.block, in: site.original)
    let inputs = try tokens(of: fitting.current)
    let target: AttentionTarget
    if let known = fitting.targets[site.index], known.grid == grid {
      target = known
    } else {
      target = AttentionTarget(weights, grid: grid, inputs: fitting.state.isEmpty ? inputs : try tokens(of: site.original.graph))
      fitting.targets[site.index] = target
    }
    let problem = try FCViTProblem(
      weights, grid: grid, inputs: inputs, target: target, calibrationCount: calibrationCount,
      largestKernel: largestKernel)
    let prepared = PreparedFCViT(problem: problem, outputChannels: site.block.outputProjection?.weight.columns ?? 0)
    fitting.keep(prepared, site.index)
    return prepared
  }

  /// The value that a converted block replaces, and the order of its axes.
  static func replaced(_ site: RewriteSite) -> (value: ValueID, layout: TokenLayout, isMerged: Bool)? {
    let block = site.block
    let width = Dim(block.heads * block.valueDim)
    if let merged = block.merged, let layout = block.mergedLayout, let shape = site.original.shape(of: merged), shape.rank == 3, shape[layout.channel] == width
    {
      return (merged, layout, true)
    }
    guard let shape = site.original.shape(of: block.output), shape.rank == 3 else { return nil }
    return (block.output, block.outputLayout, false)
  }

  private func place(_ site: RewriteSite) -> ValueID? { Self.replaced(site)?.value }
}

/// A block whose settings can be tried cheaply.
public struct PreparedFCViT: Sendable {
  public let problem: FCViTProblem
  let outputChannels: Int

  public func macs(_ setting: FCViTSetting) -> Int {
    FCViTCost.macs(setting, problem.weights, grid: problem.grid, outputChannels: outputChannels)
  }

  public func fitted(_ setting: FCViTSetting) throws(Failure) -> FittedFCViT {
    FittedFCViT(fit: try problem.fit(setting), weights: problem.weights, macs: macs(setting), irrelevance: problem.target.irrelevance)
  }
}

/// A block's numbers and what they cost.
public struct FittedFCViT: FittedRewrite {
  public let fit: FCViTFit
  let weights: BlockWeights
  public let macs: Int
  public let irrelevance: [QueryIrrelevance]

  public var heldOutError: Double? { fit.heldOutError }

  public var report: [RewriteFact] {
    let setting = fit.setting
    let contexts = setting.contexts
    return [
      RewriteFact("kernel", .integer(setting.kernel)),
      RewriteFact("contexts", contexts.height == contexts.width ? .integer(contexts.height) : .text("\(contexts)")),
      RewriteFact("temperature", .numbers(fit.temperature)),
      RewriteFact("heads", .text(setting.heads.rawValue)),
      RewriteFact("static", .text(setting.static.rawValue)),
      RewriteFact("filter", .text(setting.filter.rawValue)),
      RewriteFact("grid", .text("\(fit.grid.height)x\(fit.grid.width)")),
      RewriteFact("prefix_tokens", .integer(fit.grid.prefix)),
      RewriteFact("query_divergence", .numbers(irrelevance.map(\.relativeDivergence))),
      RewriteFact("query_cosine", .numbers(irrelevance.map(\.cosine))),
    ]
  }

  public func patch(_ site: RewriteSite, on graph: Graph) throws(Failure) -> Patch {
    guard let place = FCViT.replaced(site), let type = site.original.type(of: site.block.input) else {
      throw Failure(.rewriteRefused, "neither its merged heads nor its output are a tensor of rank 3", at: .element(site.block.name))
    }
    let block = site.block
    var writer = PatchWriter(graph, stem: "\(block.name)/fcvit", element: type.element, origins: OriginSet(block.nodes))
    let x = writer.batchFirst(block.input, from: block.inputLayout, "input")
    var (made, rows) = try FCViTPatch.merged(fit, weights, x: x, writer: writer)
    if !place.isMerged, let projection = block.outputProjection {
      let width = projection.weight.columns
      guard let weight = projection.weight.materialized(), projection.bias.map({ $0.materialized() != nil }) ?? true else {
        throw Failure(.rewriteRefused, "the output projection cannot be read as numbers", at: .element(block.name))
      }
      // A fused node behind the output may add the bias itself.
      let bias = (block.outputHasBias ? projection.bias?.materialized() : nil) ?? [Double](repeating: 0, count: width)
      rows = try made.linear(rows, weight, bias, inputs: projection.weight.rows, "output")
    }
    made.patch.replace(place.value, with: made.ordered(rows, as: place.layout, "ordered"))
    return made.patch
  }
}
