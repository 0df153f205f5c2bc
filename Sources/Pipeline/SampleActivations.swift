internal import Diagnostics
internal import Execution
internal import GraphIR
internal import Rewriting
internal import Tensors

/// Activations and losses of graphs on the samples of a conversion, run in batches on the CPU.
struct SampleActivations: ActivationSource {
  /// Calibration samples first, then those held out.
  let samples: SampleSet
  let calibrationCount: Int
  let options: RunOptions
  /// Samples of one pass: enough to keep the cores busy, few enough for the activations to stay small.
  static let batch = 64

  var sampleCount: Int { samples.count }

  func activations(_ requests: [ActivationRequest], of graph: Graph) throws(Failure) -> [Tensor] {
    var parts: [[Tensor]] = Array(repeating: [], count: requests.count)
    try run(graph, over: 0..<samples.count, keeping: requests.map(\.value)) { (result) throws(Failure) in
      for (index, request) in requests.enumerated() {
        guard let tensor = result.values[request.value] else { throw Failure(.internalError, "the run left out '\(graph[request.value].name)'") }
        parts[index].append(tensor)
      }
    }
    var joined: [Tensor] = []
    for (request, tensors) in zip(requests, parts) { joined.append(try Tensor.concatenating(tensors, axis: request.batchAxis)) }
    return joined
  }
}
