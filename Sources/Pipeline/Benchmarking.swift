public import Diagnostics
internal import Execution
internal import GraphIR
internal import Inference
public import Reporting
internal import Tensors

/// `vitconv bench`: how long a model takes.
public enum Benchmarking {
  /// What is timed.
  public struct Settings: Sendable {
    public var runs = 20
    public var warmup = 3
    public var batch = 1
    public init() {}
  }

  public static func bench(_ path: String, settings: Settings, request: CommonRequest = CommonRequest()) throws(Failure) -> BenchReport {
    guard settings.runs > 0, settings.warmup >= 0, settings.batch > 0 else { throw Failure(.usage, "runs and batch must be at least 1") }
    let options = request.runOptions
    let clock = ContinuousClock()
    let started = clock.now
    var sink = DiagnosticSink()
    let (graph, _) = try FormatRegistry.read(path, options: request.readOptions, sink: &sink)
    do throws(Failure) {
      let inputs = try RandomInputs.make(for: graph, shapes: request.shapes, batch: settings.batch, seed: request.seed)
      let plan = try ExecutionPlan(try Inference.infer(graph, inputShapes: inputs.shapes, sink: &sink), options: options)
      let load = started.duration(to: clock.now)
      var times: [Double] = []
      for index in 0..<(settings.warmup + settings.runs) {
        let start = clock.now
        _ = try plan.run(inputs.values)
        if index >= settings.warmup { times.append(start.duration(to: clock.now).milliseconds) }
      }
      times.sort()
      return BenchReport(
        runs: settings.runs, warmup: settings.warmup, threads: options.threads, batch: settings.batch, minMilliseconds: times[0],
        medianMilliseconds: quantile(times, 0.5), p95Milliseconds: quantile(times, 0.95), loadMilliseconds: load.milliseconds,
        peakResidentBytes: Measurement.peakResidentBytes)
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
