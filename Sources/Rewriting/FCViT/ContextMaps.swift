internal import Kernels

/// The query-independent maps of a block on some samples: scores of the pooled queries against all tokens.
struct ContextMaps {
  let heads, contexts, tokens: Int
  /// `[sample][head][context][token]`, before temperature and softmax.
  var scores: [Double]
  /// With static contexts, the scaled queries they use: (contexts, heads * headDim).
  var staticQueries: [Double]?

  /// Scores of pooled queries through folded keys: `t = X~ u`, `u = s Wk^T qbar`.
  ///
  /// - Parameter calibration: the samples whose mean gives the static queries.
  init(_ numerics: AttentionNumerics, _ x: TokenBatch, setting: FCViTSetting, calibration: Range<Int>) {
    let (weights, grid) = (numerics.weights, numerics.grid)
    heads = weights.heads
    contexts = setting.contexts.count
    tokens = grid.tokens
    let pooling = setting.contexts.pooling(of: grid)
    let bias = numerics.pooledBias(pooling, contexts: contexts)
    let width = weights.heads * weights.headDim
    let pooledRows = RowBlock(rows: contexts, stride: x.channels)

    var foldedStatic: [Double]?
    if setting.static == .on {
      var mean = [Double](repeating: 0, count: contexts * width)
      for sample in calibration {
        let q = numerics.queries(numerics.pooled(x, sample: sample, pooling: pooling, contexts: contexts), pooledRows)
        for index in q.indices { mean[index] += q[index] / Double(calibration.count) }
      }
      staticQueries = mean
      foldedStatic = numerics.folded(mean, rows: contexts)
    }

    let size = heads * contexts * tokens
    scores = [Double](repeating: 0, count: x.samples * size)
    for sample in 0..<x.samples {
      let u =
        foldedStatic ?? numerics.folded(numerics.queries(numerics.pooled(x, sample: sample, pooling: pooling, contexts: contexts), pooledRows), rows: contexts)
      multiplyRows(
        u, RowBlock(rows: heads * contexts, stride: x.channels), x.values, RowBlock(offset: sample * tokens * x.channels, rows: tokens, stride: x.channels),
        depth: x.channels, into: &scores, sample * size, stride: tokens)
      for index in bias.indices { scores[sample * size + index] += bias[index] }
    }
    if setting.heads == .shared { averageHeads(&scores, samples: x.samples, heads: heads) }
  }

  /// The maps of one sample: (heads, contexts, tokens).
  func maps(sample: Int, temperature: [Double]) -> [Double] {
    let size = heads * contexts * tokens
    var p = Array(scores[(sample * size)..<((sample + 1) * size)])
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
