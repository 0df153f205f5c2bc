import Foundation
import TestSupport
import Testing

@Suite struct ValidateTests {
  private static let vit = Fixtures.path("models/zoo/vit.legacy17.onnx")

  private func validate(_ arguments: String...) throws -> (status: Int32, report: [String: Any]) {
    let outcome = try Program.run(["validate"] + arguments + ["--json"])
    #expect(outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(try JSONSchema(named: "validate").violations(of: outcome.output) == [])
    return (outcome.status, try [String: Any](json: outcome.output))
  }

  @Test func alone() throws {
    let (status, report) = try validate(Self.vit)
    #expect(status == 0 && report["verdict"] as? String == "pass" && (report["checks"] as? [Any])?.isEmpty == false)
  }

  /// One network as two exporters wrote it: equal within rounding, and the report says what rounding explains.
  @Test func twoExportsOfOneNetworkAgree() throws {
    let (status, report) = try validate(
      Fixtures.path("models/shapes.dynamo18.onnx"), "--against", Fixtures.path("models/shapes.legacy17.onnx"), "--samples",
      Fixtures.path("data/shapes_test.npz"))
    #expect(status == 0 && report["verdict"] as? String == "pass")
    let comparison = try #require(report["comparison"] as? [String: Any])
    #expect(comparison["top1_agreement"] as? Double == 1 && comparison["samples"] as? Int == 1000)
    #expect(comparison["top1"] as? Double ?? 0 >= 0.92)
    let outputs = try #require(comparison["outputs"] as? [[String: Any]])
    #expect(outputs.allSatisfy { $0["tolerance"] is Double && $0["tolerance_basis"] is String })
  }

  @Test func aChangedModelFailsAndTheFirstDifferenceIsNamed() throws {
    let scratch = try Scratch()
    let model = Fixtures.path("models/digits.legacy17.onnx")
    let samples = Fixtures.path("data/digits.npz")
    let made = try Program.run("convert", model, "-o", scratch.file("b.onnx"), "--rewrite", "fcvit", "--blocks", "1", "--samples", samples)
    #expect(made.status == 0, "\(made.errors)")
    let (status, report) = try validate(scratch.file("b.onnx"), "--against", model, "--samples", samples)
    #expect(status == 1 && report["verdict"] as? String == "fail")
    let comparison = try #require(report["comparison"] as? [String: Any])
    let first = try #require(comparison["first_difference"] as? [String: Any])
    #expect((first["block"] as? String)?.contains("1") ?? false, "\(first)")
    let generous = try validate(scratch.file("b.onnx"), "--against", model, "--samples", samples, "--budget", "nmse=10")
    #expect(generous.status == 0 && generous.report["verdict"] as? String == "pass")
    let strict = try validate(scratch.file("b.onnx"), "--against", model, "--samples", samples, "--budget", "nmse=1e-12")
    #expect(strict.status == 1)
  }

  @Test func modelsThatCannotBeCompared() throws {
    let outcome = try Program.run("validate", Self.vit, "--against", Fixtures.path("models/shapes.legacy17.onnx"))
    #expect([1, 3].contains(outcome.status) && !(outcome.output + outcome.errors).isEmpty)
  }
}
