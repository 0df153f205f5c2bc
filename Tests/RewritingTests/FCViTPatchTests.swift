import Diagnostics
import FormatNPZ
import GraphIR
import Inference
import Operators
import Recognition
import TestSupport
import Tensors
import Testing

@testable import Rewriting

/// The patch computes what the fit says: graphs are run by the reference kernels in float64.
@Suite(.serialized) struct FCViTPatchTests {
  let archive: ArrayArchive
  let weights: AttentionFixture.Weights
  let samples: Tensor

  init() throws {
    archive = try ArrayArchive.read(path: Fixtures.path("data/fcvit_conversion.npz"))
    let archive = archive
    func array(_ name: String) throws -> [Double] { try #require(archive[name]?.doubles()) }
    func inOut(_ name: String) throws -> [Double] { transposed(try array(name), rows: 32, columns: 32) }
    weights = AttentionFixture.Weights(
      query: try inOut("Wq"), key: try inOut("Wk"), value: try inOut("Wv"), output: try inOut("Wo"), queryBias: try array("bq"), keyBias: try array("bk"),
      valueBias: try array("bv"), outputBias: try array("bo"), heads: 4, channels: 32, tokens: 65)
    samples = try #require(archive["X"])
  }

  /// Fits with the calibration samples and gives the outputs of both graphs on the held-out ones.
  func converted(_ parameters: [String], _ fixture: AttentionFixture, element: ElementType = .float64, samples count: Int = 12) throws -> (
    fit: FittedFCViT, patched: TypedGraph, before: Tensor, after: Tensor, mergedBefore: Tensor, mergedAfter: Tensor?
  ) {
    let used = try samples.selecting(Array(0..<count))
    let x = element == .float64 ? used : try Tensor(float32: #require(used.floats()), dims: used.dims)
    let ordered = fixture.site.block.inputLayout == .batchFirst ? x : try tokenFirst(x)
    let source = ReferenceSource(["x": ordered], samples: count, calibration: count * 3 / 4)
    var fitting = Fitting(source: source, original: fixture.graph)
    let fit = try #require(try FCViT(parameters: parameters).fit(fixture.site, &fitting) as? FittedFCViT)
    let patch = try fit.patch(fixture.site, on: fixture.graph)
    var sink = DiagnosticSink()
    let patched = try fixture.site.original.applying(patch, sink: &sink)
    let held = try used.selecting(Array((count * 3 / 4)..<count))
    let typed = element == .float64 ? held : try Tensor(float32: #require(held.floats()), dims: held.dims)
    let input = fixture.site.block.inputLayout == .batchFirst ? typed : try tokenFirst(typed)
    let before = try referenceValues(fixture.graph, ["x": input])
    let after = try referenceValues(patched.graph, ["x": input])
    let merged = try #require(fixture.graph.values.handles.first { fixture.graph[$0].name == "merged" })
    let newMerged = patch.replaced.first { $0.old == merged }?.new
    return (
      fit, patched, try #require(before[fixture.graph.outputs[0]]), try #require(after[patched.graph.outputs[0]]), try #require(before[merged]),
      newMerged.flatMap { after[$0] }
    )
  }

  func tokenFirst(_ tensor: Tensor) throws -> Tensor {
    let (b, n, c) = (tensor.dims[0], tensor.dims[1], tensor.dims[2])
    let values = try #require(tensor.doubles())
    var result: [Double] = []
    for t in 0..<n { for s in 0..<b { result += values[((s * n + t) * c)..<((s * n + t + 1) * c)] } }
    return tensor.elementType == .float64
      ? try Tensor(float64: result, dims: [n, b, c]) : try Tensor(float32: result.map { Float($0) }, dims: [n, b, c])
  }

  func patchRows(_ tensor: Tensor) throws -> [Double] {
    let values = try #require(tensor.doubles())
    let size = tensor.dims[1] * tensor.dims[2]
    return (0..<tensor.dims[0]).flatMap { values[($0 * size + tensor.dims[2])..<(($0 + 1) * size)] }
  }

  func someBias() -> [Double] {
    var result: [Double] = []
    for index in 0..<(4 * 65 * 65) {
      let step: Int = (index * 7919) % 101
      result.append(Double(step) / 50 - 1)
    }
    return result
  }

  func worst(_ a: [Double], _ b: [Double]) -> Double {
    a.count == b.count ? zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } : .infinity
  }

  @Test(arguments: [ElementType.float64, .float32]) func outputIsTheOracles(element: ElementType) throws {
    let run = try converted(["kernel=5"], try AttentionFixture(weights, element: element), element: element, samples: 32)
    let rows = try patchRows(#require(run.mergedAfter))
    #expect(worst(rows, try #require(archive["Ohat_test"]?.doubles())) < (element == .float64 ? 1e-7 : 1e-5))
    // The class row is exact.
    let (a, b) = (try #require(run.mergedBefore.doubles()), try #require(run.mergedAfter?.doubles()))
    for sample in 0..<8 {
      let start = sample * 65 * 32
      #expect(worst(Array(a[start..<(start + 32)]), Array(b[start..<(start + 32)])) < (element == .float64 ? 1e-12 : 1e-5))
    }
  }

  static let settings = [
    ["kernel=3"], ["kernel=0"], ["kernel=7", "contexts=2"], ["kernel=5", "contexts=3"], ["kernel=3", "contexts=4"], ["kernel=0", "contexts=2x4"],
    ["temperature=on"], ["temperature=on", "contexts=2"], ["heads=shared"], ["heads=shared", "contexts=2", "temperature=on"], ["static=on"],
    ["static=on", "contexts=2", "temperature=on"], ["static=on", "heads=shared"], ["filter=head", "kernel=3"], ["contexts=7"],
  ]

  @Test(arguments: settings) func graphAndFitAgree(parameters: [String]) throws {
    for bias in [false, true] {
      if bias, parameters.contains(where: { $0.hasPrefix("kernel") }) { continue }
      var weights = weights
      if bias { weights.scoreBias = someBias() }
      let fixture = try AttentionFixture(weights)
      let run = try converted(parameters, fixture)
      let (wanted, got) = (try patchRows(run.mergedBefore), try patchRows(#require(run.mergedAfter)))
      var (error, variance) = (0.0, 0.0)
      for c in 0..<32 {
        var column: [Double] = []
        for index in stride(from: c, to: wanted.count, by: 32) { column.append(wanted[index]) }
        let mean: Double = column.reduce(0, +) / Double(column.count)
        for value in column { variance += (value - mean) * (value - mean) }
      }
      for (a, b) in zip(got, wanted) { error += (a - b) * (a - b) }
      let measured = error / variance
      #expect(abs(measured - run.fit.fit.heldOutError) < 1e-9 * max(1, measured), "\(parameters): \(measured) and \(run.fit.fit.heldOutError)")
      #expect(measured > 1e-6, "the output differs")
      #expect(run.patched.cost.macs == run.fit.macs, "\(parameters)")
    }
  }

  @Test func asManyContextsAsPatchesIsExact() throws {
    for bias in [false, true] {
      var weights = weights
      if bias { weights.scoreBias = someBias() }
      for parameters in [["contexts=8"], ["contexts=grid"]] {
        let run = try converted(parameters, try AttentionFixture(weights))
        #expect(worst(try #require(run.before.doubles()), try #require(run.after.doubles())) < 1e-12)
        #expect(run.patched.cost.macs == run.fit.macs)
      }
    }
  }

  @Test func otherTokenOrders() throws {
    let plain = try converted(["kernel=3", "contexts=2"], try AttentionFixture(weights))
    let turned = try converted(["kernel=3", "contexts=2"], try AttentionFixture(weights, order: .tokenFirst))
    #expect(worst(try #require(tokenFirst(plain.after).doubles()), try #require(turned.after.doubles())) < 1e-12)
    #expect(turned.mergedAfter == nil)
  }

  @Test func nodesOutsideTheBlockKeepTheirOrigins() throws {
    let fixture = try AttentionFixture(weights)
    let run = try converted([], fixture)
    for (id, node) in run.patched.graph.liveNodes where id.index < fixture.graph.nodes.count { #expect(node.origins == fixture.graph[id].origins) }
    #expect(run.patched.graph.liveNodes.contains { $0.0.index >= fixture.graph.nodes.count })
  }

  @Test func refusalsHaveReasons() throws {
    let fixture = try AttentionFixture(weights)
    func refusal(_ parameters: [String] = [], _ change: (inout ProjectedAttention) -> Void) throws -> String? {
      var site = fixture.site
      change(&site.block)
      return try FCViT(parameters: parameters).refusal(site)
    }
    #expect(try refusal { _ in } == nil)
    #expect(try refusal { $0.causal = true }?.contains("causal") == true)
    #expect(try refusal { $0.family = .cross }?.contains("cross") == true)
    #expect(try refusal { $0.bias = .computed($0.input) }?.contains("computed") == true)
    #expect(try refusal { $0.bias = .mask($0.input) }?.contains("masked") == true)
    #expect(try refusal { $0.qkNorm = "rms" }?.contains("rms") == true)
    #expect(try refusal { $0.mechanism = "vars" }?.contains("vars") == true)
    #expect(try refusal { $0.keyInput = $0.output }?.contains("other tokens") == true)
    #expect(try refusal { $0.queryTokens = Dim(symbol: "n") }?.contains("not fixed") == true)
    #expect(try refusal { ($0.queryTokens, $0.keyTokens) = (90, 99) } != nil)
    #expect(try refusal { ($0.queryTokens, $0.keyTokens) = (140, 140) }?.contains("no patch grid") == true)
    #expect(try refusal(["contexts=9"]) { _ in }?.contains("more than the grid") == true)
  }
}
