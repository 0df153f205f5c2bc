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

  /// Run on numbers of any kind, every value has the type that was inferred.
  @Test(arguments: ZooModel.others) func inferredTypesAreTheTypesMade(_ model: ZooModel) throws {
    let graph = try model.graph()
    var sink = DiagnosticSink()
    let typed = try Inference.infer(graph, sink: &sink)
    #expect(typed.untyped.map { graph[$0].name } == [])
    #expect(sink.diagnostics.map(\.message) == [])
    let bound = try Inference.infer(graph, symbols: Dictionary(uniqueKeysWithValues: typed.symbols.map { ($0, 2) }), sink: &sink)
    var inputs: [String: Tensor] = [:]
    for id in graph.inputs {
      let type = try #require(bound.type(of: id))
      let dims = try #require(type.shape?.concrete)
      let count = dims.reduce(1, *)
      inputs[graph[id].name] =
        type.element == .float32
        ? try Tensor(float32: (0..<count).map { Float($0 % 13) / 13 }, dims: dims) : try Tensor(int64: (0..<count).map { Int64($0 % 2) }, dims: dims)
    }
    let run = try ReferenceRun(bound, inputs: inputs)
    for (id, tensor) in run.values { #expect(bound.type(of: id) == tensor.type, "\(graph[id].name)") }
    for id in graph.outputs { #expect(run.values[id] != nil || graph.constant(id) != nil) }
  }
}
