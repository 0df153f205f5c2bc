public import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Recognition
public import Reporting
internal import Rewriting
internal import Tensors

/// `vitconv inspect`.
public enum Inspection {
  public static func inspect(_ path: String, shapes: [String: [Int]] = [:]) throws(Failure) -> InspectReport {
    report(try ModelAnalysis.read(path, shapes: shapes))
  }

  static func report(_ model: ModelAnalysis) -> InspectReport {
    InspectReport(
      model: summary(model), operators: operatorCounts(model), cost: cost(model.typed), attention: blocks(of: model),
      nearMisses: model.recognized.nearMisses.map {
        NearMissSummary(at: nodeName($0.at, in: model.graph), lookedLike: $0.lookedLike.rawValue, refused: $0.reason)
      },
      findings: model.findings)
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

  private static func blocks(of model: ModelAnalysis) -> [AttentionSummary] {
    model.recognized.blocks.enumerated().map { index, block in
      let site = block.projected.map { RewriteSite(block: $0, index: index, original: model.typed) }
      return AttentionSummary(
        index: index, name: block.name, family: block.family.rawValue, mechanism: block.mechanism, heads: block.heads, headDim: block.headDim,
        valueDim: block.valueDim, queryTokens: block.queryTokens, keyTokens: block.keyTokens, scale: block.scale, bias: block.bias.word,
        qkNorm: block.qkNorm, causal: block.causal, parameters: block.parameters, macs: block.cost.macs,
        nodes: block.nodes.map { nodeName($0, in: model.graph) },
        rewrites: site.map { site in RewriteCatalogue.all.filter { accepts(site, $0) }.map { $0.id } } ?? [])
    }
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
