internal import COneDNN
public import Diagnostics

/// `C = post(scale * A B)` in single precision by oneDNN, batched over the leading axes (which broadcast), at any strides.
@safe public final class MatrixProduct {
  private let primitive: Primitive
  private let packed: PackedWeights?

  /// - Parameters:
  ///   - a: `[…, M, K]`; `b`: `[…, K, N]`; `c`: `[…, M, N]`, all of one rank. Leading axes of `a` and `b` may be 1.
  ///   - constantB: where a constant B lies; it is packed once and `run` then ignores its `b`.
  /// - Throws: `kernelFailure` when the shapes do not fit.
  public init(
    a: Strided, b: Strided, c: Strided, scale: Float = 1, bias: Strided? = nil, post: [PostOperation] = [], constantB: UnsafeRawPointer? = nil,
    weights: WeightCache, workspace: Workspace
  ) throws(Failure) {
    guard a.rank == c.rank, b.rank == c.rank, c.rank >= 2 else { throw Failure(.kernelFailure, "a matrix product of ranks \(a.rank) and \(b.rank)") }
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

  /// - Parameter extras: the bias if there is one, then the operands of binary post-operations in their order.
  public func run(a: UnsafeRawPointer, b: UnsafeRawPointer?, c: UnsafeMutableRawPointer, extras: [UnsafeRawPointer?] = unsafe []) throws(Failure) {
    try unsafe primitive.run([a, packed.map { unsafe UnsafeRawPointer($0.memory) } ?? b, UnsafeRawPointer(c)] + extras)
  }
}
