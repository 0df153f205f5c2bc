import Diagnostics
import FormatNPZ
import GraphIR
import Inference
import Operators
import Tensors
import TestSupport
import Testing

/// Shapes inferred with symbols and then given numbers are the shapes inferred with the numbers.
@Suite struct SymbolicInferenceTests {
  @Test(arguments: ZooModel.all.filter { $0.description.hasSuffix("_dyn") })
  func substitutionAgreesWithConcreteInference(_ model: ZooModel) throws {
    let graph = try model.graph()
    var sink = DiagnosticSink()
    let open = try Inference.infer(graph, sink: &sink)
    #expect(sink.diagnostics.isEmpty)
    let symbols = open.symbols
    #expect(!symbols.isEmpty)
    for size in [1, 2, 7] {
      let values = Dictionary(uniqueKeysWithValues: symbols.map { ($0, size) })
      let bound = try Inference.infer(graph, symbols: values, sink: &sink)
      for id in graph.order {
        for output in graph[id].outputs.compactMap({ $0 }) {
          let shape = try #require(open.shape(of: output))
          #expect(shape.dims.allSatisfy { $0.symbols.isSubset(of: symbols) }, "\(graph[output].name) has shape \(shape)")
          #expect(shape.substituting(values) == bound.shape(of: output), "\(graph[output].name): \(shape) with \(values)")
          if case .symbolic(let vector)? = open.known(output) {
            #expect(vector.elements.map { $0.substituting(values)?.value } == bound.known(output)?.integers, "\(graph[output].name)")
          }
        }
      }
    }
  }
}
