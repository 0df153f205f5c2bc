internal import CVector
public import Diagnostics

/// Depth-wise convolution of channels-last images in two spatial axes by the own vector loop, which gathers a few rows of
/// sixteen channels before it reads them often.
@safe public final class DepthwiseConvolution {
  private var shape: VCDepthwise
  private let images: Int
  /// (channels / 16, kernel rows, kernel columns, 16), zero behind the last channel.
  private let taps: [Float]
  private let finish: Finish?
  private let workspace: Workspace

  /// Whether the loop can do it: one filter for each channel, two spatial axes, and post-operations it knows.
  public static func supports(x: [Int], weights: [Int], groups: Int, post: [PostOperation]) -> Bool {
    x.count == 4 && weights.count == 4 && groups == x[1] && weights[0] == groups && weights[1] == 1 && weights[2] <= Int(VC_DEPTHWISE_ROWS)
      && (post.isEmpty || Finish(post, channels: groups) != nil)
  }

  /// - Parameters:
  ///   - x, y: dimensions `(N, C, H, W)`; both lie channels-last without gaps.
  ///   - weights: `(C, 1, kernel rows, kernel columns)`, dense.
  public init(x: [Int], y: [Int], weights: UnsafeRawPointer, window: WindowGeometry, post: [PostOperation], workspace: Workspace) throws(Failure) {
    guard x.count == 4, y.count == 4, x[1] == y[1], window.kernel.count == 2, window.kernel[0] <= Int(VC_DEPTHWISE_ROWS) else {
      throw Failure(.kernelFailure, "a depth-wise convolution of \(x)")
    }
    images = x[0]
    var shape = VCDepthwise()
    (shape.channels, shape.x_rows, shape.x_columns, shape.y_rows, shape.y_columns) = (x[1], x[2], x[3], y[2], y[3])
    (shape.kernel_rows, shape.kernel_columns) = (window.kernel[0], window.kernel[1])
    (shape.row_stride, shape.column_stride) = (window.strides[0], window.strides[1])
    (shape.row_pad, shape.column_pad) = (window.padBegin[0], window.padBegin[1])
    (shape.row_dilation, shape.column_dilation) = (window.dilations[0], window.dilations[1])
    self.shape = shape
    finish = post.isEmpty ? nil : Finish(post, channels: x[1])
    let (lanes, count) = (Int(VC_DEPTHWISE_CHANNELS), window.kernel[0] * window.kernel[1])
    var packed = [Float](repeating: 0, count: (x[1] + lanes - 1) / lanes * lanes * count)
    for channel in 0..<x[1] {
      for tap in 0..<count {
        packed[(channel / lanes * count + tap) * lanes + channel % lanes] = unsafe weights.loadUnaligned(
          fromByteOffset: (channel * count + tap) * 4, as: Float.self)
      }
    }
    taps = packed
    self.workspace = workspace
    workspace.reserve(unsafe vc_depthwise_scratch(&shape) * MemoryLayout<Float>.size)
  }

  /// - Parameter operands: of the post-operations, in their order.
  public func run(x: UnsafePointer<Float>, bias: UnsafePointer<Float>?, y: UnsafeMutablePointer<Float>, operands: [UnsafePointer<Float>?]) {
    let lanes = Int(VC_DEPTHWISE_CHANNELS)
    let blocks = (shape.channels + lanes - 1) / lanes
    let taps = shape.kernel_rows * shape.kernel_columns * lanes
    let then = unsafe finish?.prepared(operands) ?? VCEpilogue()
    // Few channels are cut into strips of rows as well.
    let strips = Swift.max(1, Swift.min(Parallel.pieces / Swift.max(blocks * images, 1), shape.y_rows / 4))
    workspace.prepare()
    unsafe self.taps.withUnsafeBufferPointer { packed in
      guard let packed = packed.baseAddress else { return }
      // Neighboring channels share lines of memory, so that each thread takes a run of them.
      let total = images * blocks * strips
      let runs = Swift.min(total, Parallel.pieces == 1 ? 1 : 2 * Parallel.pieces)
      Parallel.forEach(runs) { run, worker in
        guard let scratch = unsafe workspace.memory(worker)?.assumingMemoryBound(to: Float.self) else { return }
        for index in total * run / runs..<total * (run + 1) / runs {
          let (strip, block, image) = (index % strips, index / strips % blocks, index / strips / blocks)
          let start = image * shape.y_rows * shape.y_columns * shape.channels
          var shape = shape
          var own = unsafe then
          unsafe own.operand = own.operand.map { unsafe $0 + start }
          unsafe vc_depthwise(
            &shape, x + image * shape.x_rows * shape.x_columns * shape.channels, packed + block * taps, bias, &own, y + start, block * lanes,
            shape.y_rows * strip / strips, shape.y_rows * (strip + 1) / strips, scratch)
        }
      }
    }
  }
}
