internal import Kernels

/// The query-independent maps of a block: scores of the pooled queries against all tokens, sample by sample.
struct ContextMaps {
  let heads, contexts, tokens: Int
  /// With static contexts, the scaled queries they use: (contexts, heads * headDim).
  let staticQueries: [Double]?
  private let numerics: AttentionNumerics
  private let inputs: TokenBatch
  private let isShared: Bool
  private let pooling: [Double]
  private let bias: [Double]
  private let foldedStatic: [Double]?

  /// - Parameter calibration: the samples whose mean gives the static queries.
  init(_ numerics: AttentionNumerics, _ x: TokenBatch, setting: FCViTSetting, calibration: Range<Int>) {
    self.numerics = numerics
    inputs = x
    let (weights, grid) = (numerics.weights, numerics.grid)
    heads = weights.heads
    contexts = setting.contexts.count
    tokens = grid.tokens
    isShared = setting.heads == .shared
    pooling = setting.contexts.pooling(of: grid)
    bias = numerics.pooledBias(pooling, contexts: contexts)
    guard setting.static == .on else {
      staticQueries = nil
      foldedStatic = nil
      return
    }
    var mean = [Double](repeating: 0, count: contexts * weights.heads * weights.headDim)
    for sample in calibration {
      let z = numerics.pooled(x, sample: sample, pooling: pooling, contexts: contexts)
      let q = numerics.queries(z, RowBlock(rows: contexts, stride: x.channels))
      for index in q.indices { mean[index] += q[index] / Double(calibration.count) }
    }
    staticQueries = mean
    foldedStatic = numerics.folded(mean, rows: contexts)
  }

  /// `t = X~ u`, `u = s Wk^T qbar`: (heads, contexts, tokens), before temperature and softmax.
  func scores(sample: Int) -> [Double] {
    var result = [Double](repeating: 0, count: heads * contexts * tokens)
    let tokenRows = RowBlock(offset: sample * tokens * inputs.channels, rows: tokens, stride: inputs.channels)
    let u: [Double]
    if let foldedStatic {
      u = foldedStatic
    } else {
      let z = numerics.pooled(inputs, sample: sample, pooling: pooling, contexts: contexts)
      u = numerics.folded(numerics.queries(z, RowBlock(rows: contexts, stride: inputs.channels)), rows: contexts)
    }
    multiplyRows(
      u, RowBlock(rows: heads * contexts, stride: inputs.channels), inputs.values, tokenRows, depth: inputs.channels, into: &result, stride: tokens)
    for index in bias.indices { result[index] += bias[index] }
    if isShared { averageHeads(&result, samples: 1, heads: heads) }
    return result
  }

  /// The maps of one sample: (heads, contexts, tokens).
  func maps(sample: Int, temperature: [Double]) -> [Double] {
    var p = scores(sample: sample)
    for head in 0..<heads {
      for r in 0..<contexts { softmax(&p, at: (head * contexts + r) * tokens, count: tokens, temperature: temperature[head]) }
    }
    return p
  }
}

/// Gives every head of `[sample][head][...]` the mean of all heads.
func averageHeads(_ values: inout [Double], samples: Int, heads: Int) {
  let size = values.count / max(samples * heads, 1)
  for sample in 0..<samples {
    let base = sample * heads * size
    for index in base..<(base + size) {
      var mean = 0.0
      for head in 0..<heads { mean += values[index + head * size] }
      mean /= Double(heads)
      for head in 0..<heads { values[index + head * size] = mean }
    }
  }
}
