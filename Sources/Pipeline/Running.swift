internal import Bytes
public import Diagnostics
internal import Execution
internal import FormatImage
internal import FormatKeras
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
    let (graph, _) = try FormatRegistry.read(path, request: try sized(request, path, by: inputs))
    if let foreign = graph.liveNodes.first(where: { if case .foreign = $0.1.op { true } else { false } })?.1, case .foreign(let op) = foreign.op,
      op.domain == "keras"
    {
      throw Failure(.operatorNotRunnable, "the layer class '\(op.name)' has no known computation", at: .init(file: path, element: foreign.name))
    }
    if graph.isListing { return try list(graph, path: path, inputs: inputs, output: output, request: request) }
    let samples = try SampleSet.read(inputs, for: graph)
    let executor = Executor(graph, options: options)
    let loading = started.duration(to: clock.now)
    started = clock.now
    let result: RunResult
    do throws(Failure) { result = try executor.run(samples.inputs) } catch { throw error.located(file: path) }
    let running = started.duration(to: clock.now)
    let peak = Measurement.peakResidentBytes
    var error: PrecisionError?
    if options.precision == .bfloat16 {
      var precise = options
      precise.precision = .float32
      do throws(Failure) {
        error = PrecisionError(of: result, against: try Executor(graph, options: precise).run(samples.inputs), outputs: graph.outputs)
      } catch {
        throw error.located(file: path)
      }
    }
    var results: [(name: String, tensor: Tensor)] = []
    var ports: [PortSummary] = []
    for (index, id) in graph.outputs.enumerated() {
      guard let tensor = result.values[id] else {
        let kind = result.containers[id]?.kind ?? "nothing"
        throw Failure(.notExpressible, "the output is \(kind), and an .npz holds arrays", at: .element(graph[id].name))
      }
      // Who gives inputs by position gets outputs by position, in the order of their names.
      results.append((samples.isByPosition ? "out\(index)" : graph[id].name, tensor))
      ports.append(PortSummary(name: graph[id].name, type: tensor.type))
    }
    if samples.isByPosition { results.sort { $0.name < $1.name } }
    var archive = ArrayArchive()
    for entry in results { archive.append(entry.name, entry.tensor) }
    try archive.write(to: output, protecting: [path, inputs])
    return RunReport(
      samples: samples.count, threads: options.threads, loadMilliseconds: loading.milliseconds, runMilliseconds: running.milliseconds, outputs: ports,
      peakResidentBytes: peak, error: error)
  }

  /// Where no weight tells the size of images, the given ones do.
  private static func sized(_ request: CommonRequest, _ path: String, by inputs: String) throws(Failure) -> CommonRequest {
    guard path != "-", request.readOptions.imageSize == nil, KerasReader.accepts(try ByteSource(mapping: path)), !ImageFolder.isFolder(inputs),
      let first = try ArrayArchive.read(path: inputs).entries.first?.tensor, first.dims.count == 4
    else { return request }
    var result = request
    result.checkpoint.imageSize = Array(first.dims.suffix(2))
    return result
  }

  /// A file of arrays without an architecture: its outputs are the arrays. Whoever has images or a first input for it takes it
  /// for a model; arrays of other names are left alone, as any model leaves them, but it is told.
  private static func list(_ graph: Graph, path: String, inputs: String, output: String, request: CommonRequest) throws(Failure) -> RunReport {
    let given = ImageFolder.isFolder(inputs) ? ["in0"] : try ArrayArchive.read(path: inputs).names
    if given.contains("in0") {
      do throws(Failure) { try graph.requireComputation() } catch { throw error.located(file: path) }
    }
    if let first = given.first {
      request.remark?(
        Diagnostic(.nothingToRun, "the file's own arrays are written; nothing takes '\(first)' or what else was given (\(given.count) in all)", level: .warning)
      )
    }
    var archive = ArrayArchive()
    var ports: [PortSummary] = []
    for id in graph.outputs {
      guard let tensor = graph.constant(id) else { throw Failure(.badRunInput, "the graph has no inputs", at: .init(file: path)) }
      archive.append(graph[id].name, tensor)
      ports.append(PortSummary(name: graph[id].name, type: tensor.type))
    }
    try archive.write(to: output, protecting: [path, inputs])
    return RunReport(
      samples: 0, threads: request.runOptions.threads, loadMilliseconds: 0, runMilliseconds: 0, outputs: ports, peakResidentBytes: Measurement.peakResidentBytes
    )
  }
}

extension Graph {
  /// - Throws: `nothingToRun` for weights without an architecture.
  func requireComputation() throws(Failure) {
    guard isListing else { return }
    throw Failure(
      .nothingToRun, "the file holds \(outputs.count) arrays, and no graph tells what to compute with them",
      advice: "give the architecture with --config FILE, or a file that holds it")
  }
}

extension Duration {
  var milliseconds: Double { Double(components.seconds) * 1e3 + Double(components.attoseconds) / 1e15 }
}
