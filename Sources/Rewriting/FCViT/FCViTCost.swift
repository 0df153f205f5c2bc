/// Multiply-adds of a converted block for one sample, as its nodes spend them.
public enum FCViTCost {
  /// Whether scores of `rows` queries are cheaper through folded keys than through projected ones.
  static func foldsKeys(rows: Int, weights: BlockWeights, tokens: Int, keysAreThere: Bool) -> Bool {
    let (width, channels) = (weights.heads * weights.headDim, weights.inputChannels)
    let folded = rows * channels * width + weights.heads * rows * tokens * channels
    let projected = (keysAreThere ? 0 : tokens * channels * width) + rows * tokens * width
    return folded <= projected
  }

  /// The whole branch, V and the output projection (`outputChannels`, 0 for none) included.
  public static func macs(_ setting: FCViTSetting, _ weights: BlockWeights, grid: PatchGrid, outputChannels: Int) -> Int {
    let (heads, dim, channels, merged, tokens) = (weights.heads, weights.headDim, weights.inputChannels, weights.mergedChannels, grid.tokens)
    let width = heads * dim
    let count = setting.contexts.count
    let isExact = setting.contexts.isExact(on: grid)
    var total = tokens * channels * merged + tokens * merged * outputChannels
    var keysAreThere = false
    func scores(_ rows: Int) -> Int {
      if foldsKeys(rows: rows, weights: weights, tokens: tokens, keysAreThere: keysAreThere) {
        return rows * channels * width + heads * rows * tokens * channels
      }
      defer { keysAreThere = true }
      return (keysAreThere ? 0 : tokens * channels * width) + rows * tokens * width
    }

    // Contexts come first: keys they project serve the prefix too.
    if count > 1, !isExact {
      if setting.static == .off { total += resampling((grid.height, grid.width), (setting.contexts.height, setting.contexts.width), channels) }
      total += resampling((setting.contexts.height, setting.contexts.width), (grid.height, grid.width), merged)
    }
    if setting.static == .on {
      total += tokens * channels * count * (setting.heads == .shared ? 1 : heads)
    } else if setting.heads == .shared {
      total += count * channels * width * 2 + count * tokens * channels
    } else {
      total += count * channels * width + scores(count)
    }
    total += count * tokens * merged
    if grid.prefix > 0 { total += grid.prefix * channels * width + scores(grid.prefix) + grid.prefix * tokens * merged }
    if !isExact { total += setting.kernel * setting.kernel * grid.patches * merged }
    return total
  }

  private static func resampling(_ from: (height: Int, width: Int), _ to: (height: Int, width: Int), _ channels: Int) -> Int {
    (from.height == to.height ? 0 : to.height * from.height * from.width * channels)
      + (from.width == to.width ? 0 : to.height * to.width * from.width * channels)
  }
}
