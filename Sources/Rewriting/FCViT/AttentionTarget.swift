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
    let (n, p, dv) = (grid.tokens, grid.patches, weights.valueDim)
    var merged = [Double](repeating: 0, count: weights.mergedChannels * p * x.samples)
    var sums = [QueryIrrelevanceSums](repeating: QueryIrrelevanceSums(), count: weights.heads)
    var v = [Double](repeating: 0, count: weights.mergedChannels * n)
    var rows = [Double](repeating: 0, count: dv * p)
    for sample in 0..<x.samples {
      multiplyRows(
        weights.value, RowBlock(rows: weights.mergedChannels, stride: x.channels), x.values,
        RowBlock(offset: sample * n * x.channels, rows: n, stride: x.channels), depth: x.channels, into: &v, stride: n)
      numerics.forEachMap(x, sample: sample) { head, map in
        sums[head].add(map, rows: p, tokens: n)
        multiplyRows(v, RowBlock(offset: head * dv * n, rows: dv, stride: n), map, RowBlock(rows: p, stride: n), depth: n, into: &rows, stride: p)
        for r in 0..<dv {
          // Rows of the map sum to one, so the bias of V passes through.
          let bias = weights.valueBias[head * dv + r]
          let base = (head * dv + r) * p * x.samples + sample
          for i in 0..<p { merged[base + i * x.samples] = rows[r * p + i] + bias }
        }
      }
    }
    self.merged = merged
    irrelevance = sums.map(\.result)
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
