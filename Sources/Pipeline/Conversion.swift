internal import Bytes
public import Diagnostics
internal import Execution
internal import FormatKeras
internal import GraphIR
internal import Inference
internal import Operators
internal import Recognition
public import Reporting
internal import Rewriting
internal import Tensors
internal import Validation

/// `vitconv convert`: another format, and blocks rewritten, with figures on held-out samples.
public enum Conversion {
  /// How many samples fits are made on; the others measure. More than a few hundred images no longer change a fit, and each
  /// makes what is measured more certain.
  static func calibrationCount(of samples: Int) -> Int { min(samples * 2 / 5, 256) }

  public static func convert(_ request: ConversionRequest) throws(Failure) -> ConversionReport {
    let format = try FormatRegistry.output(request.output, named: request.writing.format)
    var rewrites: [any Rewrite] = []
    for specification in request.rewrites { rewrites.append(try RewriteCatalogue.make(specification)) }
    guard !rewrites.isEmpty else { return try copy(request, format) }

    HeapPolicy.keepFreedMemory()
    var model = try ModelAnalysis.read(request.input, request: request.common)
    do throws(Failure) {
      var repairs: [RepairSite] = []
      if request.repairs {
        let mended = try RepairCatalogue.mended(model.typed)
        repairs = mended.sites
        if !repairs.isEmpty { model = try model.replacingGraph(mended.graph, shapes: request.common.shapes) }
      }
      let facts = repairFacts(repairs, model.graph)
      var conversion = try RunningConversion(model, request)
      for rewrite in rewrites { try conversion.apply(rewrite) }
      let comparison = try conversion.comparison()
      var sink = DiagnosticSink()
      try write(conversion.graph, of: model.file, format, request, &sink)
      var report = try conversion.report(comparison)
      report.repairs = facts
      report.findings = sink.diagnostics
      return report
    } catch {
      throw error.located(file: request.input)
    }
  }

  private static func repairFacts(_ sites: [RepairSite], _ graph: Graph) -> [RepairFact] {
    sites.map { RepairFact(id: $0.repair, at: Inspection.nodeName($0.node, in: graph), fault: $0.fault) }
  }

  /// Without rewrites the graph goes from reader to writer; its types are wanted for its cost alone, so that a graph
  /// whose types are not known is still copied.
  private static func copy(_ request: ConversionRequest, _ format: ModelFormat) throws(Failure) -> ConversionReport {
    var reading = request.common
    // A copy of weights needs no architecture.
    reading.checkpoint.listsOpenWeights = format.holdsWeights
    var (graph, file) = try FormatRegistry.read(request.input, request: reading)
    var sink = DiagnosticSink()
    let macs = (try? Inference.infer(graph, inputShapes: request.common.shapes, sink: &sink)).flatMap { Inspection.cost($0).macs }
    var repairs: [RepairFact] = []
    if request.repairs {
      let mended = try RepairCatalogue.mended(try Inference.infer(graph, inputShapes: request.common.shapes, sink: &sink))
      repairs = repairFacts(mended.sites, graph)
      graph = mended.graph
    }
    var findings = DiagnosticSink()
    try write(graph, of: file, format, request, &findings)
    let written = try writtenFacts(request, file)
    return ConversionReport(
      input: request.input, output: request.output, findings: findings.diagnostics, repairs: repairs,
      model: ModelChange(
        macsBefore: macs, macsAfter: macs, bytesBefore: file.byteCount, bytesAfter: written.byteCount, parametersBefore: file.parameters,
        parametersAfter: written.parameters))
  }

  private static func write(
    _ graph: Graph, of file: FileFacts, _ format: ModelFormat, _ request: ConversionRequest, _ sink: inout DiagnosticSink
  ) throws(Failure) {
    guard let write = format.write else { throw Failure(.notExpressible, "\(format.name) is read only", at: .init(file: request.output)) }
    var options = request.writing
    options.shapes = request.common.shapes
    if options.opset != nil, format.name != FormatRegistry.onnx.name {
      throw Failure(.usage, "--opset is for ONNX files, and '\(request.output)' is \(format.name)")
    }
    let isOfONNX = [FormatRegistry.onnx.name, FormatRegistry.graphText.name].contains(file.format)
    let arithmetic = options.bfloat16 ?? (format.name == FormatRegistry.onnx.name && !isOfONNX ? .float32 : .keep)
    let graph = try arithmetic.applied(to: graph, shapes: options.shapes, sink: &sink)
    try write(try options.layout.applied(to: graph, shapes: options.shapes), request.output, options)
  }

  /// The output as a reader finds it. A file of weights alone may leave open what a graph needs; then the input's facts hold.
  fileprivate static func writtenFacts(_ request: ConversionRequest, _ input: FileFacts) throws(Failure) -> FileFacts {
    var sink = DiagnosticSink()
    do throws(Failure) {
      return try FormatRegistry.read(request.output, options: request.common.readOptions, sink: &sink).1
    } catch {
      // Files for other programs may hold what this one does not read.
      guard try FormatRegistry.output(request.output, named: request.writing.format).name != FormatRegistry.onnx.name else { throw error }
      var facts = input
      facts.byteCount = try ByteSource(mapping: request.output).count
      return facts
    }
  }
}

/// The state between the first rewrite and the report.
private struct RunningConversion {
  let model: ModelAnalysis
  let request: ConversionRequest
  private let choice: BlockChoice
  private let source: SampleActivations?
  private var run: RewriteRun
  private var blocks: [BlockConversion] = []
  /// What is asked of each block; a block bears one rewrite.
  private var choices: [Int: BlockRewrite] = [:]
  private(set) var graph: Graph

