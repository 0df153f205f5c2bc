import Diagnostics
import FormatNPZ
import GraphIR
import Inference
import Recognition
import TestSupport
import Tensors
import Testing

@testable import Rewriting

/// The additive bias gives what multiplying the map by the mask gives (fixtures/make/vectors.py).
@Suite struct OAMixerTests {
  let archive: ArrayArchive
  let weights: AttentionFixture.Weights

  init() throws {
    archive = try ArrayArchive.read(path: Fixtures.path("data/oamixer.npz"))
    let archive = archive
    func array(_ name: String) throws -> [Double] { try #require(archive[name]?.doubles()) }
    let (qkv, bias) = (try array("p.qkv.weight"), try array("p.qkv.bias"))
    func part(_ i: Int) -> [Double] { transposed(Array(qkv[(i * 1024)..<((i + 1) * 1024)]), rows: 32, columns: 32) }
    func biasPart(_ i: Int) -> [Double] { Array(bias[(i * 32)..<((i + 1) * 32)]) }
    weights = AttentionFixture.Weights(
      query: part(0), key: part(1), value: part(2), output: transposed(try array("p.proj.weight"), rows: 32, columns: 32), queryBias: biasPart(0),
      keyBias: biasPart(1), valueBias: biasPart(2), outputBias: try array("p.proj.bias"), heads: 4, channels: 32, tokens: 17)
  }

  func output(_ parameters: [String], _ fixture: AttentionFixture) throws -> (graph: Graph, output: Tensor) {
    let x = try #require(archive["x"])
    var inputs = ["x": x]
    var fitting = Fitting(source: ReferenceSource(inputs, samples: 2, calibration: 1), original: fixture.graph)
    let fit = try OAMixer(parameters: parameters).fit(fixture.site, &fitting)
    var sink = DiagnosticSink()
    let patched = try fixture.site.original.applying(fit.patch(fixture.site, on: fixture.graph), sink: &sink)
    inputs[OAMixer.labelInput] = archive["patch_class"]
    return (patched.graph, try #require(try referenceValues(patched.graph, inputs)[patched.graph.outputs[0]]))
  }

  func worst(_ a: [Double], _ b: [Double]) -> Double {
    a.count == b.count ? zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } : .infinity
  }

  @Test(
    arguments: [("l1", "exp"), ("cosine", "exp"), ("cosine", "minus")], ["0.0", "0.7"])
  func matchesTheVectors(form: (String, String), kappa: String) throws {
    let (distance, mask) = form
    let wanted = try #require(archive["out_\(distance)_\(mask)_k\(kappa)"]?.doubles())
    for scores in [AttentionFixture.Scores.separate, .merged] {
      let fixture = try AttentionFixture(weights, element: .float32, scores: scores)
      let run = try output(["kappa=\(kappa)", "labels=input", "distance=\(distance)", "mask=\(mask)"], fixture)
      #expect(worst(try #require(run.output.doubles()), wanted) < 1e-5)
    }
  }

  @Test func differenceOfDistributionsMinusIsRefused() throws {
    #expect(throws: Failure.self) { try OAMixer(parameters: ["distance=l1", "mask=minus"]) }
    #expect(throws: Failure.self) { try OAMixer(parameters: ["mask=minus", "kappa=0.7"]) }
    #expect(throws: Failure.self) { try OAMixer(parameters: ["mask=minus", "kappa=1.5", "labels=input"]) }
    #expect(throws: Failure.self) { try OAMixer(parameters: ["kappa=-1"]) }
  }

  @Test func zeroInsertsNothing() throws {
    let fixture = try AttentionFixture(weights, element: .float32)
    let plain = try referenceValues(fixture.graph, ["x": try #require(archive["x"])])
    for labels in ["tokens", "input"] {
      let run = try output(["kappa=0", "labels=\(labels)"], fixture)
      #expect(run.graph.order == fixture.graph.order)
      #expect(run.graph.inputs == fixture.graph.inputs)
      #expect(run.output.elements(as: UInt32.self) == plain[fixture.graph.outputs[0]]?.elements(as: UInt32.self))
    }
  }

  @Test func tokensServeAsLabels() throws {
    let fixture = try AttentionFixture(weights, element: .float32)
    let plain = try output(["kappa=0"], fixture).output
    let mixed = try output(["kappa=0.7"], fixture)
    #expect(mixed.graph.inputs == fixture.graph.inputs)
    let difference = worst(try #require(plain.doubles()), try #require(mixed.output.doubles()))
    #expect(difference > 1e-4 && difference.isFinite)
    let listed = try output(["kappa=0.7", "2"], fixture).output
    #expect(listed.elements(as: UInt32.self) == mixed.output.elements(as: UInt32.self))
  }

  @Test func searchFindsTheLeastLoss() throws {
    let fixture = try AttentionFixture(weights, element: .float32)
    let x = try #require(archive["x"])
    let goal = try #require(output(["kappa=0.8"], fixture).output.doubles())
    let source = ReferenceSource(["x": x], samples: 2, calibration: 1) { graph, values in
      let got = values[graph.outputs[0]]?.doubles() ?? []
      return zip(got, goal).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    }
    var fitting = Fitting(source: source, original: fixture.graph)
    let fit = try #require(try OAMixer(parameters: []).fit(fixture.site, &fitting) as? FittedOAMixer)
    #expect(abs(fit.kappa - 0.8) < 0.07)
    #expect(fit.loss != nil)
  }
}
