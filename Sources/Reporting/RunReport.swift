/// What `run` computed, and how long that took.
public struct RunReport: Sendable {
  public var samples: Int
  public var threads: Int
  public var loadMilliseconds: Double
  public var runMilliseconds: Double
  public var outputs: [PortSummary]
  public init(samples: Int, threads: Int, loadMilliseconds: Double, runMilliseconds: Double, outputs: [PortSummary]) {
    self.samples = samples
    self.threads = threads
    self.loadMilliseconds = loadMilliseconds
    self.runMilliseconds = runMilliseconds
    self.outputs = outputs
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
  public init(
    runs: Int, warmup: Int, threads: Int, batch: Int, minMilliseconds: Double, medianMilliseconds: Double, p95Milliseconds: Double,
    loadMilliseconds: Double, peakResidentBytes: Int
  ) {
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
