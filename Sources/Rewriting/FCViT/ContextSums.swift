internal import Kernels

/// The products of one channel that involve its context map: with taps, prefix and constant, with itself, with the target.
struct ContextSums {
  /// With each feature of `LocalSums`, in its order.
  var withLocal: [Double]
  var square = 0.0
  var withTarget = 0.0

  /// - Parameter context: the channel's contexts, `[context][sample]` from `offset` on.
  init(
    channel: Int, context: [Double], offset: Int, contexts: Int, upsampling: SparseRows, values: [Double], target: [Double], grid: PatchGrid,
    neighbors: NeighborTable, allSamples: Int, samples: Range<Int>
  ) {
    let (n, p, taps) = (grid.tokens, grid.patches, neighbors.taps)
    let rows = RowBlock(offset: offset + samples.lowerBound, rows: contexts, stride: allSamples)
    let valueRows = RowBlock(offset: channel * n * allSamples + samples.lowerBound, rows: n, stride: allSamples)
    let targetRows = RowBlock(offset: channel * p * allSamples + samples.lowerBound, rows: p, stride: allSamples)
    var gv = [Double](repeating: 0, count: contexts * n)
    multiplyRows(context, rows, values, valueRows, depth: samples.count, into: &gv, stride: n)
    var gg = [Double](repeating: 0, count: contexts * contexts)
    multiplyRows(context, rows, context, rows, depth: samples.count, into: &gg, stride: contexts)
    var go = [Double](repeating: 0, count: contexts * p)
    multiplyRows(context, rows, target, targetRows, depth: samples.count, into: &go, stride: p)

    withLocal = [Double](repeating: 0, count: taps + grid.prefix + 1)
    for i in 0..<p {
      for (r, weight) in upsampling[i] {
        for tap in 0..<taps {
          let u = neighbors[tap, i]
          if u >= 0 { withLocal[tap] += weight * gv[r * n + u] }
        }
        for q in 0..<grid.prefix { withLocal[taps + q] += weight * gv[r * n + q] }
        withLocal[taps + grid.prefix] += weight * sum(context, rows.offset + r * allSamples, samples.count)
        withTarget += weight * go[r * p + i]
        for (other, otherWeight) in upsampling[i] { square += weight * otherWeight * gg[r * contexts + other] }
      }
    }
  }
}

/// The non-zero entries of a matrix, by row.
struct SparseRows {
  private let rows: [[(column: Int, weight: Double)]]
  init(_ matrix: [Double], columns: Int) {
    rows = stride(from: 0, to: matrix.count, by: columns).map { start in
      (0..<columns).compactMap { matrix[start + $0] == 0 ? nil : ($0, matrix[start + $0]) }
    }
  }
  subscript(_ row: Int) -> [(column: Int, weight: Double)] { rows[row] }
}
