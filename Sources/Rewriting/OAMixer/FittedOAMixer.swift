public import Diagnostics
public import GraphIR
internal import Inference
internal import Operators
internal import Recognition
internal import Tensors

/// One block's strength.
public struct FittedOAMixer: FittedRewrite {
  let rewrite: OAMixer
  let grid: PatchGrid
  public let kappa: Double
  /// The held-out loss at which a search found it.
  public let loss: Double?
  private let blockMacs: Int
  private let tokenWidth: Int

  init(rewrite: OAMixer, grid: PatchGrid, kappa: Double, loss: Double? = nil, block: ProjectedAttention) {
    self.rewrite = rewrite
    self.grid = grid
    self.kappa = kappa
    self.loss = loss
    blockMacs = block.cost.macs
    tokenWidth = block.query.weight.rows
  }

  public var heldOutError: Double? { nil }

  /// Cosine distances of tokens are one more product of all patches with all patches. Those of an extra input are shared
  /// by all blocks, and their width is not known here.
  public var macs: Int { blockMacs + (kappa == 0 || rewrite.labels == .input || rewrite.distance == .l1 ? 0 : grid.patches * grid.patches * tokenWidth) }

  public var report: [RewriteFact] {
    var facts = [
      RewriteFact("kappa", .number(kappa)), RewriteFact("labels", .text(rewrite.labels.rawValue)), RewriteFact("distance", .text(rewrite.distance.rawValue)),
      RewriteFact("mask", .text(rewrite.mask.rawValue)),
    ]
    if let loss { facts.append(RewriteFact("held_out_loss", .number(loss))) }
    return facts
  }

  public func patch(_ site: RewriteSite, on graph: Graph) throws(Failure) -> Patch {
    if kappa == 0 { return Patch(graph) }
    guard let type = site.original.type(of: site.block.input) else {
      throw Failure(.rewriteRefused, "the type of its tokens is not known", at: .element(site.block.name))
    }
    var writer = PatchWriter(graph, stem: "\(site.block.name)/oamixer", element: type.element, origins: OriginSet(site.block.nodes))
    let bias = try ObjectBias.add(self, site: site, to: &writer)
    try ScoreBiasInsertion.insert(bias, site: site, into: &writer)
    return writer.patch
  }
}
