import Diagnostics
import FormatNPZ
import Foundation
import Pipeline
import Reporting
import Rewriting
import Tensors
import TestSupport
import Testing

/// What every rewrite of the catalogue declares, held against what it does to a trained model.
@Suite struct RewriteContractTests {
  static let ids = RewriteCatalogue.all.map { $0.id }
  private static let model = Fixtures.path("models/digits.legacy17.onnx")

  private let folder: URL
  private let samples: String

  /// A few dozen of the digits: enough for every rewrite's need, few enough for a build without optimization.
  init() throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "contract-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    samples = folder.appending(path: "few.npz").path
    let all = try ArrayArchive.read(path: Fixtures.path("data/digits.npz"))
    try ArrayArchive(all.entries.map { ($0.name, try $0.tensor.selecting(Array(0..<40))) }).write(to: samples)
  }

  private func path(_ name: String) -> String { folder.appending(path: name).path }

  private func outputs(of model: String) throws -> [Tensor] {
    let target = path("\(UUID().uuidString).npz")
    _ = try Running.run(model, inputs: samples, output: target)
    return try ArrayArchive.read(path: target).entries.map(\.tensor)
  }

  /// Rewrites all blocks; every one must be rewritten.
  private func convert(_ specification: String) throws -> String {
    let target = path("\(UUID().uuidString).onnx")
    var request = ConversionRequest(input: Self.model, output: target)
    request.rewrites = [specification]
    request.samples = samples
    let report = try Conversion.convert(request)
    #expect(report.blocks.count == 4 && report.blocks.allSatisfy(\.applied), "\(report.blocks)")
    return target
  }

  private func type(_ id: String) throws -> any Rewrite.Type { try #require(RewriteCatalogue.all.first { $0.id == id }) }

  @Test(arguments: ids) func theNeutralSettingLeavesTheFunctionAsItWas(_ id: String) throws {
    guard case .at(let parameters, let exactness) = try type(id).neutral else { return }
    let converted = try convert("\(id):\(parameters.joined(separator: ","))")
    for (before, after) in zip(try outputs(of: Self.model), try outputs(of: converted)) {
      #expect(before.dims == after.dims)
      let (a, b) = (try #require(before.floats()), try #require(after.floats()))
      let largest = a.map(abs).max() ?? 0
      let difference = zip(a, b).map { abs($0 - $1) }.max() ?? 0
      switch exactness {
      case .bitIdentical: #expect(a.map(\.bitPattern) == b.map(\.bitPattern))
      case .reassociated(let ulps): #expect(difference <= Float(ulps) * largest.ulp, "\(difference / largest.ulp) ulps of the largest magnitude")
      case .approximate, .changesFunction: Issue.record("a neutral setting is exact")
      }
    }
  }

  /// Otherwise the test above would hold for a rewrite that does nothing.
  @Test(arguments: ids) func elsewhereTheFunctionChanges(_ id: String) throws {
    let elsewhere = ["fcvit": "fcvit:kernel=3,contexts=1", "oamixer": "oamixer:kappa=1"]
    let converted = try convert(try #require(elsewhere[id], "say in this test which setting of \(id) is not neutral"))
    let changed = zip(try outputs(of: Self.model), try outputs(of: converted)).contains { before, after in before.floats() != after.floats() }
    #expect(changed)
  }

  @Test(arguments: ids) func everyDeclaredParameterIsKnownAndEveryOtherRefused(_ id: String) throws {
    let type = try type(id)
    for parameter in type.parameters {
      // A value that no parameter takes: the complaint must be about the value, not about the name.
      let failure = #expect(throws: Failure.self) { _ = try type.init(parameters: ["\(parameter.name)=!"]) }
      #expect(failure?.code == .rewriteParameter && failure?.message.contains("has no parameter") == false, "\(parameter.name)")
    }
    let failure = #expect(throws: Failure.self) { _ = try type.init(parameters: ["no-such=1"]) }
    #expect(failure?.code == .rewriteParameter)
  }

  @Test(arguments: ids) func missingNeedsAreRefused(_ id: String) throws {
    var request = ConversionRequest(input: Self.model, output: path("none.onnx"))
    request.rewrites = [id]
    let needsSamples = if case .samples = try type(id).calibration { true } else { false }
    guard needsSamples else { return }
    let failure = #expect(throws: Failure.self) { _ = try Conversion.convert(request) }
    #expect(failure?.code == .calibrationData && !FileManager.default.fileExists(atPath: path("none.onnx")))
  }
}
