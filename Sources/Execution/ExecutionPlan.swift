public import Diagnostics
public import GraphIR
public import Inference
internal import Kernels
public import Tensors

/// A graph made ready to run at given shapes: kernels prepared, weights packed, memory planned. Made once, run many times.
///
/// Not for several threads at a time: a run uses the plan's own memory.
public final class ExecutionPlan {
  private enum Body {
    case fast(steps: [Step], memory: PlanMemory, views: [ValueID: View])
    case interpreted(Interpreter)
    case samples(SampleRun)
  }
  /// The graph that is run, with its shapes.
  public let typed: TypedGraph
  private let options: RunOptions
  private let wanted: [ValueID]
  private let body: Body

  /// Bytes of the arena that holds everything computed; inputs included, weights not.
  public let arenaBytes: Int
  /// Bytes of weights in packed form, shared by the plans of one executor.
  public let packedBytes: Int
  /// How many kernels a run calls.
  public let stepCount: Int

  /// - Parameters:
  ///   - typed: the shapes of the inputs known. Where one of an inner value is not, or a value is no plain tensor, the
  ///     nodes are run one by one (`Interpreter`).
  ///   - keeping: values that runs give back beside the graph's outputs.
  /// - Throws: `operatorNotRunnable` at a node without kernel, or where a shape is not known before the run;
  ///   `outOfMemory` when the plan needs more than the machine has.
  public convenience init(_ typed: TypedGraph, keeping: [ValueID] = [], options: RunOptions = RunOptions()) throws(Failure) {
    try self.init(typed, keeping: keeping, options: options, weights: WeightCache(threads: options.threads))
  }

  /// A plan that runs the batch in parts; nil where it had better run as a whole.
  init?(_ typed: TypedGraph, inParts shapes: [String: [Int]], keeping: [ValueID], options: RunOptions, weights: WeightCache) {
    self.typed = typed
    self.options = options
    wanted = Array(Set(typed.graph.outputs + keeping)).sorted()
    guard let parts = SampleRun(typed, shapes: shapes, wanted: wanted, options: options, weights: weights) else { return nil }
    body = .samples(parts)
    (arenaBytes, packedBytes, stepCount) = (parts.arenaBytes, weights.byteCount, parts.stepCount)
  }

  /// Whether nodes are run one by one.
  var isInterpreted: Bool { if case .interpreted = body { true } else { false } }

  init(_ typed: TypedGraph, keeping: [ValueID], options: RunOptions, weights: WeightCache) throws(Failure) {
    self.typed = typed
    self.options = options
    wanted = Array(Set(typed.graph.outputs + keeping)).sorted()
    if options.precision == .reference || !PlanBuilder.isPlannable(typed, wanted: wanted) {
      let interpreter = try Interpreter(typed, wanted: wanted, options: options)
      body = .interpreted(interpreter)
      (arenaBytes, packedBytes, stepCount) = (0, 0, interpreter.count)
      return
    }
    let precision: ProductPrecision = options.precision == .bfloat16 ? .bfloat16 : .float32
    guard precision.isSupported else {
      throw Failure(.kernelFailure, "this CPU has no instructions for bfloat16", advice: "run with --precision f32")
    }
    // Packing makes a second form of the weights, so a model that does not fit is refused before it is read.
    let constants = typed.graph.values.handles.reduce(0) { $0 + (typed.graph.constant($1)?.byteCount ?? 0) }
    try ExecutionPlan.checkMemory(constants)
    Parallel.use(threads: options.threads)
    let builder = PlanBuilder(typed, keeping: keeping, precision: precision, weights: weights)
    try builder.build()
    let memory = MemoryPlan(builder.slots, builder.steps)
    let needed = memory.arenaBytes + builder.workspace.byteCount
    try ExecutionPlan.checkMemory(needed + weights.byteCount)
    arenaBytes = needed
    packedBytes = weights.byteCount
    stepCount = builder.steps.count
    body = .fast(
      steps: builder.steps, memory: PlanMemory(builder.slots, offsets: memory.offsets, arenaBytes: memory.arenaBytes), views: builder.views)
  }

  /// The rest of the machine needs memory as well: what takes nearly all of it makes everything slow before it fails.
  private static func checkMemory(_ bytes: Int) throws(Failure) {
    guard bytes <= Measurement.physicalBytes / 10 * 8 else {
      throw Failure(
        .outOfMemory, "the run needs \(bytes >> 20) MiB and the machine has \(Measurement.physicalBytes >> 20) MiB", advice: "run smaller batches")
    }
  }

