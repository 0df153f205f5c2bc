import ArgumentParser
import Diagnostics
import Pipeline
import Reporting

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Reads a checkpoint, tells its format, size, operators, cost, attention blocks and what stands out.",
    discussion: """
      Examples:
        vitconv inspect vit.onnx
        vitconv inspect vit.onnx --json | jq '.attention[].name'
        vitconv inspect dynamic.onnx --shape images=8,3,224,224
        cat vit.onnx | vitconv inspect -
      """)

  @Argument(help: "The checkpoint; '-' reads standard input.", completion: .file())
  var model: String

  @OptionGroup var findings: FailOnOption

  @OptionGroup var common: CommonOptions

  func run() throws {
    let report = try Inspection.inspect(model, request: common.request())
    try Console(common).print(report)
    if report.findings.contains(where: { $0.level >= findings.failOn }) { throw VitconvCommand.checkFailed }
  }
}
