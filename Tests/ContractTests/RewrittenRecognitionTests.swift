import Canonicalization
import Diagnostics
import GraphIR
import Inference
import Recognition
import Testing

@testable import Pipeline
@testable import Rewriting

/// What a rewrite makes of a block is recognized as its mechanism again, as one block with nothing beside it.
@Suite(.serialized) struct RewrittenRecognitionTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var subject: RewriteContractTests.Case
    var parameters: [String]
    var testDescription: String { "\(subject.testDescription) with \(parameters.joined(separator: ","))" }
  }

  /// Settings whose results look different.
  static let cases: [Case] = RewriteContractTests.cases.flatMap { subject -> [Case] in
    let settings: [[String]] =
      subject.id == FCViT.id
      ? [
        [], ["contexts=2"], ["kernel=0"], ["kernel=0", "contexts=2"], ["heads=shared"], ["static=on"], ["static=on", "contexts=2", "kernel=3", "filter=head"],
      ]
      : [["kappa=0.7"], ["kappa=0.3", "distance=l1"], ["kappa=0.2", "mask=minus"]]
    return settings.map { Case(subject: subject, parameters: $0) }
  }

  @Test(arguments: cases) func rewrittenBlocksAreNamed(_ setting: Case) throws {
    let subject = try RewriteContractTests.Subject(setting.subject)
    var run = subject.run()
    let rewritten = try run.rewritten(subject.choices(setting.parameters, at: [1, 2]))
    var sink = DiagnosticSink()
    let typed = try Inference.infer(rewritten.graph, sink: &sink)
    let found = AttentionRecognition.recognize(try Canonicalizer.canonicalize(typed), original: rewritten.graph)
    #expect(found.blocks.count == 4, "\(found.blocks)")
    let named = found.blocks.indices.filter { found.blocks[$0].mechanism == setting.subject.id }
    #expect(named.count == 2 && found.blocks.count { $0.mechanism == "softmax" } == 2, "\(found.blocks)")
    #expect(found.nearMisses.isEmpty, "\(found.nearMisses.map { "\(rewritten.graph[$0.at].name): \($0.reason)" })")
    let before = subject.analysis.recognized.blocks[1]
    // A second time there is nothing left to rewrite in them, and the reason says so.
    let again = RewriteRun(original: typed, blocks: found.blocks, source: nil)
    for index in named {
      let block = found.blocks[index]
      #expect(setting.parameters.contains("heads=shared") || block.heads == before.heads)
      #expect(block.queryTokens == before.queryTokens)
      #expect(block.residualAdd != nil)
      for rewrite in RewriteCatalogue.all {
        let reason = again.refusal(BlockRewrite(index, try rewrite.init(parameters: [])))
        #expect(reason?.contains("its mechanism is \(setting.subject.id)") == true, "\(rewrite.id): \(reason ?? "applies")")
      }
    }
  }
}
