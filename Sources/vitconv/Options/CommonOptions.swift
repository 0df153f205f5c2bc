import ArgumentParser

/// Options that every command takes.
struct CommonOptions: ParsableArguments {
  @Flag(name: .long, help: "Print the result as one JSON document on standard output, and nothing else there.")
  var json = false

  @Option(
    name: .long,
    help: ArgumentHelp("Fix an input's shape: NAME=D0,D1,... May be given again for other inputs.", valueName: "name=d0,d1"))
  var shape: [ShapeAssignment] = []

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
    if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads must be 1 to 1024, not \(threads)") }
    var names: Set<String> = []
    for assignment in shape where !names.insert(assignment.name).inserted {
      throw ValidationError("--shape names '\(assignment.name)' twice")
    }
  }

  /// The shapes by input name.
  var shapes: [String: [Int]] { Dictionary(uniqueKeysWithValues: shape.map { ($0.name, $0.dims) }) }
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
  enum Metric: String, CaseIterable {
    case top1Drop = "top1-drop"
    case agreementDrop = "agreement-drop"
    case nmse, kl
  }
  var metric: Metric
  var value: Double

  init?(argument: String) {
    let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, let metric = Metric(rawValue: String(parts[0])), let value = Double(parts[1]), value >= 0, value.isFinite else { return nil }
    self.metric = metric
    self.value = value
  }
}
