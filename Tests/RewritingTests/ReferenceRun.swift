import Diagnostics
import GraphIR
import Operators
import Rewriting
import Tensors

/// Runs a graph node by node with the reference kernels.
func referenceValues(_ graph: Graph, _ inputs: [String: Tensor]) throws -> [ValueID: Tensor] {
  var values: [ValueID: Tensor] = [:]
  func value(_ id: ValueID) throws -> Tensor {
    if let tensor = graph.constant(id) { return tensor }
    if let tensor = values[id] { return tensor }
    throw Failure(.undefinedValue, "no value for '\(graph[id].name)'")
  }
  for id in graph.inputs {
    if let tensor = inputs[graph[id].name] { values[id] = tensor }
  }
  for (_, node) in graph.liveNodes {
    guard let meaning = node.op.semantics else { throw Failure(.operatorNotRunnable, "\(node.op)") }
    let results = try meaning.evaluate(node.inputs.map { try $0.map(value) }, resultCount: node.outputs.count)
    for (output, result) in zip(node.outputs, results) { if let output { values[output] = result } }
  }
  return values
}

/// All samples at once, by the reference kernels.
final class ReferenceSource: ActivationSource {
  let inputs: [String: Tensor]
  let calibrationCount: Int
  let sampleCount: Int
  let loss: (Graph, [ValueID: Tensor]) throws -> Double

  init(_ inputs: [String: Tensor], samples: Int, calibration: Int, loss: @escaping (Graph, [ValueID: Tensor]) throws -> Double = { _, _ in 0 }) {
    self.inputs = inputs
    calibrationCount = calibration
    sampleCount = samples
    self.loss = loss
  }

  func activations(
    _ requests: [ActivationRequest], of graph: Graph, samples: Range<Int>, boundary: ActivationRequest?
  ) throws(Failure) -> [Tensor] {
    do {
      let values = try referenceValues(graph, inputs)
      return try requests.compactMap { try values[$0.value]?.selecting(Array(samples), axis: $0.batchAxis) }
    } catch let failure as Failure { throw failure } catch { throw Failure(.internalError, "\(error)") }
  }

  func heldOutLoss(of graph: Graph) throws(Failure) -> Double {
    do { return try loss(graph, try referenceValues(graph, inputs)) } catch let failure as Failure { throw failure } catch {
      throw Failure(.internalError, "\(error)")
    }
  }
}
