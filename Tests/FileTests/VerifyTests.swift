import Diagnostics
import GraphIR
import GraphText
import TestSupport
import Testing

@Suite struct VerifyTests {
  static let files = FileTest.all("verify")

  @Test func thereAreFiles() { #expect(!Self.files.isEmpty) }

  @Test(arguments: files) func keepsTheLaws(_ file: FileTest) {
    let problems = file.problems {
      let graph = try GraphParser.parse(file.graphText)
      try StructuralVerifier.verify(graph)
      return ["\(graph.order.count) nodes"]
    }
    #expect(problems.isEmpty, "\(problems.joined(separator: "\n"))")
  }
}
