import ArgumentParser
import Bytes
import Diagnostics
import Pipeline
import Reporting

struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Writes a checkpoint in another format and/or with rewritten blocks.",
    discussion: """
      The suffix of OUT names the format. The input is never overwritten, and OUT is written whole or not at all.

      Examples:
        vitconv convert vit.onnx -o copy.onnx
        vitconv convert vit.onnx -o vit.vcg
        vitconv convert vit.onnx -o small.onnx --rewrite fcvit:kernel=5 --blocks 0,3-5 --samples images.npz
        vitconv convert vit.onnx -o small.onnx --rewrite fcvit --blocks auto --budget top1-drop=0.01 --samples images.npz \
      --report report.json
        vitconv convert broken.onnx -o mended.onnx --repair
        vitconv convert --list-rewrites
      """)

  @Argument(help: "The checkpoint; '-' reads standard input.", completion: .file())
  var model: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("Where to write.", valueName: "out"), completion: .file())
  var output: String?

  @Option(
    help: ArgumentHelp(
      "The output format, where the suffix leaves it open: onnx, vcg, keras (an archive), keras-h5 (a whole model), hdf5 or safetensors (weights).",
      valueName: "name"),
    completion: .list(["onnx", "vcg", "keras", "keras-h5", "hdf5", "safetensors"]))
  var format: String?

  @Option(
    help: ArgumentHelp(
      "The operator set of an ONNX file, 17 to 28; else that of the input, and 18 for inputs that have none.", valueName: "version"))
  var opset: Int?

  @Option(
    help: ArgumentHelp(
      "Images at inputs and outputs: keep them as the model has them, or nchw, channels first.", valueName: "layout"),
    completion: .list(["keep", "nchw"]))
  var layout: ImageLayout = .keep

  @Option(
    help: ArgumentHelp(
      """
      Arithmetic on bfloat16 numbers: keep, or float32 (weights stay bfloat16 and are cast where they are read; inputs and outputs are float32). \
      By default float32 where another model becomes an ONNX one, and keep else.
      """, valueName: "arithmetic"),
    completion: .list(["keep", "float32"]))
  var bfloat16: BFloat16Arithmetic?

  @Option(
    help: ArgumentHelp("A rewrite and its settings; may be given again, applied in order.", valueName: "name[:key=value]"),
    completion: .list(["fcvit", "oamixer"]))
  var rewrite: [String] = []

  @Option(
    help: ArgumentHelp(
      "Which attention blocks: all, auto (the largest set that keeps the budget), indices such as 0,3-5, or a pattern for names such as 'blocks.[0-3].*'.",
      valueName: "blocks"),
    completion: .list(["all", "auto"]))
  var blocks: String = "all"

  @Option(
    help: ArgumentHelp(
      "What may be lost, measured on held-out samples: \(BudgetArgument.metrics).", valueName: "metric=value"))
  var budget: BudgetArgument?

  @OptionGroup var sampleOptions: SampleOptions

  @Option(help: ArgumentHelp("Write what was done, block by block, as JSON.", valueName: "file.json"), completion: .file(extensions: ["json"]))
  var report: String?

  @Flag(help: "Mend known faults of exporters that `inspect` finds (VC4004), before any rewrite.")
  var repair = false

  @Flag(help: "Print the catalogue of rewrites: id, what it does, exactness, what it needs.")
  var listRewrites = false

  @OptionGroup var precision: PrecisionOption

  @OptionGroup var common: CommonOptions

  mutating func validate() throws {
    if listRewrites { return }
    guard model != nil else { throw ValidationError("Missing expected argument '<model>'") }
    guard let output, !output.isEmpty else { throw ValidationError("Missing expected argument '--output <out>'") }
    if blocks == "auto", budget == nil { throw ValidationError("--blocks auto needs --budget METRIC=VALUE") }
    if budget != nil, sampleOptions.samples == nil { throw ValidationError("--budget needs --samples to be measured on") }
    if rewrite.isEmpty, blocks != "all" || budget != nil { throw ValidationError("--blocks and --budget choose where to rewrite; give --rewrite NAME") }
    if let opset, !WritingOptions.opsets.contains(opset) {
      throw ValidationError("--opset \(opset) is none of \(WritingOptions.opsets.lowerBound) to \(WritingOptions.opsets.upperBound)")
    }
    if let report, report == output { throw ValidationError("--report and --output name the same file") }
  }

  func run() throws {
    let console = Console(common)
    guard !listRewrites, let model, let output else { return try console.print(CatalogueReport()) }
    var request = ConversionRequest(input: model, output: output)
    request.writing.format = format
    request.writing.opset = opset
    request.writing.layout = layout
    request.writing.bfloat16 = bfloat16
    request.rewrites = rewrite
    request.repairs = repair
    request.blocks = blocks
    request.budget = budget?.budget
    request.samples = sampleOptions.samples
    request.common = precision.applied(to: common.request(scaling: sampleOptions.scaling))
    let result = try Conversion.convert(request)
    if let report { try AtomicOutput.write([.bytes(Array((result.json.text + "\n").utf8))], to: report, protecting: [model]) }
    for finding in result.findings { console.finding(finding) }
    try console.print(result)
    if let budget = result.budget, !budget.isKept { throw VitconvCommand.checkFailed }
  }
}
