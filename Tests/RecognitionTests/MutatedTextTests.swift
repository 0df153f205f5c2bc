import Canonicalization
import Diagnostics
import GraphIR
import GraphText
import Inference
import Recognition
import TestSupport
import Testing

/// Graphs with wrong numbers in them: everything either fails with a code or is told apart, nothing traps.
@Suite struct MutatedTextTests {
  static let files = FileTest.all("recognize") + FileTest.all("canonicalize")

  @Test(arguments: files) func wrongNumbersAreSurvived(_ file: FileTest) {
    var state: UInt64 = 42
    func next(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    let words = pieces(file.graphText)
    let numbers = words.indices.filter { Int(words[$0].drop { $0 == " " }) != nil }
    let wrong = ["0", "1", "2", "-1", "3", "5", "17", "-9223372036854775808", "9223372036854775807", "4611686018427387904", "1099511627776", "b", "4*b", "-2"]
    var outcomes = (found: 0, failed: 0)
    for _ in 0..<60 where !numbers.isEmpty {
      var mutated = words
      for _ in 0...next(3) { mutated[numbers[next(numbers.count)]] = wrong[next(wrong.count)] }
      do {
        let graph = try GraphParser.parse(mutated.joined())
        var sink = DiagnosticSink()
        let canonical = try Canonicalizer.canonicalize(try Inference.infer(graph, sink: &sink))
        let found = AttentionRecognition.recognize(canonical, original: graph)
        for block in found.blocks { #expect((block.output?.index ?? 0) < graph.values.count) }
        outcomes.found += 1
      } catch {
        outcomes.failed += 1
      }
    }
    #expect(numbers.isEmpty || outcomes.found + outcomes.failed == 60)
  }

  /// The text cut at brackets and commas.
  private func pieces(_ text: String) -> [String] {
    var result = [""]
    for character in text {
      if "[],".contains(character) { result += [String(character), ""] } else { result[result.count - 1].append(character) }
    }
    return result
  }

  /// Work grows with the graph, and names stay apart, in a model of many blocks without any name.
  @Test func manyBlocksAreFound() throws {
    var text = "graph %deep(%x0: f32[b, 9, 8]) -> (%x120) {\n  %five = constant [-1, 9, 3, 2, 4] : i64[5]\n  %three = constant [-1, 9, 8] : i64[3]\n"
    text += "  %axis = constant [0] : i64[1]\n  %w = weight : f32[8, 24]\n  %o = weight : f32[8, 8]\n"
    for index in 0..<120 {
      text += """
          %m\(index) = matmul(%x\(index), %w)
          %r\(index) = reshape(%m\(index), %five)
          %t\(index) = transpose(%r\(index)) {perm = [2, 0, 3, 1, 4]}
          %a\(index), %b\(index), %c\(index) = split(%t\(index)) {axis = 0}
          %q\(index) = squeeze(%a\(index), %axis)
          %k\(index) = squeeze(%b\(index), %axis)
          %v\(index) = squeeze(%c\(index), %axis)
          %kt\(index) = transpose(%k\(index)) {perm = [0, 1, 3, 2]}
          %s\(index) = matmul(%q\(index), %kt\(index))
          %p\(index) = softmax(%s\(index))
          %h\(index) = matmul(%p\(index), %v\(index))
          %ht\(index) = transpose(%h\(index)) {perm = [0, 2, 1, 3]}
          %g\(index) = reshape(%ht\(index), %three)
          %y\(index) = matmul(%g\(index), %o)
          %x\(index + 1) = add(%x\(index), %y\(index))

        """
    }
    let graph = try GraphParser.parse(text + "}\n")
    var sink = DiagnosticSink()
    let canonical = try Canonicalizer.canonicalize(try Inference.infer(graph, sink: &sink))
    let found = AttentionRecognition.recognize(canonical, original: graph)
    #expect(found.blocks.count == 120)
    #expect(Set(found.blocks.map(\.facts)).count == 1)
    #expect(found.blocks.last?.name == "attention_119")
  }
}
