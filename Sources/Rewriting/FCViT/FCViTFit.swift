/// The numbers of one converted block, in float64.
///
/// For patch rows, before the output projection:
/// `O = DWConv(V grid) + gain * context map + prefixGain * V(prefix tokens) + offset`, all by channel.
public struct FCViTFit: Sendable {
  public var grid: PatchGrid
  public var setting: FCViTSetting
  /// By head; 1 where it was not fitted or did not help.
  public var temperature: [Double]
  /// The scaled queries of static contexts: (contexts, heads * headDim).
  public var staticQueries: [Double]?
  /// (channels, kernel * kernel), correlation order; empty for kernel 0.
  public var taps: [Double]
  /// (channels)
  public var gain: [Double]
  /// (channels, prefix tokens)
  public var prefixGain: [Double]
  /// (channels)
  public var offset: [Double]
  /// Of patch rows before the output projection, on held-out samples: squared error over variance.
  public var heldOutError: Double

  /// Whether the block computes exact attention: a context for every patch and no correction.
  public var isExact: Bool { setting.contexts.isExact(on: grid) }

  /// The fit that is the original attention: a context for every patch, and nothing else.
  public static func exact(grid: PatchGrid, heads: Int, channels: Int) -> FCViTFit {
    FCViTFit(
      grid: grid, setting: FCViTSetting(kernel: 0, contexts: ContextGrid(height: grid.height, width: grid.width)),
      temperature: [Double](repeating: 1, count: heads), staticQueries: nil, taps: [], gain: [Double](repeating: 1, count: channels),
      prefixGain: [Double](repeating: 0, count: channels * grid.prefix), offset: [Double](repeating: 0, count: channels), heldOutError: 0)
  }
}
