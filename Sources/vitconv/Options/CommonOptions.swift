import ArgumentParser
import FormatImage
import FormatKeras
import Pipeline
import Validation

/// Options that every command takes.
struct CommonOptions: ParsableArguments {
  @Flag(name: .long, help: "Print the result as one JSON document on standard output, and nothing else there.")
  var json = false

  @Option(
    name: .long,
    help: ArgumentHelp("Fix an input's shape: NAME=D0,D1,... May be given again for other inputs.", valueName: "name=d0,d1"))
  var shape: [ShapeAssignment] = []

  @Option(name: .long, help: "Attention heads, for weights without an architecture that do not tell them.")
  var heads: Int?

  @Option(
    name: .long,
    help: ArgumentHelp("The architecture of a file of weights: a configuration in JSON, or a Keras model with the same one.", valueName: "file"),
    completion: .file())
  var config: String?

  @Option(
    name: .long, help: ArgumentHelp("What layers of your own compute, for Keras models that hold them.", valueName: "file.yml"),
    completion: .file(extensions: ["yml", "yaml"]))
  var customLayers: String?

  @Option(name: .long, help: "Threads to compute with (default: the machine's cores).")
  var threads: Int?

  @Option(name: .long, help: "Seed of everything random.")
  var seed: UInt64 = 0

  @Flag(name: .shortAndLong, help: "No progress and no remarks on standard error.")
  var quiet = false

  @Flag(name: .shortAndLong, help: "Tell more: every operator, every check.")
  var verbose = false

  mutating func validate() throws {
    if quiet && verbose { throw ValidationError("--quiet and --verbose exclude each other") }
    if let heads, !(1...65536).contains(heads) { throw ValidationError("--heads must be 1 to 65536, not \(heads)") }
    if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads must be 1 to 1024, not \(threads)") }
    var names: Set<String> = []
    for assignment in shape where !names.insert(assignment.name).inserted {
      throw ValidationError("--shape names '\(assignment.name)' twice")
    }
  }

  /// The same for the library.
  func request(scaling: PixelScaling = PixelScaling()) -> CommonRequest {
    var request = CommonRequest()
    request.shapes = Dictionary(uniqueKeysWithValues: shape.map { ($0.name, $0.dims) })
    request.threads = threads
    request.checkpoint.heads = heads
    request.checkpoint.configuration = config
    request.checkpoint.customLayers = customLayers
    request.seed = seed
    request.scaling = scaling
    request.progress = Console(self).progress
    request.remark = Console(self).finding
    return request
  }
}

/// `NAME=D0,D1,...`; the name may hold '='.
struct ShapeAssignment: ExpressibleByArgument {
  var name: String
  var dims: [Int]

  init?(argument: String) {
    guard let separator = argument.lastIndex(of: "="), separator != argument.startIndex else { return nil }
    name = String(argument[..<separator])
    dims = []
    for word in argument[argument.index(after: separator)...].split(separator: ",", omittingEmptySubsequences: false) {
      guard let dim = Int(word), dim >= 0 else { return nil }
      dims.append(dim)
    }
  }
}

/// `METRIC=VALUE`
struct BudgetArgument: ExpressibleByArgument {
  var budget: Budget

  init?(argument: String) {
    let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, let metric = BudgetMetric(rawValue: String(parts[0])), let limit = Double(parts[1]), limit >= 0, limit.isFinite else { return nil }
    budget = Budget(metric, limit)
  }

  static let metrics = BudgetMetric.allCases.map(\.rawValue).joined(separator: ", ")
}
