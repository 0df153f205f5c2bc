internal import Diagnostics
internal import Execution
internal import GraphIR
internal import Rewriting
internal import Tensors
internal import Validation

/// Activations and losses of graphs on the samples of a conversion, run on the CPU.
struct SampleActivations: ActivationSource {
  /// Calibration samples first, then those held out.
  let samples: SampleSet
  let calibrationCount: Int
  let options: RunOptions
  /// The original's outputs on the held-out samples.
  private let reference: [MeasuredOutput]
  private let heldOut: SampleSet
  private let kept = KeptActivations()
  /// Losses steer searches; so many samples tell which of two settings is better.
  private static let lossSamples = 256

  init(_ samples: SampleSet, calibrationCount: Int, original: Graph, options: RunOptions) throws(Failure) {
    self.samples = samples
    self.calibrationCount = calibrationCount
    self.options = options
    heldOut = try samples.selecting(Array(calibrationCount..<samples.count))
    reference = zip(original.outputs, try Self.outputs(of: original, on: heldOut, options: options)).map { MeasuredOutput(original[$0].name, $1) }
  }

  var sampleCount: Int { samples.count }

  func activations(
    _ requests: [ActivationRequest], of graph: Graph, samples range: Range<Int>, boundary: ActivationRequest?
  ) throws(Failure) -> [Tensor] {
    if let boundary, boundary.batchAxis == 0, !kept.holds(boundary.value, of: graph) {
      let all = try Self.values([boundary], of: graph, on: samples, options: options, from: kept.known(in: graph))
      kept.keep(boundary.value, of: graph, all[0])
    }
    return try Self.values(requests, of: graph, on: samples, options: options, from: kept.known(in: graph), rows: range)
  }

  func heldOutLoss(of graph: Graph) throws(Failure) -> Double {
    let some = min(Self.lossSamples, heldOut.count)
    let logits = try heldOutOutputs(of: graph, count: some)[0]
    if let labels = heldOut.labels { return try Logits(logits).crossEntropy(Array(labels.prefix(some))) }
    return try Logits(reference[0].tensor.selecting(Array(0..<some))).divergence(to: Logits(logits))
  }

  /// The outputs on the first held-out samples, from the last boundary on that is still good.
  private func heldOutOutputs(of graph: Graph, count: Int) throws(Failure) -> [Tensor] {
    try Self.values(
      graph.outputs.map { ActivationRequest($0) }, of: graph, on: samples, options: options, from: kept.known(in: graph),
      rows: calibrationCount..<(calibrationCount + count))
  }

  /// `graph` against the original on the held-out samples.
  func heldOutComparison(of graph: Graph) throws(Failure) -> Comparison {
    let outputs = zip(graph.outputs, try heldOutOutputs(of: graph, count: heldOut.count)).map { MeasuredOutput(graph[$0].name, $1) }
    return try Comparison(reference: reference, model: outputs, labels: heldOut.labels, samples: heldOut.count)
  }

  /// All outputs of `graph` over `samples`.
  static func outputs(of graph: Graph, on samples: SampleSet, options: RunOptions) throws(Failure) -> [Tensor] {
    try values(graph.outputs.map { ActivationRequest($0) }, of: graph, on: samples, options: options, from: [:])
  }

  /// - Parameters:
  ///   - known: values of these samples that need not be computed again.
  ///   - rows: the samples that are run; nil runs all.
  private static func values(
    _ requests: [ActivationRequest], of graph: Graph, on samples: SampleSet, options: RunOptions, from known: [ValueID: Tensor], rows: Range<Int>? = nil
  ) throws(Failure) -> [Tensor] {
    let batch = graph.inputs.first { !samples.shared.contains(graph[$0].name) }.flatMap { graph[$0].declaredType?.shape?.dims.first } ?? Dim(symbol: "batch")
    let part = try graph.restricted(
      to: requests.map(\.value), from: known.mapValues { TensorType($0.elementType, Shape([batch] + $0.dims.dropFirst().map { Dim($0) })) })
    var started = samples
    started.inputs = [:]
    for id in part.inputs { started.inputs[part[id].name] = known[id] ?? samples.inputs[part[id].name] }
    if let rows { started = try started.selecting(Array(rows)) }
    if part.order.isEmpty { return requests.compactMap { started.inputs[part[$0.value].name] } }
    var parts: [[Tensor]] = Array(repeating: [], count: requests.count)
    let runner = BatchRunner(part, keeping: requests.map(\.value), options: options)
    try runner.run(started) { (result, count) throws(Failure) in
      for (index, request) in requests.enumerated() {
        guard let tensor = result.values[request.value], request.batchAxis < tensor.dims.count else {
          throw Failure(
            .badRunInput, "'\(graph[request.value].name)' has no axis of samples, so that samples cannot be told apart in it",
            advice: "leave --samples out: the model is then checked on random inputs")
        }
        parts[index].append(tensor.dims[request.batchAxis] > count ? try tensor.selecting(Array(0..<count), axis: request.batchAxis) : tensor)
      }
    }
    var joined: [Tensor] = []
    for (request, tensors) in zip(requests, parts) { joined.append(try Tensor.concatenating(tensors, axis: request.batchAxis)) }
    return joined
  }
}
