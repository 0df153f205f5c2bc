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
  /// The original's logits on the held-out samples.
  private let reference: Tensor
  private let heldOut: SampleSet

  init(_ samples: SampleSet, calibrationCount: Int, original: Graph, options: RunOptions) throws(Failure) {
    self.samples = samples
    self.calibrationCount = calibrationCount
    self.options = options
    heldOut = try samples.selecting(Array(calibrationCount..<samples.count))
    reference = try Self.outputs(of: original, on: heldOut, options: options)[0]
  }

  var sampleCount: Int { samples.count }

  func activations(_ requests: [ActivationRequest], of graph: Graph, samples range: Range<Int>) throws(Failure) -> [Tensor] {
    try Self.values(requests, of: graph, on: samples.selecting(Array(range)), options: options)
  }

  func heldOutLoss(of graph: Graph) throws(Failure) -> Double {
    let logits = try Self.outputs(of: graph, on: heldOut, options: options)[0]
    if let labels = heldOut.labels { return try Logits(logits).crossEntropy(labels) }
    return try Logits(reference).divergence(to: Logits(logits))
  }

  /// `graph` against `original` on the held-out samples.
  func heldOutComparison(of graph: Graph, with original: Graph) throws(Failure) -> Comparison {
    func measured(_ graph: Graph) throws(Failure) -> [MeasuredOutput] {
      zip(graph.outputs, try Self.outputs(of: graph, on: heldOut, options: options)).map { MeasuredOutput(graph[$0].name, $1) }
    }
    return try Comparison(reference: measured(original), model: measured(graph), labels: heldOut.labels, samples: heldOut.count)
  }

  /// All outputs of `graph` over `samples`.
  static func outputs(of graph: Graph, on samples: SampleSet, options: RunOptions) throws(Failure) -> [Tensor] {
    try values(graph.outputs.map { ActivationRequest($0) }, of: graph, on: samples, options: options)
  }

  private static func values(_ requests: [ActivationRequest], of graph: Graph, on samples: SampleSet, options: RunOptions) throws(Failure) -> [Tensor] {
    var parts: [[Tensor]] = Array(repeating: [], count: requests.count)
    let runner = BatchRunner(graph, keeping: requests.map(\.value), options: options)
    try runner.run(samples) { (result, count) throws(Failure) in
      for (index, request) in requests.enumerated() {
        guard let tensor = result.values[request.value], request.batchAxis < tensor.dims.count else {
          throw Failure(.internalError, "the run gives no samples of '\(graph[request.value].name)'")
        }
        parts[index].append(tensor.dims[request.batchAxis] > count ? try tensor.selecting(Array(0..<count), axis: request.batchAxis) : tensor)
      }
    }
    var joined: [Tensor] = []
    for (request, tensors) in zip(requests, parts) { joined.append(try Tensor.concatenating(tensors, axis: request.batchAxis)) }
    return joined
  }
}
