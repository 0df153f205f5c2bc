internal import Kernels

/// What the original block computes for patch queries: the target of the fit, and how much its maps depend on the query.
public struct AttentionTarget: Sendable {
  public let grid: PatchGrid
  public let samples: Int
  /// The merged heads before the output projection, `[channel][patch][sample]`.
  let merged: [Double]
  /// By head.
  public let irrelevance: [QueryIrrelevance]
  /// The tokens the original block reads.
  let inputs: TokenBatch

  /// - Parameter x: X~ of the original network.
  public init(_ weights: BlockWeights, grid: PatchGrid, inputs x: TokenBatch) {
    self.grid = grid
    samples = x.samples
    inputs = x
    let numerics = AttentionNumerics(weights: weights, grid: grid)
    let (n, p, dv, channels) = (grid.tokens, grid.patches, weights.valueDim, weights.mergedChannels)
    let bySample = Parallel.map(x.samples) { sample in
      var sums = [QueryIrrelevanceSums](repeating: QueryIrrelevanceSums(), count: weights.heads)
      var v = [Double](repeating: 0, count: channels * n)
      multiplyRows(
        weights.value, RowBlock(rows: channels, stride: x.channels), x.values, RowBlock(offset: sample * n * x.channels, rows: n, stride: x.channels),
        depth: x.channels, into: &v, stride: n)
      var rows = [Double](repeating: 0, count: channels * p)
      numerics.forEachMap(x, sample: sample) { head, map in
        sums[head].add(map, rows: p, tokens: n)
        multiplyRows(
          v, RowBlock(offset: head * dv * n, rows: dv, stride: n), map, RowBlock(rows: p, stride: n), depth: n, into: &rows, head * dv * p, stride: p)
      }
      return (rows, sums)
    }
    var merged = [Double](repeating: 0, count: channels * p * x.samples)
    for channel in 0..<channels {
      // Rows of the map sum to one, so the bias of V passes through.
      let bias = weights.valueBias[channel]
      for index in (channel * p)..<((channel + 1) * p) {
        for sample in 0..<x.samples { merged[index * x.samples + sample] = bySample[sample].0[index] + bias }
      }
    }
    self.merged = merged
    irrelevance = (0..<weights.heads).map { head in
      var total = QueryIrrelevanceSums()
      for (_, sums) in bySample { total.add(sums[head]) }
      return total.result
    }
  }

  /// (samples, patches, channels)
  public var patchRows: TokenBatch {
    let channels = merged.count / max(grid.patches * samples, 1)
    return sampleMajor(merged, samples: samples, tokens: grid.patches, channels: channels)
  }
}

/// `[channel][token][sample]` brought to (samples, tokens, channels).
func sampleMajor(_ values: [Double], samples: Int, tokens: Int, channels: Int) -> TokenBatch {
  var result = [Double](repeating: 0, count: values.count)
  for c in 0..<channels {
    for t in 0..<tokens {
      for s in 0..<samples { result[(s * tokens + t) * channels + c] = values[(c * tokens + t) * samples + s] }
    }
  }
  return TokenBatch(samples: samples, tokens: tokens, channels: channels, values: result)
}
