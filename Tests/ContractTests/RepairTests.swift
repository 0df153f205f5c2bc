import Diagnostics
import Execution
import Foundation
import GraphIR
import GraphText
import Inference
import Pipeline
import Reporting
import Rewriting
import TestSupport
import Tensors
import Testing

/// Known faults of exporters: found where they are, mended to what the model meant, and nowhere else.
@Suite struct RepairTests {
  /// Distances of 2 x 5 label vectors, as `torch.cdist` of order `p` was exported, with or without the absolute value.
  private static func distances(p: Double, absolute: Bool) -> String {
    """
    graph %distances(%y: f32[2, 5, 3]) -> (%d) {
      %two = constant [2] : i64[1]
      %one = constant [1] : i64[1]
      %last = constant [-1] : i64[1]
      %a = unsqueeze(%y, %two)
      %b = unsqueeze(%y, %one)
      %s = sub(%a, %b)
      \(absolute ? "%t = abs(%s)" : "%t = identity(%s)")
      %p = constant [\(p)] : f32[]
      %q = constant [\(p == 1 ? 0.99999905 : Float(1 / p))] : f32[1]
      %w = pow(\(absolute ? "%t" : "%s"), %p)
      %r = reduce_sum(%w, %last)
      %d = pow(%r, %q)
    }
    """
  }

  private static func typed(_ graph: Graph) throws -> TypedGraph {
    var sink = DiagnosticSink()
    return try Inference.infer(graph, sink: &sink)
  }

  private static func run(_ graph: Graph) throws -> [Double] {
    let y = try Tensor(float32: (0..<30).map { Float(($0 * 7) % 11) / 11 }, dims: [2, 5, 3])
    let result = try Executor(graph).run(["y": y])
    return try #require(result.values[graph.outputs[0]]?.doubles())
  }

  @Test(arguments: [1.0, 3.0]) func distancesTakeAbsoluteDifferences(_ p: Double) throws {
    let broken = try Self.typed(try GraphParser.parse(Self.distances(p: p, absolute: false)))
    let right = try GraphParser.parse(Self.distances(p: p, absolute: true))
    let wrong = try Self.run(broken.graph)
    #expect(wrong.contains { !$0.isFinite })
    let (mended, sites) = try RepairCatalogue.mended(broken)
    #expect(sites.map(\.repair) == ["distance-absolute"])
    for (a, b) in zip(try Self.run(mended), try Self.run(right)) { #expect(abs(a - b) <= 1e-4 * max(1, abs(b))) }
    let again = try Self.typed(mended)
    #expect(RepairCatalogue.sites(in: again).isEmpty, "what is mended has no fault")
  }

  /// Even powers and distances with absolute values are right as they are.
  @Test func rightDistancesStay() throws {
    for text in [Self.distances(p: 2, absolute: false), Self.distances(p: 1, absolute: true), Self.distances(p: 3, absolute: true)] {
      let typed = try Self.typed(try GraphParser.parse(text))
      #expect(RepairCatalogue.sites(in: typed).isEmpty)
      let mended = try RepairCatalogue.mended(typed).graph
      #expect(mended.order == typed.graph.order)
    }
  }

  @Test func dropoutInTrainingIsTakenOut() throws {
    var builder = GraphBuilder(name: "dropout")
    let x = builder.input("x", TensorType(.float32, Shape([4, 8])))
    let ratio = builder.constant("ratio", try Tensor(float32: [0.5], dims: []))
    let mode = builder.constant("mode", try Tensor(.bool, dims: [], values: [UInt8(1)]))
    let dropped = builder.node(.random(RandomOp(.dropout, seed: 1)), [x, ratio, mode], result: "dropped")
    let y = builder.node(.unary(.relu), [dropped], result: "y")
    builder.outputs([y])
    let (mended, sites) = try RepairCatalogue.mended(try Self.typed(try builder.finish()))
    #expect(sites.map(\.repair) == ["training-dropout"])
    #expect(mended.liveNodes.map(\.1.op) == [.unary(.relu)])
  }

  /// Ids are told apart, and each says what it does.
  @Test func repairsAreNamed() {
    #expect(Set(RepairCatalogue.all.map { $0.id }).count == RepairCatalogue.all.count)
    #expect(RepairCatalogue.all.allSatisfy { !$0.summary.isEmpty })
  }

  /// The broken export of object-aware attention gives the numbers of the right one, once it is mended.
  @Test(.enabled(if: Fixtures.shared != nil)) func brokenExportGivesTheRightNumbers() throws {
    let folder = try #require(Fixtures.shared)
    let broken = "\(folder)/vectors/oamixer_cdistbug_legacy.onnx"
    let before = try Inspection.inspect(broken, confirm: .never)
    #expect(before.findings.contains { $0.code == .knownFault && $0.message.contains("distance-absolute") })
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("mended-\(ProcessInfo.processInfo.processIdentifier).onnx").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    var request = ConversionRequest(input: broken, output: path)
    request.repairs = true
    let repairs = try Conversion.convert(request).repairs
    #expect(repairs.map(\.id) == ["distance-absolute"])
    var validation = ValidationRequest(model: path)
    validation.reference = "\(folder)/vectors/oamixer_legacy.onnx"
    let report = try ModelValidation.validate(validation)
    let failed = report.checks.filter { !$0.passed }.map(\.message)
    #expect(failed.isEmpty, "\(failed)")
    let after = try Inspection.inspect(path, confirm: .always)
    #expect(!after.findings.contains { $0.code == .knownFault })
    #expect(after.attention.map(\.mechanism) == ["oamixer"])
    #expect(after.attention.allSatisfy { $0.confirmed == true })
  }
}
