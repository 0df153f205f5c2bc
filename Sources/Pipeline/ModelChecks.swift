internal import Diagnostics
internal import Execution
internal import GraphIR
internal import Inference
internal import Recognition
internal import Reporting
internal import Tensors

/// What `validate` looks at in one model.
struct ModelChecks {
  let model: ModelAnalysis
  let request: ValidationRequest
  /// Given samples, as this model takes them; without them it is run on a random one.
  let samples: SampleSet?
  private(set) var checks: [ValidationReport.Check] = []

  init(_ model: ModelAnalysis, _ request: ValidationRequest, samples: SampleSet?) {
    self.model = model
    self.request = request
    self.samples = samples
  }

  mutating func checkAll() throws(Failure) {
    checkStructure()
    checkWeights()
    if model.graph.isListing { addNotRun("no graph tells what to compute with the weights", at: "") } else { try checkRun() }
  }

  /// Reading and typing went through; what they found on the way.
  private mutating func checkStructure() {
    let counts = "\(model.graph.order.count) nodes, \(model.file.parameters) parameters, \(Inspection.blockCount(model)) attention blocks"
    checks.append(.init(id: "structure", level: .error, passed: true, message: "read, ordered and typed: \(counts)"))
    for finding in model.findings {
      checks.append(.init(id: finding.code.id, level: finding.level, passed: finding.level < .warning, message: finding.message, at: finding.at.element ?? ""))
    }
  }

  private mutating func checkWeights() {
    var checked = 0
    var bad = false
    for id in model.graph.values.handles {
      guard let tensor = model.graph.constant(id), tensor.elementType.isFloatingPoint else { continue }
      checked += 1
      let found = tensor.nonFinite
      let name = model.graph[id].name
      if found.nans > 0 {
        bad = true
        checks.append(
          .init(
            id: DiagnosticCode.nonFiniteWeight.id, level: .error, passed: false, value: Double(found.nans), limit: 0,
            message: "\(found.nans) of \(tensor.count) weights are NaN", at: name))
      } else if found.infinities > 0 {
        // Masks are made of infinities; weights are not, but only a run tells.
        checks.append(
          .init(
            id: DiagnosticCode.nonFiniteWeight.id, level: .note, passed: true, value: Double(found.infinities),
            message: "\(found.infinities) of \(tensor.count) numbers are infinite", at: name))
      }
    }
    if !bad { checks.append(.init(id: "weights-finite", level: .error, passed: true, value: 0, limit: 0, message: "no NaN in \(checked) tensors")) }
  }

  /// The model runs, and its outputs are numbers.
  private mutating func checkRun() throws(Failure) {
    guard let foreign = model.graph.liveNodes.first(where: { $0.1.op.isForeign }) else { return try run() }
    let name = Inspection.nodeName(foreign.0, in: model.graph)
    addNotRun("\(GraphFacts.name(of: foreign.1.op)) has no kernel", at: name)
  }

  private mutating func run() throws(Failure) {
    do throws(Failure) {
      guard let samples = try self.samples?.prefix(BatchRunner.openBatch) else { return try runRandomSample() }
      let outputs = try SampleActivations.outputs(of: model.graph, on: samples, options: request.common.runOptions)
      for (id, tensor) in zip(model.graph.outputs, outputs) { add([tensor], of: id, on: "\(samples.count) given sample\(samples.count == 1 ? "" : "s")") }
    } catch {
      // A body may hold an operator without a kernel, too.
      guard error.code == .operatorNotRunnable else { throw error }
      addNotRun(error.message, at: error.at.element ?? "")
    }
  }

  /// Models of any kind: outputs need no axis of samples, and may be sequences.
  private mutating func runRandomSample() throws(Failure) {
    for id in model.graph.inputs where !RandomInputs.canMake(model.graph[id]) {
      return addNotRun("there are no made-up values for such an input", at: model.graph[id].name)
    }
    let made = try RandomInputs.make(for: model.graph, shapes: request.common.shapes, batch: 1, seed: request.common.seed)
    var inputs: [String: Tensor] = [:]
    for (id, tensor) in made.values { inputs[model.graph[id].name] = tensor }
    let executor = Executor(model.graph, options: request.common.runOptions)
    let result = try executor.run(inputs)
    for id in model.graph.outputs {
      guard let value = result[id] else { throw Failure(.internalError, "the run left an output out", at: .element(model.graph[id].name)) }
      var tensors: [Tensor] = []
      _ = value.map { (tensor) -> Tensor in
        tensors.append(tensor)
        return tensor
      }
      add(tensors, of: id, on: "1 random sample")
    }
  }

  private mutating func add(_ tensors: [Tensor], of output: ValueID, on samples: String) {
    let found = tensors.reduce(0) { $0 + $1.nonFinite.nans + $1.nonFinite.infinities }
    let count = tensors.reduce(0) { $0 + $1.count }
    checks.append(
      .init(
        id: "output-finite", level: .error, passed: found == 0, value: Double(found), limit: 0, message: "\(count) numbers on \(samples)",
        at: model.graph[output].name))
  }

  private mutating func addNotRun(_ reason: String, at place: String) {
    checks.append(.init(id: DiagnosticCode.operatorNotRunnable.id, level: .warning, passed: false, message: "not run: \(reason)", at: place))
  }
}

extension Op {
  fileprivate var isForeign: Bool { if case .foreign = self { true } else { false } }
}
