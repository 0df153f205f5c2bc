/// How one block is converted.
public struct FCViTSetting: Hashable, Sendable {
  public enum Temperature: String, Hashable, Sendable, CaseIterable { case on, off }
  /// Whether heads have a context map each or one together.
  public enum Heads: String, Hashable, Sendable, CaseIterable { case separate, shared }
  /// Whether the context's query is the sample's mean or the calibration samples' mean.
  public enum Static: String, Hashable, Sendable, CaseIterable { case on, off }
  /// Whether channels have a filter each or the channels of a head one together.
  public enum Filter: String, Hashable, Sendable, CaseIterable { case channel, head }

  /// Side of the depth-wise filter: odd, or 0 for none.
  public var kernel: Int
  public var contexts: ContextGrid
  public var temperature: Temperature
  public var heads: Heads
  public var `static`: Static
  public var filter: Filter

  public init(
    kernel: Int = 5, contexts: ContextGrid = ContextGrid(1), temperature: Temperature = .off, heads: Heads = .separate, static: Static = .off,
    filter: Filter = .channel
  ) {
    self.kernel = kernel
    self.contexts = contexts
    self.temperature = temperature
    self.heads = heads
    self.static = `static`
    self.filter = filter
  }
}
