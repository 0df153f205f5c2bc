internal import Kernels

/// Sums over samples and patches of products of the features that do not depend on the contexts: shifted values, prefix
/// values, the constant, and the target. One set per channel.
///
/// Neighbors are shifts of one grid, so a sum over samples of a product of two features is an entry of the Gram matrix
/// of the channel's tokens: samples are contracted once, by one matrix product, and filters of every size read from it.
struct LocalSums {
  /// Features: kernel * kernel taps, prefix tokens, 1.
  let features: Int
  var matrix: [Double]
  var right: [Double]
  var targetSquares = 0.0
  var targetSum = 0.0

  /// - Parameters:
  ///   - values: V, `[channel][token][sample]`.
  ///   - target: the merged heads, `[channel][patch][sample]`.
  init(channel: Int, values: [Double], target: [Double], grid: PatchGrid, neighbors: NeighborTable, allSamples: Int, samples: Range<Int>) {
    let (n, p, taps) = (grid.tokens, grid.patches, neighbors.taps)
    features = taps + grid.prefix + 1
    let last = features - 1
    let valueRows = RowBlock(offset: channel * n * allSamples + samples.lowerBound, rows: n, stride: allSamples)
    let targetRows = RowBlock(offset: channel * p * allSamples + samples.lowerBound, rows: p, stride: allSamples)
    var vv = [Double](repeating: 0, count: n * n)
    multiplyRows(values, valueRows, values, valueRows, depth: samples.count, into: &vv, stride: n)
    var ov = [Double](repeating: 0, count: p * n)
    multiplyRows(target, targetRows, values, valueRows, depth: samples.count, into: &ov, stride: n)
    let valueSums = (0..<n).map { sum(values, valueRows.offset + $0 * allSamples, samples.count) }
    var targetSums = [Double](repeating: 0, count: p)
    for i in 0..<p {
      for s in 0..<samples.count {
        let o = target[targetRows.offset + i * allSamples + s]
        targetSums[i] += o
        targetSquares += o * o
      }
    }
    targetSum = targetSums.reduce(0, +)

    matrix = [Double](repeating: 0, count: features * features)
    right = [Double](repeating: 0, count: features)
    for a in 0..<taps {
      for b in 0...a {
        var total = 0.0
        for i in 0..<p {
          let (u, v) = (neighbors[a, i], neighbors[b, i])
          if u >= 0, v >= 0 { total += vv[u * n + v] }
        }
        matrix[a * features + b] = total
        matrix[b * features + a] = total
      }
      for i in 0..<p {
        let u = neighbors[a, i]
        if u < 0 { continue }
        right[a] += ov[i * n + u]
        matrix[last * features + a] += valueSums[u]
        for q in 0..<grid.prefix { matrix[(taps + q) * features + a] += vv[q * n + u] }
      }
      for row in taps..<features { matrix[a * features + row] = matrix[row * features + a] }
    }
    for q in 0..<grid.prefix {
      for r in 0..<grid.prefix { matrix[(taps + q) * features + taps + r] = Double(p) * vv[q * n + r] }
      matrix[last * features + taps + q] = Double(p) * valueSums[q]
      matrix[(taps + q) * features + last] = Double(p) * valueSums[q]
      for i in 0..<p { right[taps + q] += ov[i * n + q] }
    }
    matrix[last * features + last] = Double(p * samples.count)
    right[last] = targetSum
  }
}

/// The token at each place of a square filter around each patch, or -1 outside the grid. Correlation order: tap
/// `a * kernel + b` lies `a - kernel / 2` rows down and `b - kernel / 2` columns right.
struct NeighborTable {
  let taps: Int
  private let tokens: [Int]
  private let patches: Int

  init(kernel: Int, grid: PatchGrid) {
    taps = kernel * kernel
    patches = grid.patches
    var tokens: [Int] = []
    for a in 0..<kernel {
      for b in 0..<kernel {
        for y in 0..<grid.height {
          for x in 0..<grid.width {
            let (v, u) = (y + a - kernel / 2, x + b - kernel / 2)
            let inside = v >= 0 && v < grid.height && u >= 0 && u < grid.width
            tokens.append(inside ? grid.prefix + v * grid.width + u : -1)
          }
        }
      }
    }
    self.tokens = tokens
  }

  subscript(_ tap: Int, _ patch: Int) -> Int { tokens[tap * patches + patch] }
}

func sum(_ values: [Double], _ start: Int, _ count: Int) -> Double {
  var total = 0.0
  for index in start..<(start + count) { total += values[index] }
  return total
}
