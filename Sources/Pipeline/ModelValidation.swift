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

/// `vitconv validate`: a model alone, or held against a reference.
public enum ModelValidation {
  public static func validate(_ request: ValidationRequest) throws(Failure) -> ValidationReport {
    var reading = request.common
    // Weights can be looked at alone; a comparison needs what they are the weights of.
    reading.checkpoint.listsOpenWeights = request.reference == nil
    let model = try ModelAnalysis.read(request.model, request: reading)
    guard let path = request.reference else {
      var samples: SampleSet?
      if let path = request.samples { samples = try SampleSet.read(path, for: model.graph, scaling: request.common.scaling) }
      return report(request, try checks(of: model, request, samples), nil)
    }
    do throws(Failure) { try model.graph.requireComputation() } catch { throw error.located(file: request.model) }
    HeapPolicy.keepFreedMemory()
    let reference = try ModelAnalysis.read(path, request: request.common)
    do throws(Failure) { try reference.graph.requireComputation() } catch { throw error.located(file: path) }
    let versus = try ModelsCompared(reference: reference, model: model, request: request)
    let alone = try checks(of: model, request, request.samples == nil ? nil : try versus.modelSamples())
    let comparison = try versus.comparison()
    return report(request, alone + versus.checks(comparison), comparison)
  }

  /// - Parameter samples: as the model takes them.
  private static func checks(of model: ModelAnalysis, _ request: ValidationRequest, _ samples: SampleSet?) throws(Failure) -> [ValidationReport.Check] {
    var checks = ModelChecks(model, request, samples: samples)
    do throws(Failure) { try checks.checkAll() } catch { throw error.located(file: request.model) }
    return checks.checks
  }

  private static func report(_ request: ValidationRequest, _ checks: [ValidationReport.Check], _ comparison: Comparison?) -> ValidationReport {
    let failed = checks.contains { !$0.passed && $0.level == .error }
    return ValidationReport(
      model: request.model, reference: request.reference, verdict: failed ? .fail : .pass, checks: checks, comparison: comparison)
  }
}

/// Two models on the same samples.
private struct ModelsCompared {
  let reference: ModelAnalysis
  let model: ModelAnalysis
  let request: ValidationRequest
  private let samples: SampleSet
  private let ports: PairedPorts
  private let arithmetic: ComparedArithmetic
  private let bisect: Bisect

  /// Random samples where none are given: enough to meet most branches of a network, few enough to be quick.
  private static let randomSamples = 8
  /// Multiply-adds that a float64 run of the plain kernels may take before tolerances are bounded instead of measured.
  private static let exactWork = 2_000_000_000

  init(reference: ModelAnalysis, model: ModelAnalysis, request: ValidationRequest) throws(Failure) {
    self.reference = reference
    self.model = model
    self.request = request
    arithmetic = try ComparedArithmetic(reference: reference.graph, model: model.graph)
    ports = try PairedPorts(reference: reference.typed, model: model.typed, file: request.model)
    if let path = request.samples {
      samples = try SampleSet.read(path, for: reference.graph, scaling: request.common.scaling)
    } else {
      samples = try RandomInputs.samples(for: reference.graph, count: Self.randomSamples, request: request.common)
    }
    bisect = Bisect(
      reference: .init(graph: reference.typed, blocks: reference.recognized.blocks), model: .init(graph: model.typed, blocks: model.recognized.blocks))
  }

  /// The samples as the model takes them.
  func modelSamples() throws(Failure) -> SampleSet { try ports.inputs(samples) }

  func comparison() throws(Failure) -> Comparison {
    let options = request.common.runOptions
    let wanted = try SampleActivations.outputs(of: reference.graph, on: samples, options: options)
    let got: [Tensor]
    do throws(Failure) {
      got = try ports.outputs(try SampleActivations.outputs(of: model.graph, on: ports.inputs(samples), options: options))
    } catch { throw error.located(file: request.model) }
    let tolerances = try outputTolerances(wanted, got)
    var comparison = try Comparison(
      reference: zip(reference.graph.outputs, wanted).map { MeasuredOutput(reference.graph[$0].name, $1) },
      model: zip(ports.outputs, got).map { MeasuredOutput(model.graph[$0.model].name, $1) }, labels: samples.labels, samples: samples.count,
      tolerances: tolerances)
    try addBlocks(to: &comparison)
    return comparison
  }

  /// What rounding explains of each output, measured where a float64 run is affordable: the reference's own, and the model's
  /// where it computes in a narrower type.
  private func outputTolerances(_ wanted: [Tensor], _ got: [Tensor]) throws(Failure) -> [Tolerance?] {
    let count = exactSamples
    guard count > 0 else {
      let depths = reference.typed.roundingDepths()
      return zip(reference.graph.outputs, wanted).map { Tolerance.bounded(depths[$0], reference: $1, arithmetic: arithmetic.type) }
    }
    let few = try samples.prefix(count)
    let exact = try SampleActivations.outputs(of: arithmetic.reference, on: few.typed(for: arithmetic.reference), options: preciseOptions)
    var tolerances = try measured(wanted, exact, count)
    if arithmetic.modelIsNarrow {
      let own = try ports.inputs(few).typed(for: arithmetic.model)
      let exact = try ports.outputs(try SampleActivations.outputs(of: arithmetic.model, on: own, options: preciseOptions))
      tolerances = zip(tolerances, try measured(got, exact, count)).map { a, b in (a?.limit ?? 0) < (b?.limit ?? 0) ? b : a }
    }
    return tolerances
  }

