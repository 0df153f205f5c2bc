internal import CVector
public import Diagnostics

/// Convolution of channels-last images in two spatial axes with packed filters by the own register-tile loop: a product in
/// which each result's row of the left operand is read where its window lies, one run of channels for each tap.
///
/// Meant for the same CPUs as `PackedProduct`. Unlike oneDNN's it can be cut by filters, so that the threads share the
/// small maps with many channels evenly and none reads all the weights.
@safe public final class PackedConvolution {
  private let shape: VCConvolution
  private let images: Int
  private let filters: PackedPanels
  private let chain: EpilogueChain
  private let parts: PanelParts
  private let workspace: Workspace

  /// Whether it can do it and is the faster one: with fewer channels the runs are too short.
  public static func isFast(x: [Int], weights: [Int], groups: Int) -> Bool {
    PackedProduct.isFast && x.count == 4 && weights.count == 4 && groups == 1 && weights[1] == x[1] && x[1] >= 16
  }

  /// - Parameters:
  ///   - x: `(N, C, H, W)`; `y`: `(N, M, H', W')`; both lie channels-last without gaps.
  ///   - weights: `(M, C, kernel rows, kernel columns)`, dense and finite, at any address, constant.
  ///   - bias: whether there is one, of M elements.
  ///   - post: operands have M elements, or lie as `y` does.
  public init(
    x: [Int], y: [Int], weights: UnsafePointer<Float>, window: WindowGeometry, bias: Bool, post: [PostOperation], cache: WeightCache, workspace: Workspace
  ) throws(Failure) {
    guard x.count == 4, y.count == 4, x[0] == y[0], window.kernel.count == 2 else { throw Failure(.kernelFailure, "a convolution of \(x) to \(y)") }
    images = x[0]
    var chain = EpilogueChain()
    if bias { chain.append(.add, .vector) }
    for operation in post {
      switch operation {
      case .function(let function): chain.append(function)
      case .binary(let kind, let layout):
        guard layout.count == y[1] || layout.count == y.reduce(1, &*) else { throw Failure(.kernelFailure, "an operand of \(layout.dims) for results of \(y)") }
        chain.append(kind, layout.count == y[1] ? .vector : .rows(y[1]))
      }
    }
    self.chain = chain
    let taps = window.kernel[0] &* window.kernel[1]
    filters = try unsafe cache.filters(weights, channels: x[1], taps: taps, count: y[1])
    var shape = unsafe VCConvolution()
    unsafe (shape.channels, shape.filters) = (x[1], y[1])
    unsafe (shape.x_rows, shape.x_columns, shape.y_rows, shape.y_columns) = (x[2], x[3], y[2], y[3])
    unsafe (shape.kernel_rows, shape.kernel_columns) = (window.kernel[0], window.kernel[1])
    unsafe (shape.row_stride, shape.column_stride) = (window.strides[0], window.strides[1])
    unsafe (shape.row_pad, shape.column_pad) = (window.padBegin[0], window.padBegin[1])
    unsafe (shape.row_dilation, shape.column_dilation) = (window.dilations[0], window.dilations[1])
    unsafe self.shape = shape
    parts = PanelParts(rows: y[2] &* y[3], columns: y[1], depth: x[1] &* taps)
    self.workspace = workspace
    workspace.reserve(unsafe vc_packed_convolution_scratch(&shape) * MemoryLayout<Float>.size)
  }

  /// - Parameter extras: the bias if there is one, then the operands of binary post-operations in their order.
  public func run(x: UnsafeRawPointer, y: UnsafeMutableRawPointer, extras: [UnsafeRawPointer?] = unsafe []) {
    workspace.prepare()
    let (source, target) = unsafe (x.assumingMemoryBound(to: Float.self), y.assumingMemoryBound(to: Float.self))
    let posts = unsafe chain.prepared(extras)
    let input = unsafe shape.x_rows * shape.x_columns * shape.channels
    let output = unsafe shape.y_rows * shape.y_columns * shape.filters
    Parallel.forEach(images * parts.count) { index, worker in
      guard let scratch = unsafe workspace.memory(worker)?.assumingMemoryBound(to: Float.self) else { return }
      let (image, part) = (index / parts.count, index % parts.count)
      let (pixels, panels) = parts[part]
      // Operands of the result's shape start where the image does.
      var own = unsafe posts
      for place in unsafe own.indices where unsafe own[place].operand_row != 0 {
        unsafe own[place].operand = own[place].operand.map { unsafe $0 + image * output }
      }
      unsafe own.withUnsafeBufferPointer { posts in
        var shape = unsafe self.shape
        unsafe (shape.posts, shape.post_count) = (posts.baseAddress, posts.count)
        unsafe vc_packed_convolution(
          &shape, source + image * input, filters.memory, target + image * output, pixels.lowerBound, pixels.upperBound, panels.lowerBound,
          panels.upperBound, scratch)
      }
    }
  }
}
