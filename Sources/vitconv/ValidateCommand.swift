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
      given) and compared, output by output and block by block. A folder of test cases in the layout of ONNX's backend suite (model.onnx beside \
      test_data_set_*/input_0.pb, output_0.pb, ...) is run case by case, and the outcome told by operator.

      Examples:
        vitconv validate vit.onnx
        vitconv validate copy.onnx --against vit.onnx
        vitconv validate small.onnx --against vit.onnx --samples test.npz --budget top1-drop=0.01
        vitconv validate suite/node --junit report.xml
      """)

  @Argument(help: "The checkpoint, '-' for standard input; or a folder of test cases.", completion: .file())
  var model: String

  @Option(help: ArgumentHelp("The checkpoint to compare with.", valueName: "ref"), completion: .file())
  var against: String?

  @Option(
    help: ArgumentHelp(
      "What may be lost; without one the models must agree within rounding. May be given again.", valueName: "metric=value"))
  var budget: [BudgetArgument] = []

  @Option(help: ArgumentHelp("Write the outcome of a folder of test cases as JUnit XML, too.", valueName: "file"), completion: .file())
  var junit: String?

  @Option(help: ArgumentHelp("Seconds that one case of a folder may run.", valueName: "seconds"))
  var timeLimit: Double = 20

  @OptionGroup var sampleOptions: SampleOptions

  @OptionGroup var findings: FailOnOption

  @OptionGroup var common: CommonOptions

  mutating func validate() throws {
    if !(timeLimit > 0) { throw ValidationError("--time-limit must be positive") }
    if against == nil, !budget.isEmpty { throw ValidationError("--budget compares two models; give --against REF") }
  }

  func run() throws {
    if SuiteValidation.accepts(model) { return try runSuite() }
    if junit != nil { throw ValidationError("--junit tells of a folder of test cases, and '\(model)' is none") }
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

  private func runSuite() throws {
    if against != nil || sampleOptions.samples != nil { throw ValidationError("a folder of test cases brings its own data") }
    let request = common.request()
    let worker = CasesCommand.arguments(timeLimit: timeLimit, threads: request.threads)
    let report = try SuiteValidation.validate(model, junit: junit, timeLimit: timeLimit, worker: worker, request: request)
    try Console(common).print(report)
    if !report.allPassed { throw VitconvCommand.checkFailed }
  }
}
