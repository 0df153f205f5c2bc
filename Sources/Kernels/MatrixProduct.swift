internal import COneDNN
internal import CVector
public import Diagnostics

/// In what precision oneDNN multiplies; sums and results are single precision.
public enum ProductPrecision: Hashable, Sendable {
  case float32
  /// Both operands rounded to bfloat16.
  case bfloat16

  /// Whether this CPU has instructions for it.
  public var isSupported: Bool {
    self == .float32 || vc_has_bfloat16() != 0
  }
}

/// `C = post(scale * A B)` of two matrices in single precision by oneDNN, B packed once where it is constant.
///
/// Large products are cut into pieces by rows, that the threads take one after the other: oneDNN's best kernels want results
/// without gaps.
@safe public final class MatrixProduct {
  /// One piece: a whole product at an offset into each operand, in bytes.
  @safe fileprivate struct Piece {
    let primitive: Primitive
    let packed: PackedWeights?
    /// Of A, B, C, then of the bias and the fused operands.
    let offsets: [Int]
    /// Of the operands of the finish, in bytes.
    let finishOffsets: [Int]
    let c: Strided
  }
  private let pieces: [Piece]
  private let workspace: Workspace
  private let finish: Finish?
  private let rounding: Rounding?

  /// - Parameters:
  ///   - a: `[M, K]`; `b`: `[K, N]`; `c`: `[M, N]`; the bias is one row.
  ///   - constantB: where a constant B lies; it is packed once and `run` then ignores its `b`.
  ///   - precision: bfloat16 applies where B is constant.
  /// - Throws: `kernelFailure` when the shapes do not fit.
  public init(
    a: Strided, b: Strided, c: Strided, scale: Float = 1, bias: Strided? = nil, post: [PostOperation] = [], constantB: UnsafeRawPointer? = nil,
    precision: ProductPrecision = .float32, weights: WeightCache, workspace: Workspace
  ) throws(Failure) {
    guard a.rank == 2, b.rank == 2, c.rank == 2 else { throw Failure(.kernelFailure, "a matrix product of ranks \(a.rank) and \(b.rank)") }
    guard let (fused, finish) = Finish.split(post, channels: c.dims[1]) else { throw Failure(.kernelFailure, "post-operations that no kernel does") }
    self.workspace = workspace
    self.finish = finish
    rounding = unsafe precision == .bfloat16 && constantB != nil ? Rounding(a, workspace: workspace) : nil
    let left = rounding?.rounded ?? a
    let element = rounding == nil ? dnnl_f32 : dnnl_bf16
    var made: [Piece] = []
    for ranges in MatrixProduct.split(c.dims, depth: a.dims[1], finishes: finish != nil) {
      // A has no columns of C, B no rows; their own axis K stays whole.
      let (part, partStart) = left.cut([ranges[0], 0..<a.dims[1]])
      let (right, rightStart) = b.cut([0..<b.dims[0], ranges[1]])
      let (target, start) = c.cut(ranges)
      let size = MemoryLayout<Float>.size
      var offsets = [partStart * (rounding == nil ? size : 2), rightStart * size, start * size]
      let offset = bias.map { $0.cut(ranges) }
      if let offset { offsets.append(offset.start * size) }
      var operations: [PostOperation] = []
      var finishOffsets: [Int] = []
      for (place, operation) in post.enumerated() {
        guard case .binary(let kind, let layout) = operation else {
          if place < fused.count { operations.append(operation) }
          continue
        }
        let (operand, start) = layout.cut(ranges)
        if place < fused.count {
          operations.append(.binary(kind, operand))
          offsets.append(start * size)
        } else {
          finishOffsets.append(start * size)
        }
      }
      made.append(
        try unsafe Piece(
          a: part, b: right, c: target, element, scale: scale, bias: offset?.layout, post: operations, offsets: offsets, finishOffsets: finishOffsets,
          constantB: constantB.map { unsafe $0 + rightStart * size }, weights: weights, workspace: workspace))
    }
    pieces = made
  }

