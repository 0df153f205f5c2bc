internal import COneDNN
public import Diagnostics

/// `C = post(scale * A B)` in single precision by oneDNN, batched over the leading axes (which broadcast), at any strides.
///
/// Large products are cut into pieces, by columns, rows or batches, that the threads take one after the other.
@safe public final class MatrixProduct {
  /// One piece: a whole product at an offset into each operand, in bytes.
  @safe fileprivate struct Piece {
    let primitive: Primitive
    let packed: PackedWeights?
    let offsets: [Int]
  }
  private let pieces: [Piece]
  private let workspace: Workspace

  /// - Parameters:
  ///   - a: `[…, M, K]`; `b`: `[…, K, N]`; `c`: `[…, M, N]`, all of one rank. Leading axes of `a` and `b` may be 1.
  ///   - bias, post: for products of two matrices only; the bias is one row.
  ///   - constantB: where a constant B lies; it is packed once and `run` then ignores its `b`.
  /// - Throws: `kernelFailure` when the shapes do not fit.
  public init(
    a: Strided, b: Strided, c: Strided, scale: Float = 1, bias: Strided? = nil, post: [PostOperation] = [], constantB: UnsafeRawPointer? = nil,
    weights: WeightCache, workspace: Workspace
  ) throws(Failure) {
    guard a.rank == c.rank, b.rank == c.rank, c.rank >= 2 else { throw Failure(.kernelFailure, "a matrix product of ranks \(a.rank) and \(b.rank)") }
    // oneDNN 2.6 loses the operands of post-operations on some batched products.
    guard c.rank == 2 || post.isEmpty && bias == nil else { throw Failure(.kernelFailure, "post-operations of a batched matrix product") }
    self.workspace = workspace
    var made: [Piece] = []
    let whole = [Range](c.dims.map { 0..<$0 })
    for ranges in MatrixProduct.split(c.dims, depth: a.dims[a.rank - 1]) {
      // A has no columns of C, B no rows; their own axis K stays whole.
      let (left, leftStart) = a.cut(Array(ranges.dropLast()) + [0..<a.dims[a.rank - 1]])
      let (right, rightStart) = b.cut(Array(ranges.dropLast(2)) + [0..<b.dims[b.rank - 2], ranges[ranges.count - 1]])
      let (target, start) = c.cut(ranges)
      var offsets = [leftStart, rightStart, start]
      let offset = bias.map { $0.cut(ranges) }
      if let offset { offsets.append(offset.start) }
      var operations: [PostOperation] = []
      for operation in post {
        guard case .binary(let kind, let layout) = operation, ranges != whole else {
          operations.append(operation)
          if case .binary = operation { offsets.append(0) }
          continue
        }
        let (part, start) = layout.cut(ranges)
        operations.append(.binary(kind, part))
        offsets.append(start)
      }
      made.append(
        try unsafe Piece(
          a: left, b: right, c: target, scale: scale, bias: offset?.layout, post: operations, offsets: offsets.map { $0 * MemoryLayout<Float>.size },
          constantB: constantB.map { unsafe $0 + rightStart * MemoryLayout<Float>.size }, weights: weights, workspace: workspace))
    }
    pieces = made
  }

  /// The parts of C that are computed by themselves.
  private static func split(_ dims: [Int], depth: Int) -> [[Range<Int>]] {
    let whole = dims.map { 0..<$0 }
    let count = Parallel.pieces
    let work = dims.reduce(1, &*) &* Swift.max(depth, 1)
    guard count > 1, work >= 1 << 18 else { return [whole] }
    let rank = dims.count
    // Batches first, since nothing is read twice; then columns in multiples of the kernels' block; then rows.
    let batch = (0..<rank - 2).max { dims[$0] < dims[$1] }
    let axis: Int
    var unit = 1
    if let batch, dims[batch] >= count {
      axis = batch
    } else if dims[rank - 1] >= 64 * count || dims[rank - 1] >= dims[rank - 2] && dims[rank - 1] >= 128 {
      (axis, unit) = (rank - 1, 64)
    } else {
      (axis, unit) = (rank - 2, 16)
    }
    let units = (dims[axis] + unit - 1) / unit
    let parts = Swift.min(count, units)
    return (0..<parts).compactMap { part in
      let range = Swift.min(units * part / parts * unit, dims[axis])..<Swift.min(units * (part + 1) / parts * unit, dims[axis])
      guard !range.isEmpty else { return nil }
      var ranges = whole
      ranges[axis] = range
      return ranges
    }
  }

