import Foundation
import TestSupport
import Testing

@Suite struct UsageTests {
  static let commands = ["inspect", "convert", "validate", "run", "bench"]

  @Test(arguments: commands) func helpHasExamples(_ command: String) throws {
    let outcome = try Program.run(command, "--help")
    #expect(outcome.status == 0 && outcome.errors.isEmpty)
    #expect(outcome.output.contains("Examples:\n  vitconv \(command) ") && outcome.output.contains("USAGE: vitconv \(command)"))
  }

  @Test func version() throws {
    let outcome = try Program.run("--version")
    #expect(outcome.status == 0 && outcome.output.wholeMatch(of: /vitconv \d+\.\d+\.\d+\n/) != nil && outcome.errors.isEmpty)
  }

  @Test(arguments: ["bash", "zsh", "fish"]) func completion(_ shell: String) throws {
    let outcome = try Program.run("--generate-completion-script", shell)
    #expect(outcome.status == 0 && Self.commands.allSatisfy(outcome.output.contains))
  }

  @Test(arguments: [
    ["frobnicate"], ["inspect"], ["inspect", "a.onnx", "--bogus"], ["inspect", "a.onnx", "b.onnx"], ["inspect", "a.onnx", "--shape", "x"],
    ["inspect", "a.onnx", "--shape", "x=1,a"], ["inspect", "a.onnx", "--shape", "x=1", "--shape", "x=2"], ["inspect", "a.onnx", "--fail-on", "fatal"],
    ["inspect", "a.onnx", "--quiet", "--verbose"], ["inspect", "a.onnx", "--threads", "0"], ["inspect", "a.onnx", "--seed", "-1"],
    ["convert", "a.onnx"], ["convert", "-o", "b.onnx"], ["convert", "a.onnx", "-o", "b.onnx", "--blocks", "0"],
    ["convert", "a.onnx", "-o", "b.onnx", "--rewrite", "fcvit", "--blocks", "auto"],
    ["convert", "a.onnx", "-o", "b.onnx", "--rewrite", "fcvit", "--budget", "top1-drop=0.01"],
    ["convert", "a.onnx", "-o", "b.onnx", "--rewrite", "fcvit", "--budget", "beauty=1", "--samples", "x.npz"],
    ["convert", "a.onnx", "-o", "b.onnx", "--rewrite", "fcvit", "--budget", "nmse=-1", "--samples", "x.npz"],
    ["validate", "a.onnx", "--budget", "nmse=0.1"], ["run", "a.onnx", "--inputs", "x.npz"], ["run", "a.onnx", "-o", "y.npz"],
    ["bench", "a.onnx", "--runs", "0"], ["bench", "a.onnx", "--batch", "x"],
  ])
  func wrongUsageExitsWith2(_ arguments: [String]) throws {
    let outcome = try Program.run(arguments)
    #expect(outcome.status == 2 && outcome.output.isEmpty)
    let lines = outcome.errors.split(separator: "\n")
    #expect(lines.first?.wholeMatch(of: /vitconv: error: .+ \(VC7001\)/) != nil, "\(outcome.errors)")
    #expect(lines.contains { $0.hasPrefix("Usage: vitconv") })
  }

  @Test(arguments: [
    ["inspect", "missing.onnx"], ["convert", "missing.onnx", "-o", "b.onnx"], ["validate", "missing.onnx"],
    ["run", "missing.onnx", "--inputs", "x.npz", "-o", "y.npz"], ["bench", "missing.onnx"],
  ])
  func missingFilesExitWith3(_ arguments: [String]) throws {
    let outcome = try Program.run(arguments)
    #expect(outcome.status == 3 && outcome.output.isEmpty)
    let lines = outcome.errors.split(separator: "\n")
    #expect(lines.count == 2 && lines[0] == "vitconv: error: missing.onnx: cannot open: No such file or directory (VC1001)", "\(outcome.errors)")
  }
}
