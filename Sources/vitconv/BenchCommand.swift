import ArgumentParser
import Pipeline
import Reporting

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Times a checkpoint on the CPU.",
    discussion: """
      Examples:
        vitconv bench vit.onnx
        vitconv bench vit.onnx --runs 100 --warmup 10 --threads 1 --batch 8 --json
        vitconv bench vit.onnx --profile --trace vit.trace.json
      """)

  @Argument(help: "The checkpoint; '-' reads standard input.", completion: .file())
  var model: String

  @Option(help: "Passes that are timed.")
  var runs: Int = 20

  @Option(help: "Passes before that, not timed.")
  var warmup: Int = 3

  @Option(help: "Samples of one pass, where the model's first axis is symbolic.")
  var batch: Int = 1

  @Flag(help: "Tell where the time goes: by operator, attention block and step, and how near to the CPU's peak.")
  var profile = false

  @Option(help: ArgumentHelp("Write the timed passes as a trace for chrome://tracing or Perfetto.", valueName: "file"), completion: .file())
  var trace: String?

  @OptionGroup var precision: PrecisionOption

  @OptionGroup var common: CommonOptions

  mutating func validate() throws {
    if !(1...1_000_000).contains(runs) { throw ValidationError("--runs must be 1 to 1000000, not \(runs)") }
    if !(0...1_000_000).contains(warmup) { throw ValidationError("--warmup must be 0 to 1000000, not \(warmup)") }
    if !(1...1_000_000).contains(batch) { throw ValidationError("--batch must be 1 to 1000000, not \(batch)") }
  }

  func run() throws {
    var settings = Benchmarking.Settings()
    settings.runs = runs
    settings.warmup = warmup
    settings.batch = batch
    settings.profiles = profile
    settings.trace = trace
    try Console(common).print(Benchmarking.bench(model, settings: settings, request: precision.applied(to: common.request())))
  }
}
