import Canonicalization
import Diagnostics
import GraphText
import Inference
import TestSupport
import Testing

@Suite struct CanonicalizeTests {
  static let files = FileTest.all("canonicalize")

  @Test func thereAreFiles() { #expect(!Self.files.isEmpty) }

  /// Reports the canonical graph as text.
  @Test(arguments: files) func comesToCanonicalForm(_ file: FileTest) {
    let problems = file.problems {
      var sink = DiagnosticSink()
      let typed = try Inference.infer(try GraphParser.parse(file.graphText), sink: &sink)
      let canonical = try Canonicalizer.canonicalize(typed)
      // What is canonical stays as it is.
      let again = try Canonicalizer.canonicalize(canonical)
      #expect(GraphPrinter.print(again.graph) == GraphPrinter.print(canonical.graph))
      return GraphPrinter.print(canonical.graph).split(separator: "\n").map(String.init)
    }
    #expect(problems.isEmpty, "\(problems.joined(separator: "\n"))")
  }
}
