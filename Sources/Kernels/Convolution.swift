internal import COneDNN
public import Diagnostics

/// The geometry of a sliding window; one entry for each spatial axis.
public struct WindowGeometry: Hashable, Sendable {
  public var kernel: [Int]
  public var strides: [Int]
  /// 1 for neighbors.
  public var dilations: [Int]
  public var padBegin: [Int]
  public var padEnd: [Int]
  public init(kernel: [Int], strides: [Int], dilations: [Int], padBegin: [Int], padEnd: [Int]) {
    self.kernel = kernel
    self.strides = strides
    self.dilations = dilations
    self.padBegin = padBegin
    self.padEnd = padEnd
  }
}

/// Convolution in one to three spatial axes by oneDNN: groups, depth-wise, dilation, padding, bias, post-operations.
@safe public final class Convolution {
  private let primitive: Primitive
  private let packed: PackedWeights
  /// Whether oneDNN has only its plain loop for these layouts.
  public let isSlow: Bool

  /// - Parameters:
  ///   - x: `(N, C, …)`; `y`: `(N, M, …)`; both at any packed strides.
  ///   - weights: `(M, C / groups, …)`, dense, lying at `constantWeights`.
  public init(
    x: Strided, weights: [Int], y: Strided, window: WindowGeometry, groups: Int, bias: Bool, post: [PostOperation] = [],
    constantWeights: UnsafeRawPointer, cache: WeightCache, workspace: Workspace
  ) throws(Failure) {
    guard x.rank >= 3, x.rank == y.rank, weights.count == x.rank, groups >= 1, weights[0] % groups == 0 else {
      throw Failure(.kernelFailure, "a convolution of ranks \(x.rank) and \(weights.count)")
    }
    let attributes = try Attributes(post)
    let grouped = groups == 1 ? weights : [groups, weights[0] / groups] + weights.dropFirst()
    var (source, target) = (try OneDNN.describe(x), try OneDNN.describe(y))
    var matrix = try OneDNN.describe(any: grouped)
    var offset = try OneDNN.describe(Strided(dense: [weights[0]]))
    var operation = dnnl_convolution_desc_t()
    let (strides, dilations) = (OneDNN.padded(window.strides), OneDNN.padded(window.dilations.map { $0 - 1 }))
    let (begin, end) = (OneDNN.padded(window.padBegin), OneDNN.padded(window.padEnd))
    if bias {
      try OneDNN.check(
        unsafe dnnl_dilated_convolution_forward_desc_init(
          &operation, dnnl_forward_inference, dnnl_convolution_auto, &source, &matrix, &offset, &target, strides, dilations, begin, end), "a convolution")
    } else {
      try OneDNN.check(
        unsafe dnnl_dilated_convolution_forward_desc_init(
          &operation, dnnl_forward_inference, dnnl_convolution_auto, &source, &matrix, nil, &target, strides, dilations, begin, end), "a convolution")
    }
    var created: dnnl_primitive_desc_t?
    try OneDNN.check(unsafe dnnl_primitive_desc_create(&created, &operation, attributes.handle, OneDNN.engine, nil), "a convolution")
    guard let descriptor = unsafe created, let chosen = unsafe dnnl_primitive_desc_query_md(descriptor, dnnl_query_weights_md, 0) else {
      throw Failure(.kernelFailure, "oneDNN made no convolution")
    }
    matrix = unsafe chosen.pointee
    var name: UnsafePointer<CChar>?
    let told = unsafe withUnsafeMutablePointer(to: &name) { unsafe dnnl_primitive_desc_query(descriptor, dnnl_query_impl_info_str, 0, $0) }
    isSlow = unsafe told == dnnl_success && (name.map { unsafe String(cString: $0).hasPrefix("ref") } ?? false)
    packed = try unsafe cache.packed(constantWeights, OneDNN.describe(Strided(dense: grouped)), as: matrix)
    var arguments: [(Int32, dnnl_memory_desc_t)] = [(DNNL_ARG_SRC, source), (DNNL_ARG_WEIGHTS, matrix), (DNNL_ARG_DST, target)]
    if bias { arguments.append((DNNL_ARG_BIAS, offset)) }
    primitive = try unsafe Primitive(consuming: descriptor, arguments: arguments + attributes.operands, workspace: workspace)
  }

  /// - Parameter extras: the bias if there is one, then the operands of binary post-operations in their order.
  public func run(x: UnsafeRawPointer, y: UnsafeMutableRawPointer, extras: [UnsafeRawPointer?] = unsafe []) throws(Failure) {
    try unsafe primitive.run([x, UnsafeRawPointer(packed.memory), UnsafeRawPointer(y)] + extras)
  }
}