  /// The parts of C that are computed by themselves: for the threads, and so that what is done to the results afterwards
  /// finds them in the cache.
  private static func split(_ dims: [Int], depth: Int, finishes: Bool) -> [[Range<Int>]] {
    let whole = dims.map { 0..<$0 }
    let bytes = dims.reduce(MemoryLayout<Float>.size, &*)
    let cache = 1 << 20
    var count = Parallel.pieces
    if finishes, bytes > cache { count = Swift.max(count, (bytes + cache - 1) / cache) }
    let work = dims.reduce(1, &*) &* Swift.max(depth, 1)
    guard count > 1, work >= 1 << 18 else { return [whole] }
    let (axis, unit) = (0, 16)
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
    workspace.prepare()
    let left = unsafe try rounding?.run(a) ?? a
    try Parallel.tryForEach(pieces.count) { (index, worker) throws(Failure) in
      try unsafe pieces[index].run(left, b, c, extras, finish, worker: worker)
    }
  }
}

extension MatrixProduct.Piece {
  fileprivate init(
    a: Strided, b: Strided, c: Strided, _ element: dnnl_data_type_t, scale: Float, bias: Strided?, post: [PostOperation], offsets: [Int],
    finishOffsets: [Int], constantB: UnsafeRawPointer?, weights: WeightCache, workspace: Workspace
  ) throws(Failure) {
    self.offsets = offsets
    self.finishOffsets = finishOffsets
    self.c = c
    let attributes = try Attributes(scale: scale, post)
    var (source, plain, target) = (try OneDNN.describe(a, element), try OneDNN.describe(b), try OneDNN.describe(c))
    let packs = unsafe constantB != nil
    var matrix = packs ? try OneDNN.describe(any: b.dims, element) : plain
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
    _ a: UnsafeRawPointer, _ b: UnsafeRawPointer?, _ c: UnsafeMutableRawPointer, _ extras: [UnsafeRawPointer?], _ finish: Finish?, worker: Int
  ) throws(Failure) {
    let right = unsafe packed.map { unsafe UnsafeRawPointer($0.memory) } ?? b.map { unsafe $0 + offsets[1] }
    let target = unsafe c + offsets[2]
    var pointers: [UnsafeRawPointer?] = unsafe [a + offsets[0], right, UnsafeRawPointer(target)]
    let fused = offsets.count - 3
    for index in 0..<fused { unsafe pointers.append(extras[index].map { unsafe $0 + offsets[index + 3] }) }
    try unsafe primitive.run(pointers, worker: worker)
    guard let finish else { return }
    let operands = unsafe finishOffsets.indices.map { index in
      unsafe extras[fused + index].map { unsafe ($0 + finishOffsets[index]).assumingMemoryBound(to: Float.self) }
    }
    unsafe finish.apply(
      finish.prepared(operands), target.assumingMemoryBound(to: Float.self), rows: self.c.dims[0], stride: self.c.strides[0], count: self.c.dims[1])
  }
}

/// An operand of a product in bfloat16, made anew in every run; the weights are rounded once, when they are packed.
@safe struct Rounding {
  /// How the rounded operand lies: as the given one, or dense where that has gaps.
  let rounded: Strided
  private let given: Strided
  private let workspace: Workspace

  init(_ given: Strided, workspace: Workspace) {
    self.given = given
    self.workspace = workspace
    rounded = given.isPacked ? given : Strided(dense: given.dims)
    workspace.reserveShared(given.count * 2)
  }

  func run(_ source: UnsafeRawPointer) throws(Failure) -> UnsafeRawPointer {
    guard let target = unsafe workspace.shared?.assumingMemoryBound(to: UInt16.self) else { throw Failure(.outOfMemory, "no memory to round into") }
    let x = unsafe source.assumingMemoryBound(to: Float.self)
    let loop = StridedLoop(dims: given.dims, operands: [rounded.strides, given.strides])
    let step = loop.step(1)
    loop.forEachRow(grain: 65536) { offsets, count in
      let (to, from) = unsafe (target + offsets[0], x + offsets[1])
      if step == 1 || count == 1 {
        unsafe vc_to_bfloat16(from, to, count)
      } else {
        for i in 0..<count { unsafe vc_to_bfloat16(from + i * step, to + i, 1) }
      }
    }
    return UnsafeRawPointer(target)
  }
}
