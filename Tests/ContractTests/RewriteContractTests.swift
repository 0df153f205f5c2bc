import Diagnostics
import Execution
import GraphIR
import Inference
import Operators
import Recognition
import TestSupport
import Tensors
import Testing
import Validation

@testable import Pipeline
@testable import Rewriting

/// Every rewrite of the catalogue is held to what it declares, on trained models of two exporters.
@Suite(.serialized) struct RewriteContractTests {
  static let models = ["digits.legacy17", "digits.dynamo18"]
  static let cases = models.flatMap { model in RewriteCatalogue.all.map { Case(model: model, id: $0.id) } }

  struct Case: Sendable, CustomTestStringConvertible {
    var model: String
    var id: String
    var testDescription: String { "\(id) on \(model)" }
  }

  /// A model, what is recognized in it, and a few samples.
  struct Subject {
    let analysis: ModelAnalysis
    let source: SampleActivations
    let samples: SampleSet
    let rewrite: any Rewrite.Type

    init(_ subject: Case) throws {
      let path = Fixtures.path("models/\(subject.model).onnx")
      analysis = try ModelAnalysis.read(path, shapes: [:])
      samples = try SampleSet.read(Fixtures.path("data/digits.npz"), for: analysis.graph).prefix(24)
      source = try SampleActivations(samples, calibrationCount: 16, original: analysis.graph, options: RunOptions(threads: 1))
      rewrite = try #require(RewriteCatalogue.all.first { $0.id == subject.id })
    }

    func run() -> RewriteRun { RewriteRun(original: analysis.typed, blocks: analysis.recognized.blocks, source: source) }
    func choices(_ parameters: [String], at blocks: [Int]) throws -> [BlockRewrite] {
      let made = try rewrite.init(parameters: parameters)
      return blocks.map { BlockRewrite($0, made) }
    }
    func output(_ graph: Graph) throws -> Tensor {
      try #require(try SampleActivations.outputs(of: graph, on: samples, options: RunOptions(threads: 1)).first)
    }
    /// Parameters away from the neutral setting that need no search.
    var elsewhere: [String] { rewrite.id == OAMixer.id ? ["kappa=0.7"] : [] }
  }

  @Test(arguments: cases) func neutralSettingKeepsItsPromise(_ subject: Case) throws {
    let subject = try Subject(subject)
    guard case .at(let parameters, let exactness) = subject.rewrite.neutral else { return }
    var run = subject.run()
    let blocks = Array(subject.analysis.recognized.blocks.indices)
    #expect(!blocks.isEmpty)
    let rewritten = try run.rewritten(subject.choices(parameters, at: blocks))
    #expect(rewritten.blocks.count == blocks.count)
    let (before, after) = (try subject.output(subject.analysis.graph), try subject.output(rewritten.graph))
    let (a, b) = (try #require(before.doubles()), try #require(after.doubles()))
    #expect(before.dims == after.dims)
    let magnitude = a.reduce(0) { max($0, abs($1)) }
    let worst = zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
    switch exactness {
    case .bitIdentical: #expect(before.elements(as: UInt32.self) == after.elements(as: UInt32.self))
    case .reassociated(let ulps): #expect(worst <= Double(ulps) * 0x1p-24 * magnitude, "\(worst / magnitude)")
    case .approximate, .changesFunction: Issue.record("a neutral setting is exact")
    }
  }

  @Test(arguments: cases) func elsewhereTheFunctionChangesAndTheGraphHolds(_ subject: Case) throws {
    let subject = try Subject(subject)
    let original = subject.analysis.graph
    var run = subject.run()
    let rewritten = try run.rewritten(subject.choices(subject.elsewhere, at: [0, 2]))
    try StructuralVerifier.verify(rewritten.graph)
    let (before, after) = (try #require(subject.output(original).doubles()), try #require(subject.output(rewritten.graph).doubles()))
    let worst = zip(before, after).reduce(0) { max($0, abs($1.0 - $1.1)) }
    #expect(worst > 1e-3 && worst.isFinite, "the setting does something")

    // What the fit says of its cost is what the nodes spend.
    var sink = DiagnosticSink()
    let typed = try Inference.infer(rewritten.graph, sink: &sink)
    let expected = rewritten.blocks.reduce(0) { $0 + $1.fitted.macs - subject.analysis.recognized.blocks[$1.index].cost.macs }
    #expect(typed.cost.macs - subject.analysis.typed.cost.macs == expected)

    // Nodes that stay keep their origins, and new ones name the block's.
    for (id, node) in rewritten.graph.liveNodes {
      if id.index < original.nodes.count {
        #expect(node.origins == original[id].origins)
      } else {
        #expect(!node.origins.isEmpty)
      }
    }
    // Blocks that were not asked for are still there.
    let live = Set(rewritten.graph.order)
    for index in [1, 3] {
      let block = subject.analysis.recognized.blocks[index]
      if case .softmax(let node, _, _, _)? = block.projected?.core { #expect(live.contains(node)) }
    }
  }

  @Test(arguments: cases) func oneBlockBearsOneRewrite(_ subject: Case) throws {
    let subject = try Subject(subject)
    var run = subject.run()
    let choices = try subject.choices(subject.elsewhere, at: [1, 1])
    let failure = try #require(throws: Failure.self) { try run.rewritten(choices) }
    #expect(failure.code == .rewriteRefused)
  }

  @Test func everyRewriteSaysWhatItNeeds() throws {
    for rewrite in RewriteCatalogue.all {
      #expect(!rewrite.summary.isEmpty && !rewrite.parameters.isEmpty)
      for parameter in rewrite.parameters { #expect(!parameter.values.isEmpty && !parameter.standard.isEmpty && !parameter.meaning.isEmpty) }
      guard case .samples = rewrite.calibration else { continue }
      let path = Fixtures.path("models/digits.legacy17.onnx")
      let analysis = try ModelAnalysis.read(path, shapes: [:])
      var run = RewriteRun(original: analysis.typed, blocks: analysis.recognized.blocks, source: nil)
      let made = try rewrite.init(parameters: [])
      let failure = try #require(throws: Failure.self) { try run.rewritten([BlockRewrite(0, made)]) }
      #expect(failure.code == .calibrationData)
    }
  }
}
