public import Diagnostics
internal import Execution
internal import GraphIR
internal import Inference
internal import Recognition
public import Reporting
internal import Rewriting
internal import Tensors
internal import Validation

/// `vitconv convert`: another format, and blocks rewritten, with figures on held-out samples.
public enum Conversion {
  /// The share of samples that fits are made on; the others measure.
  static let calibrationShare = 0.4

  public static func convert(_ request: ConversionRequest) throws(Failure) -> ConversionReport {
    let write = try FormatRegistry.writer(for: request.output)
    var rewrites: [any Rewrite] = []
    for specification in request.rewrites { rewrites.append(try RewriteCatalogue.make(specification)) }
    guard !rewrites.isEmpty else { return try copy(request, write) }

    let model = try ModelAnalysis.read(request.input, shapes: request.common.shapes)
    do throws(Failure) {
      var conversion = try RunningConversion(model, request)
      for rewrite in rewrites { try conversion.apply(rewrite) }
      let comparison = try conversion.comparison()
      try write(conversion.graph, request.output)
      return try conversion.report(comparison)
    } catch {
      throw error.located(file: request.input)
    }
  }

  /// Without rewrites nothing is analysed: the graph goes from reader to writer.
  private static func copy(_ request: ConversionRequest, _ write: (Graph, String) throws(Failure) -> Void) throws(Failure) -> ConversionReport {
    var sink = DiagnosticSink()
    let (graph, file) = try FormatRegistry.read(request.input, sink: &sink)
    try write(graph, request.output)
    let (_, written) = try FormatRegistry.read(request.output, sink: &sink)
    return ConversionReport(
      input: request.input, output: request.output,
      model: ModelChange(
        macsBefore: nil, macsAfter: nil, bytesBefore: file.byteCount, bytesAfter: written.byteCount, parametersBefore: file.parameters,
        parametersAfter: written.parameters))
  }
}

/// The state between the first rewrite and the report.
private struct RunningConversion {
  let model: ModelAnalysis
  let request: ConversionRequest
  private let choice: BlockChoice
  private let source: SampleActivations?
  private var fitting: Fitting
  private var blocks: [BlockConversion] = []
  /// By block, the rewrite that changed it.
  private var rewritten: [Int: String] = [:]

  var graph: Graph { fitting.current }

  init(_ model: ModelAnalysis, _ request: ConversionRequest) throws(Failure) {
    self.model = model
    self.request = request
    choice = try BlockChoice(request.blocks, blocks: model.recognized.blocks)
    if let path = request.samples {
      let samples = try SampleSet.read(path, for: model.graph, scaling: request.common.scaling)
      let calibration = Int(Double(samples.count) * Conversion.calibrationShare)
      guard calibration > 0 else { throw Failure(.calibrationData, "\(samples.count) samples cannot be split", at: .init(file: path)) }
      let source = try SampleActivations(
        samples.shuffled(seed: request.common.seed), calibrationCount: calibration, original: model.graph, options: request.common.runOptions)
      self.source = source
      fitting = Fitting(source: source, original: model.graph)
    } else {
      source = nil
      fitting = Fitting(source: NoSamples(), original: model.graph)
    }
  }

  /// Fits and edits the chosen blocks, front to back.
  mutating func apply(_ rewrite: any Rewrite) throws(Failure) {
    let chosen = model.recognized.blocks.indices.filter { choice.contains($0) }
    for (position, index) in chosen.enumerated() {
      request.common.progress?(ProgressUpdate(stage: "fitting \(type(of: rewrite).id)", completed: position, total: chosen.count))
      let site = RewriteSite(block: model.recognized.blocks[index], index: index, original: model.typed)
      if let reason = rewritten[index].map({ "already rewritten by \($0)" }) ?? rewrite.refusal(site) {
        record(rewrite, site, refused: reason)
        continue
      }
      do throws(Failure) {
        let fitted = try rewrite.fit(site, &fitting)
        fitting.current = try fitted.patch(site, on: fitting.current).commit()
        rewritten[index] = type(of: rewrite).id
        blocks.append(BlockConversion(rewrite, site, fitted))
      } catch {
        guard error.code == .rewriteRefused else { throw error }
        record(rewrite, site, refused: error.message)
      }
    }
    request.common.progress?(ProgressUpdate(stage: "fitting \(type(of: rewrite).id)", completed: chosen.count, total: chosen.count))
  }

  private mutating func record(_ rewrite: any Rewrite, _ site: RewriteSite, refused reason: String) {
    blocks.append(
      BlockConversion(
        index: site.index, name: site.block.name, rewrite: type(of: rewrite).id, applied: false, reason: reason, macsBefore: site.block.cost.macs,
        macsAfter: site.block.cost.macs))
  }

  /// The converted model against the original on the samples held out; nil without samples.
  func comparison() throws(Failure) -> Comparison? {
    guard let source else { return nil }
    return try source.heldOutComparison(of: graph, with: model.graph)
  }

  func report(_ comparison: Comparison?) throws(Failure) -> ConversionReport {
    var sink = DiagnosticSink()
    let after = try Inference.infer(graph, inputShapes: request.common.shapes, sink: &sink)
    let (_, file) = try FormatRegistry.read(request.output, sink: &sink)
    return ConversionReport(
      input: request.input, output: request.output, blocks: blocks,
      model: ModelChange(
        macsBefore: Inspection.cost(model.typed).macs, macsAfter: Inspection.cost(after).macs, bytesBefore: model.file.byteCount, bytesAfter: file.byteCount,
        parametersBefore: model.file.parameters, parametersAfter: file.parameters),
      comparison: comparison, budget: request.budget.flatMap { budget in
        comparison.flatMap { comparison in
          budget.metric.value(of: comparison).map {
            BudgetOutcome(metric: budget.metric.rawValue, limit: budget.limit, value: $0, samples: comparison.samples)
          }
        }
      })
  }
}

/// For conversions without samples: whoever asks for activations is told what is missing.
private struct NoSamples: ActivationSource {
  var calibrationCount: Int { 0 }
  var sampleCount: Int { 0 }
  private var missing: Failure { Failure(.calibrationData, "the rewrite needs samples", advice: "give --samples DATA") }
  func activations(_ requests: [ActivationRequest], of graph: Graph) throws(Failure) -> [Tensor] { throw missing }
  func heldOutLoss(of graph: Graph) throws(Failure) -> Double { throw missing }
}
