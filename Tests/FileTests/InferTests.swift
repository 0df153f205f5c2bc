import Diagnostics
import GraphIR
import GraphText
import Inference
import Tensors
import TestSupport
import Testing

@Suite struct InferTests {
  static let files = FileTest.all("infer")

  @Test func thereAreFiles() { #expect(!Self.files.isEmpty) }

  /// Reports the type of every node's results.
  @Test(arguments: files) func typesAreRight(_ file: FileTest) {
    let problems = file.problems {
      var sink = DiagnosticSink()
      let typed = try Inference.infer(try GraphParser.parse(file.graphText), sink: &sink)
      return typed.graph.liveNodes.flatMap { _, node in
        node.outputs.compactMap { $0 }.map { "\(typed.graph[$0].name): \(typed.type(of: $0)?.description ?? "unknown")" }
      } + sink.diagnostics.map { "warning \($0.code.id)" }
    }
    #expect(problems.isEmpty, "\(problems.joined(separator: "\n"))")
  }
}
