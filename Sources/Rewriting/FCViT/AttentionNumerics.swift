internal import Glibc
internal import Kernels

/// Attention of one block in float64, sample by sample: what the fits are computed from.
struct AttentionNumerics {
  let weights: BlockWeights
  let grid: PatchGrid

  /// V of every sample, `[channel][token][sample]`, samples innermost, so that sums over samples are dot products.
  func values(_ x: TokenBatch) -> [Double] {
    let (channels, rows) = (weights.mergedChannels, x.samples * x.tokens)
    // A few channels at a time: what is turned around stays in the cache.
    let parts = Parallel.map((channels + 3) / 4) { part in
      let range = (part * 4)..<min(part * 4 + 4, channels)
      var bySample = [Double](repeating: 0, count: range.count * rows)
      multiplyRows(
        weights.value, RowBlock(offset: range.lowerBound * x.channels, rows: range.count, stride: x.channels), x.values,
        RowBlock(rows: rows, stride: x.channels), depth: x.channels, into: &bySample, stride: rows)
      var turned = [Double](repeating: 0, count: range.count * rows)
      for (place, c) in range.enumerated() {
        let (bias, base) = (weights.valueBias[c], place * rows)
        for sample in 0..<x.samples {
          for token in 0..<x.tokens { turned[base + token * x.samples + sample] = bySample[base + sample * x.tokens + token] + bias }
        }
      }
      return turned
    }
    return parts.flatMap { $0 }
  }

  /// Projected queries of `rows` tokens of `z`, scale included: (rows, heads * headDim).
  func queries(_ z: [Double], _ rows: RowBlock) -> [Double] {
    let width = weights.heads * weights.headDim
    var q = [Double](repeating: 0, count: rows.rows * width)
    multiplyRows(
      z, rows, weights.query, RowBlock(rows: width, stride: weights.inputChannels), depth: weights.inputChannels, into: &q, stride: width)
    for row in 0..<rows.rows {
      for c in 0..<width { q[row * width + c] = weights.scale * (q[row * width + c] + weights.queryBias[c]) }
    }
    return q
  }

  /// Queries folded into input channels, `u = s Wk_h^T q_h`: (heads, rows, inputChannels).
  func folded(_ queries: [Double], rows: Int) -> [Double] {
    let (width, channels) = (weights.heads * weights.headDim, weights.inputChannels)
    var u = [Double](repeating: 0, count: weights.heads * rows * channels)
    for head in 0..<weights.heads {
      multiplyRows(
        queries, RowBlock(offset: head * weights.headDim, rows: rows, stride: width), weights.keyFold,
        RowBlock(offset: head * weights.headDim, rows: channels, stride: width), depth: weights.headDim, into: &u, head * rows * channels, stride: channels)
    }
    return u
  }

  /// Means of the patch tokens of one sample over the cells of `pooling` (contexts, patches).
  func pooled(_ x: TokenBatch, sample: Int, pooling: [Double], contexts: Int) -> [Double] {
    let channels = x.channels
    let base = (sample * x.tokens + grid.prefix) * channels
    var z = [Double](repeating: 0, count: contexts * channels)
    for r in 0..<contexts {
      for i in 0..<grid.patches {
        let weight = pooling[r * grid.patches + i]
        if weight == 0 { continue }
        for c in 0..<channels { z[r * channels + c] += weight * x.values[base + i * channels + c] }
      }
    }
    return z
  }

  /// The rows of the score bias averaged as the queries are: (heads, contexts, tokens); empty without a bias.
  func pooledBias(_ pooling: [Double], contexts: Int) -> [Double] {
    if weights.scoreBias.isEmpty { return [] }
    let n = grid.tokens
    var result = [Double](repeating: 0, count: weights.heads * contexts * n)
    for head in 0..<weights.heads {
      for r in 0..<contexts {
        for i in 0..<grid.patches {
          let weight = pooling[r * grid.patches + i]
          if weight == 0 { continue }
          for j in 0..<n { result[(head * contexts + r) * n + j] += weight * weights.scoreBias[(head * n + grid.prefix + i) * n + j] }
        }
      }
    }
    return result
  }

  /// Attention of all patch queries of one sample: for each head, `body(head, map)` with the map (patches, tokens).
  func forEachMap(_ x: TokenBatch, sample: Int, _ body: (Int, [Double]) -> Void) {
    let (n, p, width, channels) = (x.tokens, grid.patches, weights.heads * weights.headDim, x.channels)
    let base = sample * n * channels
    let q = queries(x.values, RowBlock(offset: base + grid.prefix * channels, rows: p, stride: channels))
    var k = [Double](repeating: 0, count: n * width)
    multiplyRows(
      x.values, RowBlock(offset: base, rows: n, stride: channels), weights.key, RowBlock(rows: width, stride: channels), depth: channels,
      into: &k, stride: width)
    var map = [Double](repeating: 0, count: p * n)
    for head in 0..<weights.heads {
      let offset = head * weights.headDim
      multiplyRows(
        q, RowBlock(offset: offset, rows: p, stride: width), k, RowBlock(offset: offset, rows: n, stride: width), depth: weights.headDim,
        into: &map, stride: n)
      if !weights.scoreBias.isEmpty {
        let start = (head * n + grid.prefix) * n
        for index in 0..<(p * n) { map[index] += weights.scoreBias[start + index] }
      }
      for row in 0..<p { softmax(&map, at: row * n, count: n) }
      body(head, map)
    }
  }
}

/// Softmax of `count` elements from `start`, in place.
func softmax(_ values: inout [Double], at start: Int, count: Int, temperature: Double = 1) {
  var top = -Double.infinity
  for j in start..<(start + count) { top = max(top, temperature * values[j]) }
  var sum = 0.0
  for j in start..<(start + count) {
    let e = exp(temperature * values[j] - top)
    values[j] = e
    sum += e
  }
  for j in start..<(start + count) { values[j] /= sum }
}
