public import Diagnostics
internal import FormatKeras
internal import GraphIR
internal import Inference
internal import Operators
internal import Recognition
public import Reporting
internal import Rewriting
internal import Tensors

/// `vitconv inspect`.
public enum Inspection {
  /// - Parameters:
  ///   - confirm: whether blocks are held against a run on seeded inputs; one that contradicts its run is a near miss.
  ///   - explain: a node's name, or that of a value it makes: its canonical neighborhood becomes part of the report.
  public static func inspect(
    _ path: String, shapes: [String: [Int]] = [:], confirm: ConfirmationMode = .whenCheap, explain: String? = nil
  ) throws(Failure) -> InspectReport {
    var request = CommonRequest()
    request.shapes = shapes
    return try inspect(path, request: request, confirm: confirm, explain: explain)
  }

  /// The same with all that a request tells, such as what a file of weights leaves open.
  public static func inspect(
    _ path: String, request: CommonRequest, confirm: ConfirmationMode = .whenCheap, explain: String? = nil
  ) throws(Failure) -> InspectReport {
    var request = request
    request.checkpoint.comparesChecksums = false
    request.checkpoint.listsOpenWeights = true
    let model = try ModelAnalysis.read(path, request: request)
    var result = report(model, Confirmation(model, shapes: request.shapes, mode: confirm))
    if let explain { result.explanation = try explanation(explain, model) }
    return result
  }

  static func report(_ model: ModelAnalysis, _ confirmation: Confirmation) -> InspectReport {
    let misses =
      model.recognized.nearMisses
      + confirmation.refused.sorted { $0.key < $1.key }.map { index, reason in
        let block = model.recognized.blocks[index]
        return NearMiss(at: block.anchor, lookedLike: block.family, reason: reason)
      }
    var report = InspectReport(
      model: summary(model), operators: operatorCounts(model), cost: cost(model.typed), architecture: architecture(model),
      attention: model.graph.isListing ? modules(model) : blocks(of: model, confirmation),
      nearMisses: misses.map { NearMissSummary(at: nodeName($0.at, in: model.graph), lookedLike: $0.lookedLike.rawValue, refused: $0.reason) },
      findings: model.findings + findings(model, confirmation))
    // Indices are those of the blocks as they were found; one that a run contradicts leaves its place empty.
    report.sharedModules = model.recognized.sharedModules.map { module in
      SharedModuleSummary(
        mechanism: module.attention.first.map { model.recognized.blocks[$0].mechanism } ?? "ean", attention: module.attention, carriers: module.carriers,
        residualBlocks: module.residualBlocks, bits: module.bits, parameters: module.parameters)
    }
    return report
  }

  /// What is unusual about blocks, and what their run could not show.
  private static func findings(_ model: ModelAnalysis, _ confirmation: Confirmation) -> [Diagnostic] {
    let faults = RepairCatalogue.sites(in: model.typed).map { site in
      Diagnostic(.knownFault, "\(site.fault) (repair \(site.repair))", at: .element(nodeName(site.node, in: model.graph)))
    }
    return faults
      + model.recognized.blocks.enumerated().flatMap { index, block in
        guard confirmation.refused[index] == nil else { return [Diagnostic]() }
        return (block.remarks + (confirmation.unmeasured[index].map { [$0] } ?? [])).map {
          Diagnostic(.unusualAttention, "\(block.name): \($0)", at: .element(nodeName(block.anchor, in: model.graph)), level: .note)
        }
      }
  }

  private static func explanation(_ name: String, _ model: ModelAnalysis) throws(Failure) -> NodeExplanation {
    let found = model.graph.liveNodes.first { id, node in
      node.name == name || node.outputs.contains { $0.map { model.graph[$0].name == name } ?? false }
    }
    guard let (id, _) = found else {
      throw Failure(.usage, "--explain \(name): no node and no value has this name", at: .init(file: model.path))
    }
    let block = model.recognized.blocks.first { $0.nodes.contains(id) || $0.residualAdd == id }
    let miss = model.recognized.nearMisses.first { $0.at == id }
    return NodeExplanation(
      node: nodeName(id, in: model.graph), block: block?.name, refused: miss.map { "\($0.lookedLike.rawValue): \($0.reason)" },
      neighborhood: Neighborhood.lines(around: id, canonical: model.canonical, original: model.graph))
  }

  private static func architecture(_ model: ModelAnalysis) -> ArchitectureSummary {
    let facts = model.recognized.architecture
    return ArchitectureSummary(
      likeness: facts.likeness, evidence: facts.evidence, patchSize: facts.patchSize, grid: facts.grid, prefixTokens: facts.prefixTokens,
      registerTokens: facts.registerTokens,
      stages: facts.stages.map { ArchitectureSummary.Stage(blocks: $0.blocks, tokens: $0.tokens, width: $0.width) }, norm: facts.norm.rawValue,
      layerScale: facts.layerScale, positionEmbedding: facts.positionEmbedding, averagedHeads: facts.averagedHeads, classes: facts.classes)
  }

  private static func summary(_ model: ModelAnalysis) -> ModelSummary {
    func ports(_ values: [ValueID]) -> [PortSummary] {
      values.map {
        PortSummary(
          name: model.graph[$0].name, type: model.typed.type(of: $0) ?? model.graph[$0].declaredType, container: model.graph[$0].declaredContainer?.description)
      }
    }
    return ModelSummary(
      path: model.path, format: model.file.format, producer: model.file.producer,
      opset: model.graph.opsets.sorted { $0.key < $1.key }.map { ModelSummary.Opset(domain: $0.key, version: $0.value) },
      parameters: model.file.parameters, bytes: model.file.byteCount, inputs: ports(model.graph.inputs), outputs: ports(model.graph.outputs))
  }