  init(_ model: ModelAnalysis, _ request: ConversionRequest) throws(Failure) {
    self.model = model
    self.request = request
    graph = model.graph
    choice = try BlockChoice(request.blocks, blocks: model.recognized.blocks)
    if let path = request.samples {
      let samples = try SampleSet.read(path, for: model.graph, scaling: request.common.scaling)
      let calibration = Conversion.calibrationCount(of: samples.count)
      guard calibration > 0 else { throw Failure(.calibrationData, "\(samples.count) samples cannot be split", at: .init(file: path)) }
      source = try SampleActivations(
        samples.shuffled(seed: request.common.seed), calibrationCount: calibration, original: model.graph, options: request.common.runOptions)
    } else {
      source = nil
    }
    run = RewriteRun(original: model.typed, blocks: model.recognized.blocks, source: source)
  }

  /// Fits and edits the chosen blocks that no rewrite before has taken.
  mutating func apply(_ rewrite: any Rewrite) throws(Failure) {
    let id = type(of: rewrite).id
    var open: [Int] = []
    for index in model.recognized.blocks.indices where choice.contains(index) {
      if let earlier = choices[index] {
        record(id, index, refused: "already rewritten by \(type(of: earlier.rewrite).id)")
      } else if let reason = run.refusal(BlockRewrite(index, rewrite)) {
        record(id, index, refused: reason)
      } else {
        open.append(index)
      }
    }
    if choice == .auto { try select(rewrite, among: open) } else { try rewriteAll(rewrite, at: open) }
  }

  /// Front to back, each on the network as rewritten before it.
  private mutating func rewriteAll(_ rewrite: any Rewrite, at indices: [Int]) throws(Failure) {
    let id = type(of: rewrite).id
    for (position, index) in indices.enumerated() {
      request.common.progress?(ProgressUpdate(stage: "fitting \(id)", completed: position, total: indices.count))
      do throws(Failure) {
        graph = try run.rewritten(Array(choices.values) + [BlockRewrite(index, rewrite)]).graph
        choices[index] = BlockRewrite(index, rewrite)
      } catch {
        guard error.code == .rewriteRefused else { throw error }
        record(id, index, refused: error.message)
      }
    }
    request.common.progress?(ProgressUpdate(stage: "fitting \(id)", completed: indices.count, total: indices.count))
    try take(try run.rewritten(Array(choices.values)), id)
  }

  /// The largest set inside the budget.
  private mutating func select(_ rewrite: any Rewrite, among indices: [Int]) throws(Failure) {
    guard let budget = request.budget else { throw Failure(.usage, "--blocks auto needs a budget", advice: "give --budget METRIC=VALUE") }
    guard let source else { throw Failure(.calibrationData, "--blocks auto measures on samples", advice: "give --samples DATA") }
    let (request, id) = (request, type(of: rewrite).id)
    var count = 0
    let selection = BlockSelection(
      budget,
      progress: { _ in
        count += 1
        request.common.progress?(ProgressUpdate(stage: "searching \(id)", completed: count, total: count + 1))
      },
      measure: { (graph) throws(Failure) in try source.heldOutComparison(of: graph) })
    let outcome = try selection.select(rewrite, at: indices, in: &run)
    request.common.progress?(ProgressUpdate(stage: "searching \(id)", completed: count, total: count))
    for choice in outcome.choices { choices[choice.index] = choice }
    for (index, reason) in outcome.left { record(id, index, refused: reason) }
    try take(outcome.rewritten, id)
  }

  /// Reports the blocks that this rewrite changed.
  private mutating func take(_ rewritten: RewrittenGraph, _ id: String) throws(Failure) {
    graph = rewritten.graph
    for block in rewritten.blocks where type(of: block.rewrite).id == id {
      if let site = run.site(block.index) { blocks.append(BlockConversion(block, site)) }
    }
  }

  private mutating func record(_ id: String, _ index: Int, refused reason: String) {
    let block = model.recognized.blocks[index]
    blocks.append(
      BlockConversion(
        index: index, name: block.name, rewrite: id, applied: false, reason: reason, macsBefore: block.cost.macs, macsAfter: block.cost.macs))
  }

  /// The converted model against the original on the samples held out; nil without samples.
  func comparison() throws(Failure) -> Comparison? {
    guard let source else { return nil }
    return try source.heldOutComparison(of: graph)
  }

  func report(_ comparison: Comparison?) throws(Failure) -> ConversionReport {
    var sink = DiagnosticSink()
    let after = try Inference.infer(graph, inputShapes: request.common.shapes, sink: &sink)
    let file = try Conversion.writtenFacts(request, model.file)
    return ConversionReport(
      input: request.input, output: request.output, blocks: blocks.sorted { ($0.index, $0.applied ? 1 : 0) < ($1.index, $1.applied ? 1 : 0) },
      model: ModelChange(
        macsBefore: Inspection.cost(model.typed).macs, macsAfter: Inspection.cost(after).macs, bytesBefore: model.file.byteCount, bytesAfter: file.byteCount,
        parametersBefore: model.file.parameters, parametersAfter: file.parameters),
      comparison: comparison,
      budget: request.budget.flatMap { budget in
        comparison.flatMap { comparison in
          budget.metric.value(of: comparison).map {
            BudgetOutcome(metric: budget.metric.rawValue, limit: budget.limit, value: $0, samples: comparison.samples)
          }
        }
      })
  }
}
