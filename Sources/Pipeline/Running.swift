public import Diagnostics
internal import Execution
internal import FormatNPZ
internal import GraphIR
public import Reporting
internal import Tensors

/// `vitconv run`: a model on the arrays of an `.npz`, its outputs into another.
public enum Running {
  public static func run(_ path: String, inputs: String, output: String, request: CommonRequest = CommonRequest()) throws(Failure) -> RunReport {
    let options = request.runOptions
    let clock = ContinuousClock()
    var started = clock.now
    var sink = DiagnosticSink()
    let (graph, _) = try FormatRegistry.read(path, sink: &sink)
    let samples = try SampleSet.read(inputs, for: graph)
    let executor = Executor(graph, options: options)
    let loading = started.duration(to: clock.now)
    started = clock.now
    let result: RunResult
    do throws(Failure) { result = try executor.run(samples.inputs) } catch { throw error.located(file: path) }
    let running = started.duration(to: clock.now)
    var archive = ArrayArchive()
    var ports: [PortSummary] = []
    for id in graph.outputs {
      guard let tensor = result.values[id] else {
        let kind = result.containers[id]?.kind ?? "nothing"
        throw Failure(.notExpressible, "the output is \(kind), and an .npz holds arrays", at: .element(graph[id].name))
      }
      archive.append(graph[id].name, tensor)
      ports.append(PortSummary(name: graph[id].name, type: tensor.type))
    }
    try archive.write(to: output, protecting: [path, inputs])
    return RunReport(
      samples: samples.count, threads: options.threads, loadMilliseconds: loading.milliseconds, runMilliseconds: running.milliseconds, outputs: ports)
  }
}

extension Duration {
  var milliseconds: Double { Double(components.seconds) * 1e3 + Double(components.attoseconds) / 1e15 }
}
