import Canonicalization
import Diagnostics
import GraphIR
import GraphText
import Inference
import Recognition
import Rewriting
import TestSupport
import Testing

@Suite struct RewriteTests {
  static let files = FileTest.all("rewrite")

  @Test func thereAreFiles() { #expect(!Self.files.isEmpty) }

  /// Applies each `; rewrite: ID:key=value,…` to every block, without samples, and reports the graph that comes out, or why
  /// a block is refused.
  @Test(arguments: files) func graphsAreRewritten(_ file: FileTest) {
    let problems = file.problems {
      let graph = try GraphParser.parse(file.graphText)
      var sink = DiagnosticSink()
      let typed = try Inference.infer(graph, sink: &sink)
      let found = AttentionRecognition.recognize(try Canonicalizer.canonicalize(typed), original: graph)
      var run = RewriteRun(original: typed, blocks: found.blocks, source: nil)
      var lines: [String] = []
      for specification in file.arguments("rewrite") {
        let rewrite = try RewriteCatalogue.make(specification)
        let choices = found.blocks.indices.map { BlockRewrite($0, rewrite) }
        for choice in choices { if let reason = run.refusal(choice) { lines.append("refused: \(reason)") } }
        let accepted = choices.filter { run.refusal($0) == nil }
        if !accepted.isEmpty { lines += GraphPrinter.print(try run.rewritten(accepted).graph).split(separator: "\n").map(String.init) }
      }
      return lines
    }
    #expect(problems.isEmpty, "\(problems.joined(separator: "\n"))")
  }
}
