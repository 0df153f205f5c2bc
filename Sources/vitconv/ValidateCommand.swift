import ArgumentParser
import Pipeline
import Reporting
import Diagnostics

struct ValidateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "validate",
    abstract: "Checks a checkpoint, alone or against a reference, and exits by the outcome: the command for CI.",
    discussion: """
      Alone, the structure, the types and the weights are checked. With --against both models are run on the same samples (random ones where none are \
      given) and compared, output by output and block by block.

      Examples:
        vitconv validate vit.onnx
        vitconv validate copy.onnx --against vit.onnx
        vitconv validate small.onnx --against vit.onnx --samples test.npz --budget top1-drop=0.01
      """)

  @Argument(help: "The checkpoint; '-' reads standard input.", completion: .file())
  var model: String

  @Option(help: ArgumentHelp("The checkpoint to compare with.", valueName: "ref"), completion: .file())
  var against: String?

  @Option(
    help: ArgumentHelp(
      "What may be lost; without one the models must agree within rounding. May be given again.", valueName: "metric=value"))
  var budget: [BudgetArgument] = []

  @OptionGroup var sampleOptions: SampleOptions

  @OptionGroup var findings: FailOnOption

  @OptionGroup var common: CommonOptions

  mutating func validate() throws {
    if against == nil, !budget.isEmpty { throw ValidationError("--budget compares two models; give --against REF") }
  }

  func run() throws {
    var request = ValidationRequest(model: model)
    request.reference = against
    request.budgets = budget.map(\.budget)
    request.samples = sampleOptions.samples
    request.common = common.request(scaling: sampleOptions.scaling)
    let report = try ModelValidation.validate(request)
    try Console(common).print(report)
    let failed = report.checks.contains { !$0.passed && $0.level >= findings.failOn }
    if report.verdict == .fail || failed { throw VitconvCommand.checkFailed }
  }
}
