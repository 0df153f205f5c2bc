internal import GraphIR
internal import Inference
internal import Recognition
internal import Tensors

extension PatchGrid {
  /// The grid of a block's tokens: the given one, or what the graph tells.
  public static func of(_ site: RewriteSite, given: (height: Int, width: Int)?) -> PatchGrid? {
    guard let tokens = site.block.queryTokens.value else { return nil }
    guard let given else { return find(in: site.original, tokens: tokens) }
    let (patches, overflow) = given.height.multipliedReportingOverflow(by: given.width)
    return overflow || patches > tokens ? nil : PatchGrid(prefix: tokens - patches, height: given.height, width: given.width)
  }

  /// The most prefix tokens that are believed: class, distillation and registers.
  private static let largestPrefix = 16

  /// The grid behind `tokens` tokens: that of a convolution of the graph whose output has as many places, or else the
  /// largest square; the rest are prefix tokens. Nil when neither leaves a small prefix, or when the graph joins other
  /// tokens behind the patches.
  static func find(in graph: TypedGraph, tokens: Int) -> PatchGrid? {
    var found: PatchGrid?
    for (_, node) in graph.graph.liveNodes {
      guard case .convolution(.conv) = node.op, let output = node.output(0), let shape = graph.shape(of: output), shape.rank == 4,
        let height = shape[2].value, let width = shape[3].value
      else { continue }
      let (patches, overflow) = height.multipliedReportingOverflow(by: width)
      guard !overflow, height > 1, width > 1, patches <= tokens, tokens - patches <= largestPrefix, patches > found?.patches ?? 0 else { continue }
      found = PatchGrid(prefix: tokens - patches, height: height, width: width)
    }
    if found == nil {
      let side = Int(Double(tokens).squareRoot())
      guard side > 1, tokens - side * side <= largestPrefix else { return nil }
      found = PatchGrid(prefix: tokens - side * side, height: side, width: side)
    }
    guard let grid = found, !joinsTokensBehind(grid, in: graph) else { return nil }
    return grid
  }

  /// Whether a concatenation puts tokens after the patches.
  private static func joinsTokensBehind(_ grid: PatchGrid, in graph: TypedGraph) -> Bool {
    for (_, node) in graph.graph.liveNodes {
      guard case .layout(.concat(let axis)) = node.op, let output = node.output(0), let shape = graph.shape(of: output), shape.rank == 3 else { continue }
      let place = axis < 0 ? axis + shape.rank : axis
      guard place >= 0, place < shape.rank, shape[place] == Dim(grid.tokens) else { continue }
      let sizes = node.inputs.map { input in input.flatMap { graph.shape(of: $0) }.flatMap { $0.rank > place ? $0[place].value : nil } }
      guard let patches = sizes.firstIndex(of: grid.patches), patches < sizes.count - 1 else { continue }
      return true
    }
    return false
  }
}
