import ArgumentParser
import Pipeline
import Reporting

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Runs a checkpoint on the CPU.",
    discussion: """
      Examples:
        vitconv run vit.onnx --inputs x.npz -o y.npz
        vitconv run vit.onnx --inputs x.npz -o y.npz --threads 1 --json
      """)

  @Argument(help: "The checkpoint; '-' reads standard input.", completion: .file())
  var model: String

  @Option(help: ArgumentHelp("Arrays named after the model's inputs.", valueName: "x.npz"), completion: .file(extensions: ["npz"]))
  var inputs: String

  @Option(name: .shortAndLong, help: ArgumentHelp("Where to write the outputs, named as in the model.", valueName: "y.npz"), completion: .file())
  var output: String

  @OptionGroup var precision: PrecisionOption

  @OptionGroup var common: CommonOptions

  func run() throws {
    let report = try Running.run(model, inputs: inputs, output: output, request: precision.applied(to: common.request()))
    try Console(common).print(report)
  }
}
