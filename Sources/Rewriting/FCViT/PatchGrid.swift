/// The token axis of a vision transformer: prefix tokens (class first), then the patches of a grid, row by row.
public struct PatchGrid: Hashable, Sendable {
  public var prefix, height, width: Int
  public init(prefix: Int, height: Int, width: Int) {
    self.prefix = prefix
    self.height = height
    self.width = width
  }
  public var patches: Int { height * width }
  public var tokens: Int { prefix + patches }
}

/// How many contexts a block gets: patch queries are pooled to `height` x `width` means. The grid's own size is exact
/// attention, 1 x 1 the single global context.
public struct ContextGrid: Hashable, Sendable, Comparable, CustomStringConvertible {
  public var height, width: Int
  public init(height: Int, width: Int) {
    self.height = height
    self.width = width
  }
  public init(_ side: Int) { self.init(height: side, width: side) }
  public var count: Int { height * width }
  public func isExact(on grid: PatchGrid) -> Bool { height == grid.height && width == grid.width }
  /// As it is given: `4`, or `4x6`.
  public var description: String { height == width ? "\(height)" : "\(height)x\(width)" }
  public static func < (a: ContextGrid, b: ContextGrid) -> Bool { (a.count, a.height) < (b.count, b.height) }

  /// (contexts, patches)
  public func pooling(of grid: PatchGrid) -> [Double] {
    GridResampling.onGrid(
      GridResampling.pooling(from: grid.height, to: height), GridResampling.pooling(from: grid.width, to: width),
      height: (height, grid.height), width: (width, grid.width))
  }
  /// (patches, contexts)
  public func upsampling(to grid: PatchGrid) -> [Double] {
    GridResampling.onGrid(
      GridResampling.upsampling(from: height, to: grid.height), GridResampling.upsampling(from: width, to: grid.width),
      height: (grid.height, height), width: (grid.width, width))
  }
}
