public import GraphIR
public import Tensors
internal import Glibc

/// In what arithmetic a graph runs.
public enum Precision: Hashable, Sendable {
  /// The fast kernels.
  case float32
  /// The fast kernels, the operands of products with weights rounded to bfloat16; sums and everything else in float32.
  case bfloat16
  /// The plain kernels, every floating-point value in double precision: for judging both sides of a comparison.
  case reference
}

public struct RunOptions: Hashable, Sendable {
  /// At least 1; the machine's cores by default.
  public var threads: Int
  public var precision: Precision
  /// Whether runs record how long each step took.
  public var profiles: Bool
  /// Seconds that a run may take before it is given up between two steps; nil: as long as it takes.
  public var timeLimit: Double?

  /// How often bodies of loops and functions may run in one run, all together: a loop may have no end.
  public var bodyRunLimit = 1 << 22

  public init(threads: Int = RunOptions.cores, precision: Precision = .float32, profiles: Bool = false, timeLimit: Double? = nil) {
    self.threads = Swift.max(1, threads)
    self.precision = precision
    self.profiles = profiles
    self.timeLimit = timeLimit
  }

  /// The processors this process may run on.
  public static var cores: Int { Swift.max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }
}

/// What a run gives: the graph's outputs and the values the plan was asked to keep.
public struct RunResult: Sendable {
  public var values: [ValueID: Tensor]
  /// Those among them that are no tensors: sequences, optionals, maps.
  public var containers: [ValueID: RuntimeValue] = [:]
  /// One entry for each step, when the options ask for it.
  public var profile: [StepTime]

  public init(values: [ValueID: Tensor], profile: [StepTime] = []) {
    self.values = values
    self.profile = profile
  }

  public subscript(_ value: ValueID) -> RuntimeValue? { values[value].map { .tensor($0) } ?? containers[value] }
}

/// How long one step took.
public struct StepTime: Sendable {
  /// The nodes that the step computes; empty for copies that the plan added.
  public var nodes: [NodeID]
  public var kernel: String
  /// When it began, in seconds of `Measurement.now`.
  public var start: Double
  public var seconds: Double

  public init(nodes: [NodeID], kernel: String, start: Double, seconds: Double) {
    self.nodes = nodes
    self.kernel = kernel
    self.start = start
    self.seconds = seconds
  }
}

/// Time and memory of this process.
public enum Measurement {
  /// Seconds of a clock that never goes back.
  public static var now: Double {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// The most memory that was resident so far.
  public static var peakResidentBytes: Int {
    var usage = rusage()
    guard unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
    return usage.ru_maxrss * 1024
  }

  /// The memory that is resident now; 0 where the system does not tell.
  static var residentBytes: Int {
    guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
    defer { unsafe fclose(file) }
    var line = [CChar](repeating: 0, count: 128)
    guard unsafe fgets(&line, 128, file) != nil else { return 0 }
    let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
    return words.count > 1 ? (Int(words[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
  }

  public static var physicalBytes: Int { Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE))) }
}
