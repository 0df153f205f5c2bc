import Foundation
import TestSupport
import Testing

@Suite struct InspectTests {
  /// One model of each kind with the truth about its blocks.
  static let models = [
    "vit.legacy17", "vit.dynamo23", "vit.dynamo20_ort", "sepqkv.legacy17_dyn", "torch_encoder.dynamo18", "resnet.legacy17", "mixer.dynamo18",
  ]

  @Test(arguments: models) func jsonFollowsItsSchemaAndTheTruth(_ model: String) throws {
    let outcome = try Program.run("inspect", Fixtures.path("models/zoo/\(model).onnx"), "--json")
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(try JSONSchema(named: "inspect").violations(of: outcome.output) == [])
    let report = try [String: Any](json: outcome.output)
    let found = try #require(report["attention"] as? [[String: Any]])
    let name = model.prefix { $0 != "." }
    let truth = try [String: Any](json: String(contentsOfFile: Fixtures.path("models/zoo/\(name).json"), encoding: .utf8))
    let blocks = try #require(truth["blocks"] as? [[String: Any]])
    #expect(found.count == blocks.count)
    for (block, want) in zip(found, blocks) {
      for key in ["family", "heads", "head_dim", "query_tokens", "key_tokens"] {
        guard let expected = want[key] as? NSObject else { continue }
        #expect((block[key] as? NSObject) == expected, "\(key)")
      }
      if let expected = want["scale"] as? Double { #expect(abs((block["scale"] as? Double ?? 0) - expected) < 1e-6) }
    }
  }

  @Test func textShowsTheBlocks() throws {
    let outcome = try Program.run("inspect", Fixtures.path("models/shapes.legacy17.onnx"))
    #expect(outcome.status == 0 && outcome.errors.isEmpty && !outcome.output.contains("\u{1B}"))
    #expect(outcome.output.contains("attention: 6 blocks") && outcome.output.contains("multiply-adds"))
  }

  /// Windows that are shifted back before they join the residual stream, and a class token that starts one, are nothing
  /// unusual.
  @Test(arguments: ["state_swin.safetensors", "state_cait.h5"]) func theResidualIsFoundBehindShiftsAndTokens(_ file: String) throws {
    let outcome = try Program.run("inspect", Fixtures.path("keras/\(file)"), "--json")
    let report = try [String: Any](json: outcome.output)
    #expect((report["attention"] as? [Any])?.isEmpty == false)
    #expect(!outcome.output.contains("VC4003"), "\(outcome.output)")
  }

  @Test func standardInputGivesTheSameReport() throws {
    let path = Fixtures.path("models/zoo/vit.legacy17.onnx")
    let file = try Program.run("inspect", path, "--json")
    let pipe = try Program.run(["inspect", "-", "--json"], input: path)
    #expect(pipe.status == 0 && pipe.errors.isEmpty)
    #expect(pipe.output.replacingOccurrences(of: "\"path\": \"-\"", with: "\"path\": \"\(path)\"") == file.output)
  }

  @Test func shapesFixSymbolicInputs() throws {
    let path = Fixtures.path("models/zoo/vit.legacy17_dyn.onnx")
    let free = try [String: Any](json: Program.run("inspect", path, "--json").output)
    let inputs = try #require((free["model"] as? [String: Any])?["inputs"] as? [[String: Any]])
    let name = try #require(inputs.first?["name"] as? String)
    var dims = try #require(inputs.first?["shape"] as? [Any])
    #expect(dims.first is String, "the batch is symbolic")
    dims[0] = 3
    let fixed = try Program.run("inspect", path, "--json", "--shape", "\(name)=\(dims.map { "\($0)" }.joined(separator: ","))")
    let model = try #require(try [String: Any](json: fixed.output)["model"] as? [String: Any])
    #expect(((model["outputs"] as? [[String: Any]])?.first?["shape"] as? [Any])?.first as? Int == 3)
    let wrong = try Program.run("inspect", path, "--shape", "\(name)=3,1")
    #expect(wrong.status == 3 && wrong.output.isEmpty)
    let unknown = try Program.run("inspect", path, "--shape", "none=3")
    #expect([2, 3].contains(unknown.status) && unknown.output.isEmpty, "an input that is not there")
  }

  @Test func failOnDecidesTheExitCode() throws {
    let path = Fixtures.path("crashers/operator_unknown.onnx")
    #expect(try Program.run("inspect", path).status == 0)
    #expect(try Program.run("inspect", path, "--fail-on", "warning").status == 1)
  }

  @Test func everyStreamIsChecked() throws {
    let outcome = try Program.run(
      ["-c", "'\(Program.path)' inspect '\(Fixtures.path("models/tiny.onnx"))' > /dev/full"], executable: "/bin/sh")
    #expect(outcome.status == 3 && outcome.errors.contains("VC1004"), "a full disk behind standard output is told")
  }
}
