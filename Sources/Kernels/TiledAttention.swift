internal import CVector
public import Diagnostics

/// `Y = softmax(scale * Q K^T + bias) V`, batched over the leading axes, by tiles of queries and blocks of keys with a
/// running softmax, so that of the N x N map no more than a tile is ever held.
///
/// M. Milakov, N. Gimelshein: Online normalizer calculation for softmax, 2018; T. Dao et al.: FlashAttention, 2022.
@safe public final class TiledAttention {
  private var shape: VCAttention
  /// One for all items of the batch, or one for each.
  private let scales: [Float]
  private let q, y: Strided
  private let hasBias: Bool
  /// Queries of one piece.
  private let rows: Int
  private let workspace: Workspace
  private let batch: BatchWalk

  /// - Parameters:
  ///   - q: `[…, N, D]`; `k`: `[…, M, D]`; `v`: `[…, M, E]`; `y`: `[…, N, E]` with contiguous rows, all of one rank. Leading
  ///     axes are those of `y`; they may be 1 in the others.
  ///   - bias: `[…, N, M]` with contiguous rows, of the same rank.
  ///   - scales: one, or one for each item of the batch, row-major over the leading axes.
  public init(q: Strided, k: Strided, v: Strided, y: Strided, bias: Strided?, scales: [Float], workspace: Workspace) throws(Failure) {
    let rank = y.rank
    let lead = Array(y.dims.dropLast(2))
    guard rank >= 2, [q, k, v].allSatisfy({ $0.rank == rank }), bias.map({ $0.rank == rank }) ?? true, y.strides[rank - 1] == 1 || y.dims[rank - 1] == 1,
      bias.map({ $0.strides[rank - 1] == 1 || $0.dims[rank - 1] == 1 }) ?? true, q.dims[rank - 1] == k.dims[rank - 1],
      k.dims[rank - 2] == v.dims[rank - 2], q.dims[rank - 2] == y.dims[rank - 2], v.dims[rank - 1] == y.dims[rank - 1],
      scales.count == 1 || scales.count == lead.reduce(1, &*)
    else { throw Failure(.kernelFailure, "attention of \(q.dims), \(k.dims) and \(v.dims)") }
    var shape = VCAttention()
    (shape.queries, shape.keys, shape.channels, shape.values) = (q.dims[rank - 2], k.dims[rank - 2], q.dims[rank - 1], v.dims[rank - 1])
    (shape.q_row, shape.q_column) = (q.strides[rank - 2], q.strides[rank - 1])
    (shape.k_row, shape.k_column) = (k.strides[rank - 2], k.strides[rank - 1])
    (shape.v_row, shape.v_column) = (v.strides[rank - 2], v.strides[rank - 1])
    shape.y_row = y.strides[rank - 2]
    shape.bias_row = bias.map { $0.dims[rank - 2] == 1 ? 0 : $0.strides[rank - 2] } ?? 0
    self.shape = shape
    self.scales = scales
    (self.q, self.y, hasBias) = (q, y, bias != nil)
    let operands = [q, k, v, y] + (bias.map { [$0] } ?? [])
    // The place of an item in `scales` is one more operand.
    batch = BatchWalk(
      lead, (operands + [y]).map { Array($0.dims.dropLast(2)) }, operands.map { Array($0.strides.dropLast(2)) } + [Strided.denseStrides(lead)])
    rows = batch.rowsPerPiece(shape.queries, work: shape.keys &* (shape.channels &+ shape.values))
    self.workspace = workspace
    workspace.reserve(unsafe vc_attention_scratch(&shape) * MemoryLayout<Float>.size)
  }

  public func run(q x: UnsafeRawPointer, k: UnsafeRawPointer, v: UnsafeRawPointer, bias b: UnsafeRawPointer?, y z: UnsafeMutableRawPointer) {
    let (query, key, value) = unsafe (x.assumingMemoryBound(to: Float.self), k.assumingMemoryBound(to: Float.self), v.assumingMemoryBound(to: Float.self))
    let target = unsafe z.assumingMemoryBound(to: Float.self)
    let summand = unsafe hasBias ? b?.assumingMemoryBound(to: Float.self) : nil
    let row = y.rank - 2
    let strips = (shape.queries + rows - 1) / rows
    workspace.prepare()
    batch.forEach(strips) { offsets, strip, worker in
      guard let scratch = unsafe workspace.memory(worker)?.assumingMemoryBound(to: Float.self) else { return }
      let start = strip * rows
      var piece = shape
      piece.queries = Swift.min(rows, shape.queries - start)
      let item = offsets[offsets.count - 1]
      unsafe vc_attention(
        &piece, query + (offsets[0] + start * q.strides[row]), key + offsets[1], value + offsets[2],
        summand.map { unsafe $0 + (offsets[4] + start * shape.bias_row) }, scales.count == 1 ? scales[0] : scales[item],
        target + (offsets[3] + start * y.strides[row]), scratch)
    }
  }
}
