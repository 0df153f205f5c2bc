/// What `run` computed, and how long that took.
public struct RunReport: Sendable {
  public var samples: Int
  public var threads: Int
  public var loadMilliseconds: Double
  public var runMilliseconds: Double
  public var outputs: [PortSummary]
  public var peakResidentBytes: Int
  /// Against float32 on the same inputs, where the run was in another precision.
  public var error: PrecisionError?
  public init(
    samples: Int, threads: Int, loadMilliseconds: Double, runMilliseconds: Double, outputs: [PortSummary], peakResidentBytes: Int = 0,
    error: PrecisionError? = nil
  ) {
    self.peakResidentBytes = peakResidentBytes
    self.error = error
    self.samples = samples
    self.threads = threads
    self.loadMilliseconds = loadMilliseconds
    self.runMilliseconds = runMilliseconds
    self.outputs = outputs
  }
}

/// How far outputs lie from those of float32.
public struct PrecisionError: Sendable {
  public var precision: String
  public var maxAbs: Double
  /// The squared difference over the squared outputs.
  public var nmse: Double
  public init(precision: String, maxAbs: Double, nmse: Double) {
    self.precision = precision
    self.maxAbs = maxAbs
    self.nmse = nmse
  }

  var json: JSONValue { ["precision": .string(precision), "max_abs": .number(maxAbs), "nmse": .number(nmse)] }
  var text: String {
    "\(precision) against float32 on the same input: largest difference \(Numerals.significant(maxAbs, 3)), normalized squared error \(Numerals.significant(nmse, 3))\n"
  }
}

/// Times of `bench`, of one pass over one batch.
public struct BenchReport: Sendable {
  public var runs: Int
  public var warmup: Int
  public var threads: Int
  public var batch: Int
  public var minMilliseconds: Double
  public var medianMilliseconds: Double
  public var p95Milliseconds: Double
  /// From opening the file to being ready for the first pass.
  public var loadMilliseconds: Double
  public var peakResidentBytes: Int
  public var error: PrecisionError?
  public var profile: ProfileReport?
  public init(
    runs: Int, warmup: Int, threads: Int, batch: Int, minMilliseconds: Double, medianMilliseconds: Double, p95Milliseconds: Double,
    loadMilliseconds: Double, peakResidentBytes: Int, error: PrecisionError? = nil, profile: ProfileReport? = nil
  ) {
    self.error = error
    self.profile = profile
    self.runs = runs
    self.warmup = warmup
    self.threads = threads
    self.batch = batch
    self.minMilliseconds = minMilliseconds
    self.medianMilliseconds = medianMilliseconds
    self.p95Milliseconds = p95Milliseconds
    self.loadMilliseconds = loadMilliseconds
    self.peakResidentBytes = peakResidentBytes
  }
}