  private static func operatorCounts(_ model: ModelAnalysis) -> [OperatorCount] {
    model.file.operators.map { OperatorCount(name: $0.key, count: $0.value) }.sorted { ($1.count, $0.name) < ($0.count, $1.name) }
  }

  /// Work for one sample; nil where operators without a meaning leave values untyped, or bodies run who knows how often.
  static func cost(_ typed: TypedGraph) -> CostSummary {
    guard typed.untyped.isEmpty, !typed.graph.liveNodes.contains(where: { !$0.1.op.bodies.isEmpty }) else { return CostSummary() }
    let cost = typed.cost
    return CostSummary(macs: cost.macs, elementwise: cost.elementwise, activationBytesPeak: typed.activationBytesPeak)
  }

  /// How many attention blocks are found, or modules where there are weights alone.
  static func blockCount(_ model: ModelAnalysis) -> Int { model.graph.isListing ? modules(model).count : model.recognized.blocks.count }

  /// What weights without a graph tell of attention: sizes, but no tokens, no order and nothing to run.
  private static func modules(_ model: ModelAnalysis) -> [AttentionSummary] {
    ListedAttention.modules(of: model.graph, heads: model.givenHeads).enumerated().map { index, module in
      var summary = AttentionSummary(
        index: index, name: module.name, family: module.family.rawValue, mechanism: "softmax", heads: module.heads, headDim: module.headDim,
        valueDim: module.valueDim, queryTokens: Dim(symbol: "tokens"), keyTokens: Dim(symbol: module.family == .cross ? "key_tokens" : "tokens"), scale: nil,
        bias: module.hasPositionTable ? "constant" : "none", qkNorm: "none", causal: false, parameters: module.parameters, macs: nil, nodes: [], rewrites: [])
      summary.traits = ["told by names and shapes of its weights: no graph says what it attends to"]
      summary.weights = module.weights.map { WeightSummary(role: $0.role, name: model.graph[$0.value].name) }
      return summary
    }
  }

  private static func blocks(of model: ModelAnalysis, _ confirmation: Confirmation) -> [AttentionSummary] {
    let landmarks = PatchLandmarks(model.typed)
    return model.recognized.blocks.enumerated().filter { confirmation.refused[$0.offset] == nil }.map { index, block in
      var summary = AttentionSummary(
        index: index, name: block.name, family: block.family.rawValue, mechanism: block.mechanism, heads: block.heads, headDim: block.headDim,
        valueDim: block.valueDim, queryTokens: block.queryTokens, keyTokens: block.keyTokens, scale: block.scale, bias: block.bias.word,
        qkNorm: block.qkNorm, causal: block.causal, parameters: block.parameters, macs: nil,
        nodes: block.nodes.map { nodeName($0, in: model.graph) },
        rewrites: rewrites(of: block, at: index, model, landmarks))
      let work = work(block, model) ?? block.cost
      (summary.macs, summary.elementwise) = (work.macs, work.elementwise)
      summary.geometry = GeometrySummary(
        window: block.geometry.window, shift: block.geometry.shift, groups: block.geometry.groups, reduction: block.geometry.reduction,
        kernel: block.geometry.kernel)
      summary.rotary = block.rotary
      summary.traits = block.traits + block.remarks
      if let outcome = confirmation.confirmed[index] {
        summary.confirmed = true
        summary.confirmation = ConfirmationSummary(kind: outcome.kind.rawValue, extent: outcome.extent.rawValue, error: outcome.error)
      }
      summary.weights = block.weights.filter { $0.value.index < model.canonical.graph.values.count }.map {
        WeightSummary(role: $0.role, name: $0.value.index < model.graph.values.count ? model.graph[$0.value].name : model.canonical.graph[$0.value].name)
      }
      return summary
    }
  }

  /// Work of a block's own nodes for one sample; nil where one of them does more than one thing, attention as a whole say.
  private static func work(_ block: AttentionBlock, _ model: ModelAnalysis) -> Cost? {
    var whole = Cost()
    for id in block.nodes {
      switch model.graph[id].op {
      case .attention, .catalogued, .foreign, .control, .call, .recurrence: return nil
      default: break
      }
      let own = model.typed.cost(of: id)
      whole = Cost(macs: whole.macs &+ own.macs, elementwise: whole.elementwise &+ own.elementwise)
    }
    let samples = model.graph.inputs.lazy.compactMap { model.typed.shape(of: $0)?.dims.first?.value }.first { $0 > 1 } ?? 1
    return whole.macs % samples == 0 ? Cost(macs: whole.macs / samples, elementwise: whole.elementwise / samples) : whole
  }

  /// Ids of the rewrites that take the block.
  private static func rewrites(of block: AttentionBlock, at index: Int, _ model: ModelAnalysis, _ landmarks: PatchLandmarks) -> [String] {
    guard let projected = block.projected else { return [] }
    let site = RewriteSite(block: projected, index: index, original: model.typed, landmarks: landmarks)
    return RewriteCatalogue.all.filter { accepts(site, $0) }.map { $0.id }
  }

  /// Whether a rewrite at its standard setting has no reason to refuse the block.
  private static func accepts(_ site: RewriteSite, _ type: any Rewrite.Type) -> Bool {
    guard let rewrite = try? type.init(parameters: []) else { return false }
    return rewrite.refusal(site) == nil
  }

  /// A node's name, or its first result's where the exporter left it without one.
  static func nodeName(_ id: NodeID, in graph: Graph) -> String {
    let node = graph[id]
    return node.name.isEmpty ? node.outputs.lazy.compactMap { $0 }.first.map { graph[$0].name } ?? "" : node.name
  }
}