  /// - Parameter inputs: one tensor for each graph input.
  /// - Throws: `badRunInput` where they are not those of the graph.
  public func run(_ inputs: [ValueID: Tensor]) throws(Failure) -> RunResult { try run(values: inputs.mapValues { .tensor($0) }) }

  /// - Parameter inputs: one value for each graph input.
  public func run(values inputs: [ValueID: RuntimeValue]) throws(Failure) -> RunResult {
    let inputs = try checked(inputs)
    switch body {
    case .interpreted(let interpreter):
      Parallel.use(threads: options.threads)
      return try interpreter.run(inputs)
    case .samples(let parts): return try parts.run(inputs.compactMapValues(\.tensor))
    case .fast(let steps, let memory, let views): return try run(inputs.compactMapValues(\.tensor), steps, memory, views)
    }
  }

  private func run(_ inputs: [ValueID: Tensor], _ steps: [Step], _ memory: PlanMemory, _ views: [ValueID: View]) throws(Failure) -> RunResult {
    Parallel.use(threads: options.threads)
    for (value, tensor) in inputs {
      guard let view = views[value] else { continue }
      unsafe tensor.withUnsafeBytes { source in
        guard let start = source.baseAddress else { return }
        unsafe memory.address(view).copyMemory(from: start, byteCount: source.count)
      }
    }
    var profile: [StepTime] = []
    let deadline = options.timeLimit.map { Measurement.now + $0 } ?? .infinity
    for step in steps {
      let start = options.profiles || deadline < .infinity ? Measurement.now : 0
      do throws(Failure) {
        guard start <= deadline else { throw Failure(.runLimit, "the run takes longer than \(options.timeLimit ?? 0) s") }
        try step.run(memory)
      } catch {
        throw error.located(element: step.nodes.first.map { typed.graph.label(of: typed.graph[$0]) })
      }
      if options.profiles { profile.append(StepTime(nodes: step.nodes, kernel: step.kernel, start: start, seconds: Measurement.now - start)) }
    }
    var values: [ValueID: Tensor] = [:]
    for value in wanted {
      guard let view = views[value] else { continue }
      let bytes = view.layout.count * view.elementBytes
      let buffer = unsafe TensorBuffer(byteCount: bytes) { target in
        guard bytes > 0 else { return }
        unsafe target.copyMemory(from: UnsafeRawBufferPointer(start: memory.address(view), count: bytes))
      }
      values[value] = try Tensor(view.element, dims: view.dims, storage: .memory(buffer))
    }
    return RunResult(values: values, profile: profile)
  }

  /// The inputs, each held against what the graph declares; double precision is rounded where single is asked for.
  private func checked(_ inputs: [ValueID: RuntimeValue]) throws(Failure) -> [ValueID: RuntimeValue] {
    var result: [ValueID: RuntimeValue] = [:]
    for id in typed.graph.inputs {
      let name = typed.graph[id].name
      guard let given = inputs[id] else { throw Failure(.badRunInput, "the input '\(name)' is missing", at: .element(name)) }
      if let declared = typed.graph[id].declaredContainer {
        guard given.fits(declared) else { throw Failure(.badRunInput, "'\(name)' is \(declared) and was given \(given.kind)", at: .element(name)) }
        result[id] = given
        continue
      }
      guard case .tensor(let tensor) = given else { throw Failure(.badRunInput, "'\(name)' is a tensor and was given \(given.kind)", at: .element(name)) }
      guard let type = typed.type(of: id), let dims = type.shape?.concrete else {
        throw Failure(.badRunInput, "the shape of the input '\(name)' is not known", at: .element(name))
      }
      guard tensor.dims == dims else { throw Failure(.badRunInput, "'\(name)' has shape \(dims) and was given \(tensor.dims)", at: .element(name)) }
      if tensor.elementType == type.element {
        result[id] = given
      } else if tensor.elementType == .float64, type.element == .float32, let values = tensor.floats() {
        result[id] = .tensor(try Tensor(float32: values, dims: dims))
      } else {
        throw Failure(.badRunInput, "'\(name)' is \(type.element.name) and was given \(tensor.elementType.name)", at: .element(name))
      }
    }
    return result
  }
}
