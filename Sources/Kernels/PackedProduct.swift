internal import CVector
public import Diagnostics

/// `C = post(scale * A B)` of rows of activations and constant weights by the own register-tile loop, with B packed once
/// into panels of columns. Whatever follows is done to a few rows of a panel at a time, while they are in the first cache.
///
/// For CPUs with AVX-512, where it is as fast as oneDNN's product, starts without generating code, and takes operands and
/// results at any strides and any post-operations; elsewhere `MatrixProduct` is faster.
@safe public final class PackedProduct {
  private var shape: VCPackedProduct
  private let rows: Int
  private let weights: PackedPanels
  private let steps: [Step]
  private let parts: (rows: Int, panels: Int)
  private let workspace: Workspace

  private enum Step {
    case function(Pointwise.Function)
    /// With the operand at this place; how far its next row is.
    case binary(Pointwise.Operation, operand: Int, row: Int)
  }

  /// Whether this CPU is one for which it is meant.
  public static var isFast: Bool { vc_unit() == .AVX512 }

  /// - Parameters: as of `MatrixProduct`; `b` lies at `constantB`.
  public init(
    a: Strided, b: Strided, c: Strided, scale: Float = 1, bias: Strided? = nil, post: [PostOperation] = [], constantB: UnsafePointer<Float>,
    cache: WeightCache, workspace: Workspace
  ) throws(Failure) {
    guard a.rank == 2, b.rank == 2, c.rank == 2, a.dims[1] == b.dims[0], c.dims == [a.dims[0], b.dims[1]], c.strides[1] == 1 || c.dims[1] == 1 else {
      throw Failure(.kernelFailure, "a product of \(a.dims) and \(b.dims)")
    }
    rows = c.dims[0]
    var steps: [Step] = scale == 1 ? [] : [.function(.affine(scale, 0))]
    var place = 0
    func add(_ operation: Pointwise.Operation, _ layout: Strided) throws(Failure) {
      let wide = layout.dims.last == c.dims[1] && (layout.strides.last == 1 || c.dims[1] == 1)
      guard layout.rank == 2, wide, layout.dims[0] == 1 || layout.dims[0] == c.dims[0] else {
        throw Failure(.kernelFailure, "an operand of \(layout.dims) for results of \(c.dims)")
      }
      steps.append(.binary(operation, operand: place, row: layout.dims[0] == 1 ? 0 : layout.strides[0]))
      place += 1
    }
    if let bias { try add(.add, bias) }
    for operation in post {
      switch operation {
      case .function(let function): steps.append(.function(function))
      case .binary(let kind, let layout): try add(kind, layout)
      }
    }
    self.steps = steps
    weights = try unsafe cache.panels(constantB, b)
    var shape = unsafe VCPackedProduct()
    unsafe (shape.columns, shape.depth) = (c.dims[1], a.dims[1])
    unsafe (shape.a_row, shape.a_column, shape.c_row) = (a.strides[0], a.strides[1], c.strides[0])
    unsafe self.shape = shape
    parts = PackedProduct.split(rows, panels: (c.dims[1] + Int(VC_PANEL) - 1) / Int(VC_PANEL), depth: a.dims[1])
    self.workspace = workspace
    workspace.reserve(vc_packed_product_scratch() * MemoryLayout<Float>.size)
  }

  /// Columns where there are many, since then no weight is read twice; else rows.
  private static func split(_ rows: Int, panels: Int, depth: Int) -> (rows: Int, panels: Int) {
    let pieces = Parallel.pieces
    guard pieces > 1, rows &* panels &* depth >= 1 << 12 else { return (1, 1) }
    if panels >= 2 * pieces { return (1, pieces) }
    if rows >= 24 * pieces { return (pieces, 1) }
    let columns = Swift.min(pieces, panels)
    return (Swift.max(1, Swift.min(pieces / columns, rows / 12)), columns)
  }

  /// - Parameter extras: the bias if there is one, then the operands of binary post-operations in their order.
  public func run(a: UnsafeRawPointer, c: UnsafeMutableRawPointer, extras: [UnsafeRawPointer?] = unsafe []) {
    workspace.prepare()
    let posts = unsafe steps.map { step -> VCPost in
      var post = unsafe VCPost()
      switch step {
      case .function(let function): unsafe (post.function, post.a, post.b) = function.code
      case .binary(let operation, let operand, let row):
        unsafe post.is_binary = 1
        unsafe post.operation = operation.code
        unsafe post.operand = extras[operand]?.assumingMemoryBound(to: Float.self)
        unsafe post.operand_row = row
      }
      return unsafe post
    }
    let (left, target) = unsafe (a.assumingMemoryBound(to: Float.self), c.assumingMemoryBound(to: Float.self))
    let panels = unsafe (shape.columns + Int(VC_PANEL) - 1) / Int(VC_PANEL)
    unsafe posts.withUnsafeBufferPointer { posts in
      var shape = unsafe shape
      unsafe (shape.posts, shape.post_count) = (posts.baseAddress, posts.count)
      let fixed = unsafe shape
      Parallel.forEach(parts.rows * parts.panels) { index, worker in
        guard let scratch = unsafe workspace.memory(worker)?.assumingMemoryBound(to: Float.self) else { return }
        let (row, panel) = (index / parts.panels, index % parts.panels)
        var own = unsafe fixed
        // Whole register tiles, as far as possible.
        let tiles = (rows + 5) / 6
        unsafe vc_packed_product(
          &own, left, weights.memory, target, Swift.min(tiles * row / parts.rows * 6, rows), Swift.min(tiles * (row + 1) / parts.rows * 6, rows),
          panels * panel / parts.panels, panels * (panel + 1) / parts.panels, scratch)
      }
    }
  }
}
