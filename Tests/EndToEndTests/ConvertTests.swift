import Foundation
import TestSupport
import Testing

@Suite struct ConvertTests {
  private static let vit = Fixtures.path("models/zoo/vit.legacy17.onnx")
  private static let digits = Fixtures.path("models/digits.legacy17.onnx")
  private static let samples = Fixtures.path("data/digits.npz")

  @Test func aCopyComputesTheSame() throws {
    let scratch = try Scratch()
    let outcome = try Program.run("convert", Self.vit, "-o", scratch.file("copy.onnx"), "--json")
    #expect(outcome.status == 0 && outcome.errors.isEmpty && scratch.contents == ["copy.onnx"])
    #expect(try JSONSchema(named: "convert").violations(of: outcome.output) == [])
    let proof = try Program.run("validate", scratch.file("copy.onnx"), "--against", Self.vit, "--json")
    #expect(proof.status == 0 && proof.errors.isEmpty)
    let comparison = try #require(try [String: Any](json: proof.output)["comparison"] as? [String: Any])
    #expect(comparison["max_abs"] as? Double == 0)
  }

  @Test func rewritesAreReportedBlockByBlock() throws {
    let scratch = try Scratch()
    let outcome = try Program.run(
      "convert", Self.digits, "-o", scratch.file("out.onnx"), "--rewrite", "fcvit:kernel=3", "--blocks", "0,2", "--samples", Self.samples,
      "--report", scratch.file("report.json"), "--json")
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(scratch.contents == ["out.onnx", "report.json"])
    #expect(try String(contentsOfFile: scratch.file("report.json"), encoding: .utf8) == outcome.output)
    #expect(try JSONSchema(named: "convert").violations(of: outcome.output) == [])
    let blocks = try #require(try [String: Any](json: outcome.output)["blocks"] as? [[String: Any]])
    #expect(blocks.map { $0["index"] as? Int } == [0, 2])
    #expect(blocks.allSatisfy { $0["applied"] as? Bool == true && $0["nmse"] is Double })
    let after = try [String: Any](json: Program.run("inspect", scratch.file("out.onnx"), "--json").output)
    let left = (after["attention"] as? [[String: Any]])?.filter { $0["family"] as? String == "self" }
    #expect(left?.count == 2, "four blocks, of which two are left as they were")
  }

  @Test func aBrokenBudgetExitsWith1() throws {
    let scratch = try Scratch()
    let outcome = try Program.run(
      "convert", Self.digits, "-o", scratch.file("out.onnx"), "--rewrite", "fcvit:kernel=3", "--budget", "nmse=0", "--samples", Self.samples)
    #expect(outcome.status == 1, "\(outcome.errors)")
  }

  @Test func theInputIsNeverOverwritten() throws {
    let scratch = try Scratch()
    try FileManager.default.copyItem(atPath: Self.vit, toPath: scratch.file("a.onnx"))
    try FileManager.default.createSymbolicLink(atPath: scratch.file("link.onnx"), withDestinationPath: scratch.file("a.onnx"))
    for target in ["a.onnx", "link.onnx"] {
      let outcome = try Program.run("convert", scratch.file("a.onnx"), "-o", scratch.file(target))
      #expect(outcome.status == 3 && outcome.errors.contains("VC1004"), "\(outcome.errors)")
    }
    #expect(FileManager.default.contentsEqual(atPath: scratch.file("a.onnx"), andPath: Self.vit))
    #expect(scratch.contents == ["a.onnx", "link.onnx"])
  }

  @Test func outputsThatCannotBeWritten() throws {
    let scratch = try Scratch()
    try FileManager.default.createDirectory(atPath: scratch.file("folder.onnx"), withIntermediateDirectories: false)
    for target in [scratch.file("none/out.onnx"), scratch.file("folder.onnx"), "/dev/null/out.onnx"] {
      let outcome = try Program.run("convert", Self.vit, "-o", target)
      #expect(outcome.status == 3 && outcome.errors.contains("VC1004"), "\(target): \(outcome.errors)")
    }
    let suffix = try Program.run("convert", Self.vit, "-o", scratch.file("out.txt"))
    #expect(suffix.status == 2 && suffix.errors.contains(".onnx"), "\(suffix.errors)")
    #expect(scratch.contents == ["folder.onnx"])
  }

  @Test func aFullDiskLeavesNothing() throws {
    let scratch = try Scratch()
    // The shell's limit on file sizes, in blocks, stands in for the end of a disk.
    let script = "ulimit -f 8; exec '\(Program.path)' convert '\(Self.vit)' -o '\(scratch.file("out.onnx"))'"
    let outcome = try Program.run(["-c", script], executable: "/bin/bash")
    #expect(outcome.status == 3 && outcome.errors.contains("VC1004"), "\(outcome.errors)")
    #expect(scratch.contents == [])
  }

  @Test(arguments: [
    ("nonsense", "VC7101"), (":kernel=3", "VC7101"), ("fcvit:kernel", "VC7102"), ("fcvit:bogus=1", "VC7102"), ("fcvit:kernel=2", "VC7102"),
    ("fcvit:kernel=x", "VC7102"), ("oamixer:kappa=nan", "VC7102"),
  ])
  func wrongRewritesExitWith2(_ rewrite: String, _ code: String) throws {
    let scratch = try Scratch()
    let outcome = try Program.run("convert", Self.digits, "-o", scratch.file("out.onnx"), "--rewrite", rewrite, "--samples", Self.samples)
    #expect(outcome.status == 2 && outcome.errors.contains(code), "\(outcome.errors)")
    #expect(scratch.contents == [])
  }

