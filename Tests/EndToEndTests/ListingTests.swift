import FormatNPZ
import Foundation
import TestSupport
import Tensors
import Testing

/// Files that hold weights and tell no graph: a subclassed Keras model, and a state dictionary without its heads.
@Suite struct ListingTests {
  private static let subclassed = Fixtures.path("keras/subclassed.keras")
  private static let openWeights = Fixtures.path("keras/state_vit.h5")

  @Test func inspectTellsWhatWeightsTell() throws {
    let outcome = try Program.run("inspect", Self.subclassed, "--json")
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(try JSONSchema(named: "inspect").violations(of: outcome.output) == [])
    let report = try [String: Any](json: outcome.output)
    let blocks = try #require(report["attention"] as? [[String: Any]])
    #expect(blocks.map { $0["name"] as? String } == ["attention"])
    #expect(blocks.first?["heads"] as? Int == 2 && blocks.first?["head_dim"] as? Int == 4 && blocks.first?["confirmed"] is NSNull)
    let text = try Program.run("inspect", Self.subclassed).output
    #expect(text.contains("told by names and shapes of weights alone") && text.contains("weight  attention/query_dense/vars/0"))
    #expect(!text.contains("cost") && !text.contains("operators"), "there is nothing to compute")
  }

  @Test func inspectAsksForHeadsAndListsTheRest() throws {
    let open = try Program.run("inspect", Self.openWeights, "--json")
    #expect(open.status == 0 && open.output.contains("VC2009") && open.output.contains("--heads N"))
    let told = try Program.run("inspect", Self.openWeights, "--heads", "2", "--json")
    #expect(told.status == 0 && !told.output.contains("VC2009"))
  }

  /// Weights are checked without their architecture, and the check says what it left out.
  @Test(arguments: [subclassed, openWeights]) func validateChecksTheWeights(_ path: String) throws {
    let outcome = try Program.run("validate", path)
    #expect(outcome.status == 0 && outcome.output.contains("weights-finite") && outcome.output.contains("not run"))
  }

  /// What computes with a model refuses, and says why; nothing is written.
  @Test(arguments: [(subclassed, "VC6009"), (openWeights, "VC2009")]) func nothingElseIsMadeUp(_ path: String, _ code: String) throws {
    let scratch = try Scratch()
    try ArrayArchive([(name: "in0", tensor: try Tensor(float32: [1], dims: [1, 1]))]).write(to: scratch.file("x.npz"))
    for arguments in [
      ["bench", path], ["run", path, "--inputs", scratch.file("x.npz"), "-o", scratch.file("y.npz")], ["validate", path, "--against", path],
    ] {
      let outcome = try Program.run(arguments)
      #expect(outcome.status == 3 && outcome.output.isEmpty && outcome.errors.contains("(\(code))"), "\(arguments[0]): \(outcome.errors)")
    }
    #expect(scratch.contents == ["x.npz"])
  }

  /// Who names other arrays gets those of the file, and is told that nothing took theirs.
  @Test func runningWeightsGivesThem() throws {
    let scratch = try Scratch()
    try ArrayArchive([(name: "pixels", tensor: try Tensor(float32: [1], dims: [1, 1]))]).write(to: scratch.file("x.npz"))
    let outcome = try Program.run("run", Self.subclassed, "--inputs", scratch.file("x.npz"), "-o", scratch.file("y.npz"))
    #expect(outcome.status == 0 && outcome.errors.contains("'pixels'") && outcome.errors.contains("VC6009"))
    #expect(try ArrayArchive.read(path: scratch.file("y.npz")).names.contains("attention/query_dense/vars/0"))
  }

  @Test func weightsAreCopiedWithoutTheirArchitecture() throws {
    let scratch = try Scratch()
    let outcome = try Program.run("convert", Self.openWeights, "-o", scratch.file("copy.safetensors"))
    #expect(outcome.status == 0 && outcome.errors.contains("warning") && outcome.errors.contains("VC2009"))
    #expect(try Program.run("convert", Self.openWeights, "-o", scratch.file("copy.onnx")).status == 3)
    #expect(scratch.contents == ["copy.safetensors"])
    let proof = try Program.run("validate", scratch.file("copy.safetensors"), "--against", Self.openWeights, "--heads", "2")
    #expect(proof.status == 0, "\(proof.errors)")
  }
}
