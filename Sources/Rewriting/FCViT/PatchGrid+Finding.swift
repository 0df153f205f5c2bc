internal import GraphIR
public import Inference
internal import Recognition
internal import Tensors

extension PatchGrid {
  /// The grid of a block's tokens: the given one, or what the graph tells.
  public static func of(_ site: RewriteSite, given: (height: Int, width: Int)?) -> PatchGrid? {
    guard let tokens = site.block.queryTokens.value else { return nil }
    guard let given else { return find(among: site.landmarks, tokens: tokens) }
    let (patches, overflow) = given.height.multipliedReportingOverflow(by: given.width)
    return overflow || patches > tokens ? nil : PatchGrid(prefix: tokens - patches, height: given.height, width: given.width)
  }

  /// The most prefix tokens that are believed: class, distillation and registers.
  private static let largestPrefix = 16

  /// The grid behind `tokens` tokens: that of a convolution of the graph whose output has as many places, or else the
  /// largest square; the rest are prefix tokens. Nil when neither leaves a small prefix, or when the graph joins other
  /// tokens behind the patches.
  static func find(among landmarks: PatchLandmarks, tokens: Int) -> PatchGrid? {
    var found: PatchGrid?
    for (height, width) in landmarks.maps {
      let (patches, overflow) = height.multipliedReportingOverflow(by: width)
      guard !overflow, height > 1, width > 1, patches <= tokens, tokens - patches <= largestPrefix, patches > found?.patches ?? 0 else { continue }
      found = PatchGrid(prefix: tokens - patches, height: height, width: width)
    }
    if found == nil {
      let side = Int(Double(tokens).squareRoot())
      guard side > 1, tokens - side * side <= largestPrefix else { return nil }
      found = PatchGrid(prefix: tokens - side * side, height: side, width: side)
    }
    guard let grid = found, !landmarks.joinTokens(behind: grid) else { return nil }
    return grid
  }
}

/// What a graph tells of the order of its tokens. It is gathered in one walk, since every block asks for it.
public struct PatchLandmarks: Sendable {
  /// Height and width of what convolutions give, each once.
  fileprivate private(set) var maps: [(height: Int, width: Int)] = []
  /// Concatenations of token sequences: the number of tokens that each part has, and that all have.
  private var joins: Set<[Int?]> = []

  public init(_ typed: TypedGraph) {
    var seen: Set<[Int]> = []
    for (_, node) in typed.graph.liveNodes {
      guard let output = node.output(0) else { continue }
      switch node.op {
      case .convolution(.conv):
        guard let shape = typed.shape(of: output), shape.rank == 4, let height = shape[2].value, let width = shape[3].value else { continue }
        if seen.insert([height, width]).inserted { maps.append((height, width)) }
      case .layout(.concat(let axis)):
        guard let shape = typed.shape(of: output), shape.rank == 3 else { continue }
        let place = axis < 0 ? axis + shape.rank : axis
        guard place >= 0, place < shape.rank, let whole = shape[place].value else { continue }
        let parts = node.inputs.map { input in input.flatMap { typed.shape(of: $0) }.flatMap { $0.rank > place ? $0[place].value : nil } }
        joins.insert(parts + [whole])
      default: continue
      }
    }
  }

  /// Whether a concatenation puts tokens after the patches.
  fileprivate func joinTokens(behind grid: PatchGrid) -> Bool {
    joins.contains { join in
      guard join.last == grid.tokens, let patches = join.dropLast().firstIndex(of: grid.patches) else { return false }
      return patches < join.count - 2
    }
  }
}
