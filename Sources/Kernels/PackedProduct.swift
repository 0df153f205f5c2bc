internal import CVector
public import Diagnostics

/// `C = post(scale * A B)` of rows of activations and constant weights by the own register-tile loop, with B packed once
/// into panels of columns. Whatever follows is done to a register tile of results before it leaves the first cache.
///
/// For CPUs with AVX-512, where it is as fast as oneDNN's product, starts without generating code, and takes operands and
/// results at any strides and any post-operations; elsewhere `MatrixProduct` is faster.
@safe public final class PackedProduct {
  private let shape: VCPackedProduct
  private let rows: Int
  private let weights: PackedPanels
  private let chain: EpilogueChain
  private let parts: PanelParts
  private let workspace: Workspace

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
    var chain = EpilogueChain()
    if scale != 1 { chain.append(.affine(scale, 0)) }
    func add(_ operation: Pointwise.Operation, _ layout: Strided) throws(Failure) {
      let wide = layout.dims.last == c.dims[1] && (layout.strides.last == 1 || c.dims[1] == 1)
      guard layout.rank == 2, wide, layout.dims[0] == 1 || layout.dims[0] == c.dims[0] else {
        throw Failure(.kernelFailure, "an operand of \(layout.dims) for results of \(c.dims)")
      }
      chain.append(operation, layout.dims[0] == 1 ? .vector : .rows(layout.strides[0]))
    }
    if let bias { try add(.add, bias) }
    for operation in post {
      switch operation {
      case .function(let function): chain.append(function)
      case .binary(let kind, let layout): try add(kind, layout)
      }
    }
    self.chain = chain
    weights = try unsafe cache.panels(constantB, b)
    var shape = unsafe VCPackedProduct()
    unsafe (shape.columns, shape.depth) = (c.dims[1], a.dims[1])
    unsafe (shape.a_row, shape.a_column, shape.c_row) = (a.strides[0], a.strides[1], c.strides[0])
    unsafe self.shape = shape
    parts = PanelParts(rows: rows, columns: c.dims[1], depth: a.dims[1])
    self.workspace = workspace
    workspace.reserve(vc_packed_product_scratch() * MemoryLayout<Float>.size)
  }

  /// - Parameter extras: the bias if there is one, then the operands of binary post-operations in their order.
  public func run(a: UnsafeRawPointer, c: UnsafeMutableRawPointer, extras: [UnsafeRawPointer?] = unsafe []) {
    workspace.prepare()
    let (left, target) = unsafe (a.assumingMemoryBound(to: Float.self), c.assumingMemoryBound(to: Float.self))
    unsafe chain.prepared(extras).withUnsafeBufferPointer { posts in
      var shape = unsafe shape
      unsafe (shape.posts, shape.post_count) = (posts.baseAddress, posts.count)
      let fixed = unsafe shape
      Parallel.forEach(parts.count) { index, worker in
        guard let scratch = unsafe workspace.memory(worker)?.assumingMemoryBound(to: Float.self) else { return }
        let (rows, panels) = parts[index]
        var own = unsafe fixed
        unsafe vc_packed_product(
          &own, left, weights.memory, target, rows.lowerBound, rows.upperBound, panels.lowerBound, panels.upperBound, scratch)
      }
    }
  }
}

/// The pieces of a product with packed weights: strips of rows times runs of panels.
struct PanelParts {
  private let rows, panels: Int
  private let rowParts, panelParts: Int

  /// Columns where there are enough for all threads to have equal shares, since then no weight is read twice; else rows.
  init(rows: Int, columns: Int, depth: Int) {
    let panels = vc_panels(columns)
    (self.rows, self.panels) = (rows, panels)
    let pieces = Parallel.pieces
    if pieces == 1 || rows &* panels &* depth < 1 << 12 {
      (rowParts, panelParts) = (1, 1)
    } else if panels >= 2 * pieces || panels % pieces == 0 {
      (rowParts, panelParts) = (1, pieces)
    } else if rows >= 24 * pieces {
      (rowParts, panelParts) = (pieces, 1)
    } else {
      panelParts = Swift.max(1, Swift.min(pieces, panels))
      rowParts = Swift.max(1, Swift.min(pieces / panelParts, rows / 12))
    }
  }

  var count: Int { rowParts * panelParts }

  /// Strips are whole register tiles, as far as possible.
  subscript(index: Int) -> (rows: Range<Int>, panels: Range<Int>) {
    let (row, panel) = (index / panelParts, index % panelParts)
    let tiles = (rows + 5) / 6
    return (
      Swift.min(tiles * row / rowParts * 6, rows)..<Swift.min(tiles * (row + 1) / rowParts * 6, rows),
      panels * panel / panelParts..<panels * (panel + 1) / panelParts
    )
  }
}