  private func measured(_ given: [Tensor], _ exact: [Tensor], _ count: Int) throws(Failure) -> [Tolerance?] {
    var tolerances: [Tolerance?] = []
    for (own, precise) in zip(given, exact) {
      let part = own.dims.first == samples.count ? try own.selecting(Array(0..<count)) : own
      tolerances.append(Tolerance.measured(part, exact: precise, arithmetic: arithmetic.type, samples: count))
    }
    return tolerances
  }

  private var preciseOptions: RunOptions {
    var options = request.common.runOptions
    options.precision = .reference
    return options
  }

  /// How many samples a float64 run can afford: at most eight, none for large models.
  private var exactSamples: Int {
    guard let macs = Inspection.cost(reference.typed).macs else { return 0 }
    return min(samples.count, 8, macs > 0 ? Self.exactWork / macs : 8)
  }

  /// Errors block by block, and where the models first part when an output does.
  private func addBlocks(to comparison: inout Comparison) throws(Failure) {
    let few = try samples.prefix(BatchRunner.openBatch)
    let options = request.common.runOptions
    let partner = Dictionary(bisect.pairs.map { ($0.reference, $0.model) }) { first, _ in first }
    let blocks = reference.recognized.blocks.enumerated().compactMap { index, block in
      block.projected.flatMap { partner[$0.output] == nil ? nil : (index, $0) }
    }
    // Many samples only of the values that blocks are judged by: all values of a large model would fill the memory.
    let referenceValues = try activations(reference.graph, blocks.flatMap { [$1.output] + ($1.residualSum.map { [$0] } ?? []) }, few, options)
    let modelValues = try activations(model.graph, blocks.compactMap { partner[$1.output] }, ports.inputs(few), options)
    let landmarks = PatchLandmarks(reference.typed)
    for (index, block) in blocks {
      guard let other = partner[block.output], let wanted = referenceValues[block.output], let got = modelValues[other], wanted.dims == got.dims else {
        continue
      }
      let site = RewriteSite(block: block, index: index, original: reference.typed, landmarks: landmarks)
      comparison.blocks.append(
        try BlockComparison(
          index: index, name: block.name, reference: wanted, model: got, layout: block.outputLayout, grid: PatchGrid.of(site, given: nil),
          residualSum: block.residualSum.flatMap { referenceValues[$0] }))
    }
    let parts = comparison.outputs.contains { output in output.tolerance.map { !(output.maxAbs <= $0) } ?? false }
    if parts { comparison.firstDifference = try firstDifference() }
  }

  /// Samples on which all values are compared where a float64 run is not affordable.
  private static let bisectSamples = 2

  private func firstDifference() throws(Failure) -> FirstDifference? {
    let options = request.common.runOptions
    let count = min(exactSamples, samples.count)
    let few = try samples.prefix(count > 0 ? count : Self.bisectSamples)
    var exact: [ValueID: Tensor] = [:]
    if count > 0 {
      exact = try activations(arithmetic.reference, bisect.pairs.map(\.reference), few.typed(for: arithmetic.reference), preciseOptions)
    }
    return bisect.firstDifference(
      referenceValues: try activations(reference.graph, bisect.pairs.map(\.reference), few, options),
      modelValues: try activations(model.graph, bisect.pairs.map(\.model), ports.inputs(few), options), exactValues: exact,
      arithmetic: arithmetic.type, samples: few.count)
  }

  private func activations(_ graph: Graph, _ values: [ValueID], _ samples: SampleSet, _ options: RunOptions) throws(Failure) -> [ValueID: Tensor] {
    let runner = BatchRunner(graph, keeping: values, options: options)
    var parts: [ValueID: [Tensor]] = [:]
    try runner.run(samples) { (result, _) throws(Failure) in
      for value in values { if let tensor = result.values[value] { parts[value, default: []].append(tensor) } }
    }
    var joined: [ValueID: Tensor] = [:]
    for (value, tensors) in parts where tensors[0].dims.count > 0 { joined[value] = try Tensor.concatenating(tensors) }
    return joined
  }

  /// The comparison as checks: against budgets where there are some, else against rounding.
  func checks(_ comparison: Comparison) -> [ValidationReport.Check] {
    guard request.budgets.isEmpty else {
      return request.budgets.map { budget in
        let value = budget.metric.value(of: comparison)
        return ValidationReport.Check(
          id: budget.metric.rawValue, level: .error, passed: value.map { $0 <= budget.limit } ?? false, value: value, limit: budget.limit,
          message: value == nil ? "cannot be measured on these samples" : "on \(comparison.samples) samples")
      }
    }
    return comparison.outputs.map { output in
      let limit = output.tolerance ?? 0
      let place = comparison.firstDifference.map { "; first at '\($0.node)'" } ?? ""
      return ValidationReport.Check(
        id: DiagnosticCode.modelsDiffer.id, level: .error, passed: output.maxAbs <= limit, value: output.maxAbs, limit: limit,
        message: output.maxAbs <= limit ? "agrees within rounding on \(comparison.samples) samples" : "differs by more than rounding explains\(place)",
        at: output.name)
    }
  }
}
