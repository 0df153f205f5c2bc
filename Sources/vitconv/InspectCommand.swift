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

  @Flag(
    inversion: .prefixedNo,
    help: "Holds each block's formula against a run on seeded inputs. (default: for models of up to 20 million multiply-adds)")
  var confirm: Bool?

  @Option(help: ArgumentHelp("Shows the canonical neighborhood of a node, given by its name or that of a value it makes.", valueName: "node"))
  var explain: String?

  @OptionGroup var findings: FailOnOption

  @OptionGroup var common: CommonOptions

  func run() throws {
    let report = try Inspection.inspect(
      model, request: common.request(), confirm: confirm.map { $0 ? .always : .never } ?? .whenCheap, explain: explain)
    try Console(common).print(report)
    if report.findings.contains(where: { $0.level >= findings.failOn }) { throw VitconvCommand.checkFailed }
  }
}