  @Test func blocksThatAreNotThere() throws {
    let scratch = try Scratch()
    for blocks in ["9", "0-9", "nothing.*", "3-1"] {
      let outcome = try Program.run("convert", Self.digits, "-o", scratch.file("out.onnx"), "--rewrite", "fcvit", "--blocks", blocks, "--samples", Self.samples)
      #expect(outcome.status == 2, "\(blocks): \(outcome.errors)")
    }
    #expect(scratch.contents == [])
  }

  /// A model that Keras trained, rewritten and written for it again: both containers and ONNX compute the same.
  @Test(arguments: ["fcvit", "oamixer:kappa=2"])
  func rewrittenForKeras(_ rewrite: String) throws {
    let scratch = try Scratch()
    let model = Fixtures.path("keras/digits.keras")
    let samples = Fixtures.path("data/digits_nhwc.npz")
    for (name, format) in [("a.onnx", "onnx"), ("a.keras", "keras"), ("a.h5", "keras-h5")] {
      let outcome = try Program.run(
        "convert", model, "-o", scratch.file(name), "--format", format, "--rewrite", rewrite, "--blocks", "0,1", "--samples", samples)
      #expect(outcome.status == 0, "\(outcome.errors)")
    }
    let again = try Program.run("convert", scratch.file("a.keras"), "-o", scratch.file("again.onnx"))
    #expect(again.status == 0, "\(again.errors)")
    for name in ["a.keras", "a.h5", "again.onnx"] {
      let proof = try Program.run("validate", scratch.file(name), "--against", scratch.file("a.onnx"), "--samples", samples, "--json")
      #expect(proof.status == 0, "\(name): \(proof.errors)")
      let comparison = try #require(try [String: Any](json: proof.output)["comparison"] as? [String: Any])
      let largest = try #require(comparison["max_abs"] as? Double)
      #expect(largest < 1e-4, "\(name): \(largest)")
    }
  }

  @Test func kerasAndBack() throws {
    let scratch = try Scratch()
    let written = try Program.run("convert", Self.vit, "-o", scratch.file("vit.keras"))
    #expect(written.status == 0, "\(written.errors)")
    let proof = try Program.run("validate", scratch.file("vit.keras"), "--against", Self.vit)
    #expect(proof.status == 0, "\(proof.errors)")
    #expect(try Program.run("convert", Self.vit, "-o", scratch.file("vit.h5"), "--format", "keras-h5").status == 0)
    #expect(try Program.run("inspect", scratch.file("vit.h5")).output.contains("KERAS"))
    #expect(scratch.contents == ["vit.h5", "vit.keras"])
  }

  @Test func stateDictionariesHoldTheirGraph() throws {
    let scratch = try Scratch()
    for name in ["w.h5", "w.safetensors"] {
      #expect(try Program.run("convert", Self.vit, "-o", scratch.file(name)).status == 0)
      let proof = try Program.run("validate", scratch.file(name), "--against", Self.vit, "--json")
      let comparison = try [String: Any](json: proof.output)["comparison"] as? [String: Any]
      #expect(proof.status == 0 && comparison?["max_abs"] as? Double == 0, "\(proof.errors)")
    }
  }

  @Test func aRewrittenKerasModelIsProved() throws {
    let scratch = try Scratch()
    let model = Fixtures.path("keras/vit.keras")
    for name in ["out.onnx", "out.keras"] {
      let outcome = try Program.run("convert", model, "-o", scratch.file(name), "--rewrite", "oamixer:kappa=0", "--json")
      #expect(outcome.status == 0, "\(outcome.errors)")
      let blocks = try [String: Any](json: outcome.output)["blocks"] as? [[String: Any]]
      #expect(blocks?.contains { $0["applied"] as? Bool == true } == true)
      let proof = try Program.run("validate", scratch.file(name), "--against", model)
      #expect(proof.status == 0, "\(name): \(proof.output) \(proof.errors)")
    }
  }

  @Test func operatorSetsAndLayouts() throws {
    let scratch = try Scratch()
    let model = Fixtures.path("keras/cnn.keras")
    for opset in [17, 20, 23] {
      let outcome = try Program.run("convert", model, "-o", scratch.file("o\(opset).onnx"), "--opset", "\(opset)")
      #expect(outcome.status == 0, "\(outcome.errors)")
      let facts = try [String: Any](json: Program.run("inspect", scratch.file("o\(opset).onnx"), "--json").output)["model"] as? [String: Any]
      #expect((facts?["opset"] as? [String: Int])?[""] == opset)
      #expect(try Program.run("validate", scratch.file("o\(opset).onnx"), "--against", model).status == 0)
    }
    #expect(try Program.run("convert", model, "-o", scratch.file("n.onnx"), "--layout", "nchw").status == 0)
    let facts = try [String: Any](json: Program.run("inspect", scratch.file("n.onnx"), "--json").output)["model"] as? [String: Any]
    let shape = (facts?["inputs"] as? [[String: Any]])?.first?["shape"] as? [Any]
    #expect(shape?.compactMap { $0 as? Int } == [4, 13, 11])
    for wrong in [["-o", "x.keras", "--opset", "18"], ["-o", "x.onnx", "--opset", "12"], ["-o", "x.onnx", "--format", "tar"]] {
      #expect(try Program.run(["convert", model] + [wrong[0], scratch.file(wrong[1])] + wrong.dropFirst(2)).status == 2)
    }
  }

  @Test func theCatalogue() throws {
    let text = try Program.run("convert", "--list-rewrites")
    #expect(text.status == 0 && text.output.contains("fcvit") && text.output.contains("oamixer"))
    let json = try Program.run("convert", "--list-rewrites", "--json")
    #expect(try json.status == 0 && JSONSchema(named: "rewrites").violations(of: json.output) == [])
  }
}
