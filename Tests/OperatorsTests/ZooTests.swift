import Diagnostics
import FormatNPZ
import GraphIR
import Inference
import Operators
import Tensors
import TestSupport
import Testing

@Suite struct ZooTests {
  @Test func someModelsAreThere() { #expect(!ZooModel.all.isEmpty) }

  /// The exporter's file names inputs and outputs `in0`, `out0` … or as the graph does.
  @Test(arguments: ZooModel.all) func referenceRunAgreesWithTheRuntime(_ model: ZooModel) throws {
    let graph = try model.graph()
    guard let arrays = try model.arrays() else { return }
    var sink = DiagnosticSink()
    var inputs: [String: Tensor] = [:]
    for (index, id) in graph.inputs.enumerated() {
      let tensor: Tensor = try #require(arrays[graph[id].name] ?? arrays["in\(index)"])
      inputs[graph[id].name] = tensor
    }
    let open = try Inference.infer(graph, sink: &sink)
    #expect(open.untyped.map { graph[$0].name } == [])
    let bound = try Inference.infer(graph, inputShapes: inputs.mapValues(\.dims), sink: &sink)
    #expect(bound.untyped.map { graph[$0].name } == [])
    #expect(sink.diagnostics.map { "\($0.at) \($0.message)" } == [])
    let run = try ReferenceRun(bound, inputs: inputs)
    for (id, tensor) in run.values {
      let shape = try #require(bound.shape(of: id))
      #expect(shape.concrete == tensor.dims, "\(graph[id].name): \(shape) inferred, \(tensor.dims) made")
      #expect(bound.type(of: id)?.element == tensor.elementType, "\(graph[id].name)")
      if let folded = bound.constant(id), folded.count < 10_000 { #expect(relativeError(folded, tensor) == 0, "\(graph[id].name)") }
    }
    for (index, id) in graph.outputs.enumerated() {
      let expected = try #require(arrays[graph[id].name] ?? arrays["out\(index)"])
      #expect(relativeError(try #require(run.values[id]), expected) < 1e-4, "output \(index)")
    }
  }
}
