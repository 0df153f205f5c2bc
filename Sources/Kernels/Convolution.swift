internal import COneDNN
internal import CVector
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

extension WindowGeometry {
  /// Whether windows leave the image.
  public var isPadded: Bool { (padBegin + padEnd).contains { $0 > 0 } }

  /// Whether the fast kernels compute a convolution with these filters exactly: they multiply padding, which is no operand
  /// of the sums, by the filters, and zero times infinity would be NaN.
  public func allows(filters: UnsafeRawPointer, count: Int) -> Bool { unsafe !isPadded || vc_all_finite(filters, count) != 0 }
}

/// Convolution in one to three spatial axes by oneDNN: groups, dilation, padding, bias, post-operations.
///
/// Input and output lie channels-last, so that strips of rows are pieces for the threads.
@safe public final class Convolution {
  @safe private struct Piece {
    let primitive: Primitive
    let packed: PackedWeights
    let place: WindowPiece
  }
  private let pieces: [Piece]
  /// The bias and the operands of fused operations; which of them have the result's shape.
  private let fusedCount: Int
  private let wholeOperands: Set<Int>
  private let finish: Finish?
  private let rounding: Rounding?
  private let y: Strided
  private let finishLayouts: [Strided]
  private let workspace: Workspace

  /// - Parameters:
  ///   - x: `(N, C, …)`; `y`: `(N, M, …)`; both channels-last without gaps.
  ///   - weights: `(M, C / groups, …)`, dense, lying at `constantWeights`.
  public init(
    x: Strided, weights: [Int], y: Strided, window: WindowGeometry, groups: Int, bias: Bool, post: [PostOperation] = [],
    constantWeights: UnsafeRawPointer, precision: ProductPrecision = .float32, cache: WeightCache, workspace: Workspace
  ) throws(Failure) {
    guard x.rank >= 3, x.rank == y.rank, weights.count == x.rank, groups >= 1, weights[0] % groups == 0 else {
      throw Failure(.kernelFailure, "a convolution of ranks \(x.rank) and \(weights.count)")
    }
    guard let (fused, finish) = Finish.split(post, channels: y.dims[1]) else { throw Failure(.kernelFailure, "post-operations that no kernel does") }
    (self.finish, self.y, self.workspace) = (finish, y, workspace)
    rounding = precision == .bfloat16 ? Rounding(x, workspace: workspace) : nil
    let element = rounding == nil ? dnnl_f32 : dnnl_bf16
    let layouts = post.compactMap { operation -> Strided? in if case .binary(_, let layout) = operation { layout } else { nil } }
    let fusedOperands = fused.count { if case .binary = $0 { true } else { false } }
    finishLayouts = Array(layouts.dropFirst(fusedOperands))
    let first = bias ? 1 : 0
    fusedCount = fusedOperands + first
    wholeOperands = Set(layouts.prefix(fusedOperands).indices.filter { layouts[$0].count == y.count }.map { $0 + first })
    var made: [Piece] = []
    for place in WindowPiece.cut(x, y, window, limit: finish == nil ? nil : 1 << 20) {
      let operations = fused.map { operation -> PostOperation in
        guard case .binary(let kind, let layout) = operation, layout.count == y.count else { return operation }
        return .binary(kind, place.y)
      }
      let (primitive, packed) = try unsafe Convolution.prepare(
        place, element, weights: weights, groups: groups, bias: bias, operations, constantWeights, cache: cache, workspace: workspace)
      made.append(Piece(primitive: primitive, packed: packed, place: place))
    }
    pieces = made
  }

  private static func prepare(
    _ place: WindowPiece, _ element: dnnl_data_type_t, weights: [Int], groups: Int, bias: Bool, _ post: [PostOperation], _ constant: UnsafeRawPointer,
    cache: WeightCache, workspace: Workspace
  ) throws(Failure) -> (Primitive, PackedWeights) {
    let attributes = try Attributes(post)
    let grouped = groups == 1 ? weights : [groups, weights[0] / groups] + weights.dropFirst()
    var (source, target) = (try OneDNN.describe(place.x, element), try OneDNN.describe(place.y))
    var matrix = try OneDNN.describe(any: grouped, element)
    var offset = try OneDNN.describe(Strided(dense: [weights[0]]))
    var operation = dnnl_convolution_desc_t()
    let window = place.window
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
    let packed = try unsafe cache.packed(constant, OneDNN.describe(Strided(dense: grouped)), as: matrix)
    var arguments: [(Int32, dnnl_memory_desc_t)] = [(DNNL_ARG_SRC, source), (DNNL_ARG_WEIGHTS, matrix), (DNNL_ARG_DST, target)]
    if bias { arguments.append((DNNL_ARG_BIAS, offset)) }
    return (try unsafe Primitive(consuming: descriptor, arguments: arguments + attributes.operands, workspace: workspace), packed)
  }

  /// - Parameter extras: the bias if there is one, then the operands of binary post-operations in their order.
  public func run(x: UnsafeRawPointer, y: UnsafeMutableRawPointer, extras: [UnsafeRawPointer?] = unsafe []) throws(Failure) {
    workspace.prepare()
    let source = unsafe try rounding?.run(x) ?? x
    let size = MemoryLayout<Float>.size
    try Parallel.tryForEach(pieces.count) { (index, worker) throws(Failure) in
      let piece = pieces[index]
      let start = piece.place.yStart * size
      let target = unsafe y + start
      var pointers: [UnsafeRawPointer?] = unsafe [
        source + piece.place.xStart * (rounding == nil ? size : 2), UnsafeRawPointer(piece.packed.memory), UnsafeRawPointer(target),
      ]
      // Operands of the result's shape start where the piece does.
      for place in 0..<fusedCount { unsafe pointers.append(wholeOperands.contains(place) ? extras[place].map { unsafe $0 + start } : extras[place]) }
      try unsafe piece.primitive.run(pointers, worker: worker)
      guard let finish else { return }
      let operands = unsafe finishLayouts.indices.map { place in
        unsafe extras[fusedCount + place].map { pointer in
          unsafe (pointer + (finishLayouts[place].count == self.y.count ? start : 0)).assumingMemoryBound(to: Float.self)
        }
      }
      let channels = self.y.dims[1]
      unsafe finish.apply(
        finish.prepared(operands), target.assumingMemoryBound(to: Float.self), rows: piece.place.y.count / Swift.max(channels, 1), stride: channels,
        count: channels)
    }
  }
}
