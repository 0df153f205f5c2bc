internal import CVector
public import Diagnostics

/// `C = scale * A B` of two activations, batched over the leading axes (which broadcast), by the own register-tile loop:
/// neither operand is worth packing, and any strides are read where they lie.
@safe public final class ActivationProduct {
  private let a, b, c: Strided
  private let scale: Float
  private let batch: BatchWalk
  /// Rows of one piece.
  private let rows: Int
  private let workspace: Workspace

  /// - Parameters: `a` `[…, M, K]`, `b` `[…, K, N]`, `c` `[…, M, N]` with contiguous rows, all of one rank; leading axes of
  ///   `a` and `b` may be 1.
  public init(a: Strided, b: Strided, c: Strided, scale: Float, workspace: Workspace) throws(Failure) {
    let rank = c.rank
    guard a.rank == rank, b.rank == rank, rank >= 2, c.strides[rank - 1] == 1 || c.dims[rank - 1] == 1, a.dims[rank - 1] == b.dims[rank - 2] else {
      throw Failure(.kernelFailure, "a product of \(a.dims) and \(b.dims)")
    }
    (self.a, self.b, self.c, self.scale, self.workspace) = (a, b, c, scale, workspace)
    batch = BatchWalk(Array(c.dims.dropLast(2)), [a, b, c].map { Array($0.dims.dropLast(2)) }, [a, b, c].map { Array($0.strides.dropLast(2)) })
    rows = batch.rowsPerPiece(c.dims[rank - 2], work: c.dims[rank - 1] &* a.dims[rank - 1])
    workspace.reserve(vc_product_scratch() * MemoryLayout<Float>.size)
  }

  public func run(a x: UnsafeRawPointer, b y: UnsafeRawPointer, c z: UnsafeMutableRawPointer) {
    let (left, right, target) = unsafe (
      x.assumingMemoryBound(to: Float.self), y.assumingMemoryBound(to: Float.self), z.assumingMemoryBound(to: Float.self)
    )
    let rank = c.rank
    let (row, column) = (rank - 2, rank - 1)
    let strips = (c.dims[row] + rows - 1) / Swift.max(rows, 1)
    workspace.prepare()
    batch.forEach(strips) { offsets, strip, worker in
      guard let scratch = unsafe workspace.memory(worker)?.assumingMemoryBound(to: Float.self) else { return }
      let start = strip * rows
      unsafe vc_product(
        left + (offsets[0] + start * a.strides[row]), a.strides[row], a.strides[column], right + offsets[1], b.strides[row], b.strides[column],
        target + (offsets[2] + start * c.strides[row]), c.strides[row], Swift.min(rows, c.dims[row] - start), c.dims[column], a.dims[column], scale, scratch)
    }
  }
}

/// The items of a batch over several operands whose axes of one element repeat, cut further into strips of rows and
/// spread over the threads.
struct BatchWalk {
  private let dims: [Int]
  private let strides: [[Int]]
  let count: Int

  init(_ dims: [Int], _ operands: [[Int]], _ strides: [[Int]]) {
    self.dims = dims
    self.strides = zip(operands, strides).map { sizes, steps in zip(sizes, steps).map { $0 == 1 ? 0 : $1 } }
    count = dims.reduce(1, &*)
  }

  /// So many that all threads have work, and no fewer than make a piece worth its start. Multiples of the register tile
  /// and of the attention kernel's tiles of queries.
  func rowsPerPiece(_ rows: Int, work: Int) -> Int {
    let wanted = Parallel.pieces
    guard wanted > 1, count < wanted, count > 0 else { return Swift.max(rows, 1) }
    let strips = (wanted + count - 1) / count
    let even = (rows + strips - 1) / strips
    let least = (1 << 16) / Swift.max(work, 1) + 1
    return Swift.max(1, (Swift.max(even, least) + 47) / 48 * 48)
  }

  /// Calls `body(offsets, strip, worker)` for each item and strip.
  func forEach(_ strips: Int, _ body: (_ offsets: [Int], _ strip: Int, _ worker: Int) -> Void) {
    // Several items a piece, so that small ones are not drowned in calls.
    let total = count &* strips
    // Asked here: a worker's own number of threads is one.
    let parts = Parallel.pieces == 1 ? Swift.min(total, 1) : Swift.min(Parallel.pieces * 4, total)
    Parallel.forEach(parts) { piece, worker in
      for index in total * piece / parts..<total * (piece + 1) / parts {
        var rest = index / strips
        var offsets = [Int](repeating: 0, count: strides.count)
        for axis in dims.indices.reversed() {
          let place = rest % dims[axis]
          rest /= dims[axis]
          for k in offsets.indices { offsets[k] &+= place &* strides[k][axis] }
        }
        body(offsets, index % strips, worker)
      }
    }
  }
}