  /// - Parameter extras: the bias if there is one, then the operands of binary post-operations in their order.
  public func run(a: UnsafeRawPointer, b: UnsafeRawPointer?, c: UnsafeMutableRawPointer, extras: [UnsafeRawPointer?] = unsafe []) throws(Failure) {
    if pieces.count == 1 {
      try unsafe pieces[0].run(a, b, c, extras, worker: 0)
      return
    }
    workspace.prepare()
    var failures = [Failure?](repeating: nil, count: pieces.count)
    unsafe failures.withUnsafeMutableBufferPointer { failures in
      Parallel.forEach(pieces.count) { index, worker in
        do throws(Failure) {
          try unsafe pieces[index].run(a, b, c, extras, worker: worker)
        } catch {
          unsafe failures[index] = error
        }
      }
    }
    for case let failure? in failures { throw failure }
  }
}

extension MatrixProduct.Piece {
  fileprivate init(
    a: Strided, b: Strided, c: Strided, scale: Float, bias: Strided?, post: [PostOperation], offsets: [Int], constantB: UnsafeRawPointer?,
    weights: WeightCache, workspace: Workspace
  ) throws(Failure) {
    self.offsets = offsets
    let attributes = try Attributes(scale: scale, post)
    var (source, plain, target) = (try OneDNN.describe(a), try OneDNN.describe(b), try OneDNN.describe(c))
    let packs = unsafe constantB != nil
    var matrix = packs ? try OneDNN.describe(any: b.dims) : plain
    var operation = dnnl_matmul_desc_t()
    var biasDescription = dnnl_memory_desc_t()
    if let bias {
      biasDescription = try OneDNN.describe(bias)
      try OneDNN.check(unsafe dnnl_matmul_desc_init(&operation, &source, &matrix, &biasDescription, &target), "a matrix product")
    } else {
      try OneDNN.check(unsafe dnnl_matmul_desc_init(&operation, &source, &matrix, nil, &target), "a matrix product")
    }
    var created: dnnl_primitive_desc_t?
    try OneDNN.check(unsafe dnnl_primitive_desc_create(&created, &operation, attributes.handle, OneDNN.engine, nil), "a matrix product")
    guard let descriptor = unsafe created else { throw Failure(.kernelFailure, "oneDNN made no matrix product") }
    if packs, let constantB = unsafe constantB, let chosen = unsafe dnnl_primitive_desc_query_md(descriptor, dnnl_query_weights_md, 0) {
      matrix = unsafe chosen.pointee
      packed = try unsafe weights.packed(constantB, plain, as: matrix)
    } else {
      packed = nil
    }
    plain = matrix
    var arguments: [(Int32, dnnl_memory_desc_t)] = [(DNNL_ARG_SRC, source), (DNNL_ARG_WEIGHTS, plain), (DNNL_ARG_DST, target)]
    if bias != nil { arguments.append((DNNL_ARG_BIAS, biasDescription)) }
    primitive = try unsafe Primitive(consuming: descriptor, arguments: arguments + attributes.operands, workspace: workspace)
  }

  fileprivate func run(
    _ a: UnsafeRawPointer, _ b: UnsafeRawPointer?, _ c: UnsafeMutableRawPointer, _ extras: [UnsafeRawPointer?], worker: Int
  ) throws(Failure) {
    let right = unsafe packed.map { unsafe UnsafeRawPointer($0.memory) } ?? b.map { unsafe $0 + offsets[1] }
    var pointers: [UnsafeRawPointer?] = unsafe [a + offsets[0], right, UnsafeRawPointer(c) + offsets[2]]
    for index in unsafe extras.indices { unsafe pointers.append(extras[index].map { unsafe $0 + offsets[index + 3] }) }
    try unsafe primitive.run(pointers, worker: worker)
  }
}
