public import Diagnostics
internal import Execution
internal import GraphIR
internal import Inference
internal import Recognition
public import Reporting
internal import Tensors

/// `vitconv bench`: how long a model takes.
public enum Benchmarking {
  /// What is timed.
  public struct Settings: Sendable {
    public var runs = 20
    public var warmup = 3
    public var batch = 1
    /// Whether to tell where the time goes.
    public var profiles = false
    /// Where to write a trace of the timed runs; nil for none.
    public var trace: String?
    public init() {}
  }

  public static func bench(_ path: String, settings: Settings, request: CommonRequest = CommonRequest()) throws(Failure) -> BenchReport {
    guard settings.runs > 0, settings.warmup >= 0, settings.batch > 0 else { throw Failure(.usage, "runs and batch must be at least 1") }
    var options = request.runOptions
    options.profiles = settings.profiles || settings.trace != nil
    let clock = ContinuousClock()
    let started = clock.now
    let (graph, _) = try FormatRegistry.read(path, request: request)
    do throws(Failure) {
      try graph.requireComputation()
      let inputs = try RandomInputs.make(for: graph, shapes: request.shapes, batch: settings.batch, seed: request.seed)
      let plan = try Executor(graph, options: options).plan(inputs.shapes)
      let load = started.duration(to: clock.now)
      var times: [Double] = []
      var profiling = Profiling(plan.typed)
      for index in 0..<(settings.warmup + settings.runs) {
        let start = clock.now
        let result = try plan.run(inputs.values)
        guard index >= settings.warmup else { continue }
        times.append(start.duration(to: clock.now).milliseconds)
        if options.profiles { profiling.add(result.profile) }
      }
      let peak = Measurement.peakResidentBytes
      if let trace = settings.trace { try profiling.writeTrace(to: trace, protecting: path) }
      var profile: ProfileReport?
      if settings.profiles {
        var shaped = request
        shaped.shapes = inputs.shapes
        let analysis = try ModelAnalysis.read(path, request: shaped)
        profile = profiling.report(threads: options.threads, blocks: analysis.recognized.blocks.map { ($0.name, $0.nodes) })
      }
      let error = try PrecisionError.measured(plan, inputs.values, options: options)
      times.sort()
      return BenchReport(
        runs: settings.runs, warmup: settings.warmup, threads: options.threads, batch: settings.batch, minMilliseconds: times[0],
        medianMilliseconds: quantile(times, 0.5), p95Milliseconds: quantile(times, 0.95), loadMilliseconds: load.milliseconds,
        peakResidentBytes: peak, error: error, profile: profile)
    } catch {
      throw error.located(file: path)
    }
  }

  /// The value below which a share `q` of sorted `values` lies, linear between neighbors.
  static func quantile(_ values: [Double], _ q: Double) -> Double {
    let position = q * Double(values.count - 1)
    let low = Int(position)
    let high = min(low + 1, values.count - 1)
    return values[low] + (position - Double(low)) * (values[high] - values[low])
  }
}

extension PrecisionError {
  /// The error of a plan in lower precision against float32 on the same inputs; nil for other plans.
  static func measured(_ plan: ExecutionPlan, _ inputs: [ValueID: Tensor], options: RunOptions) throws(Failure) -> PrecisionError? {
    guard options.precision == .bfloat16 else { return nil }
    var precise = options
    precise.precision = .float32
    return PrecisionError(of: try plan.run(inputs), against: try ExecutionPlan(plan.typed, options: precise).run(inputs), outputs: plan.typed.graph.outputs)
  }

  init(of result: RunResult, against exact: RunResult, outputs: [ValueID]) {
    var (largest, difference, size) = (0.0, 0.0, 0.0)
    for id in outputs {
      guard let x = result.values[id]?.doubles(), let y = exact.values[id]?.doubles() else { continue }
      for (a, b) in zip(x, y) {
        largest = max(largest, abs(a - b))
        difference += (a - b) * (a - b)
        size += b * b
      }
    }
    self.init(precision: "bf16", maxAbs: largest, nmse: size > 0 ? difference / size : difference)
  }
}
