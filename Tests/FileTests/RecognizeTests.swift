import Canonicalization
import Diagnostics
import GraphIR
import GraphText
import Inference
import Recognition
import TestSupport
import Testing

@Suite struct RecognizeTests {
  static let files = FileTest.all("recognize")

  @Test func thereAreFiles() { #expect(!Self.files.isEmpty) }

  /// Reports blocks with the values they name, near misses, and the token geometry.
  @Test(arguments: files) func rolesAreRight(_ file: FileTest) {
    let problems = file.problems {
      let graph = try GraphParser.parse(file.graphText)
      var sink = DiagnosticSink()
      let canonical = try Canonicalizer.canonicalize(try Inference.infer(graph, sink: &sink))
      let found = AttentionRecognition.recognize(canonical, original: graph)
      func name(_ value: ValueID?) -> String { value.map { "%\(graph[$0].name)" } ?? "none" }
      var lines: [String] = []
      for block in found.blocks {
        lines.append("attention \(block)")
        lines.append("  input=\(name(block.input)) merged=\(name(block.projected?.merged)) output=\(name(block.output)) residual=\(name(block.residualSum))")
        guard let block = block.projected else { continue }
        lines.append("  query=\(name(block.query.weight.value)) key=\(name(block.key.weight.value)) value=\(name(block.value.weight.value))")
        switch block.core {
        case .softmax(_, let scores, let probabilities, let layout): lines.append("  scores=\(name(scores)) probabilities=\(name(probabilities)) \(layout)")
        case .fused: lines.append("  fused")
        }
      }
      for miss in found.nearMisses {
        lines.append("near miss at \(name(graph[miss.at].output(0))): \(miss.lookedLike.rawValue), \(miss.reason)")
      }
      if let geometry = found.geometry {
        lines.append("tokens: \(geometry.prefixTokens) + \(geometry.gridHeight) x \(geometry.gridWidth) + \(geometry.suffixTokens)")
      }
      let facts = found.architecture
      if facts.registerTokens > 0 { lines.append("registers: \(facts.registerTokens)\(facts.positionEmbedding ? ", positions added" : "")") }
      return lines.isEmpty ? ["nothing found"] : lines
    }
    #expect(problems.isEmpty, "\(problems.joined(separator: "\n"))")
  }
}
