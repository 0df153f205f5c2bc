internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// What a model is as a whole, as far as its blocks and stem tell.
public struct ArchitectureFacts: Sendable, Hashable {
  /// Blocks at one number of tokens and one width, in order.
  public struct Stage: Sendable, Hashable {
    public var blocks: Int
    /// nil where it is symbolic.
    public var tokens: Int?
    public var width: Int?
  }

  public enum NormPlacement: String, Sendable, Hashable { case pre, post, none }

  /// Height and width of a patch; empty where no convolution cuts the image into patches.
  public var patchSize: [Int] = []
  public var prefixTokens = 0
  public var grid: [Int] = []
  public var stages: [Stage] = []
  public var norm = NormPlacement.none
  /// Whether branches are scaled by a vector before they are added.
  public var layerScale = false
  public var positionEmbedding = false
  /// Linear layers whose results are averaged into the output.
  public var averagedHeads = 0
  /// Numbers of the first output's last axis.
  public var classes: Int?
  /// `DeiT-like`, and what speaks for it; empty where nothing does.
  public var likeness = ""
  public var evidence: [String] = []

  public init() {}

  init(_ view: GraphView, _ found: Recognized) {
    let attending = found.blocks.filter { $0.family != .channelGate && $0.family != .spatialGate && $0.family != .classAttention }
    if let geometry = found.geometry {
      prefixTokens = geometry.prefixTokens
      grid = [geometry.gridHeight, geometry.gridWidth]
      patchSize = PatchEmbedding.patchSize(view) ?? []
    }
    for block in attending {
      let tokens = block.queryTokens.value.map { $0 &* block.geometry.groups }
      let width = ArchitectureFacts.width(block, view)
      if let last = stages.last, last.tokens == tokens, last.width == width {
        stages[stages.count - 1].blocks += 1
      } else {
        stages.append(Stage(blocks: 1, tokens: tokens, width: width))
      }
    }
    readNorm(attending, view)
    positionEmbedding = ArchitectureFacts.hasPositionEmbedding(view, grid: grid, prefix: prefixTokens)
    averagedHeads = ArchitectureFacts.averagedHeads(view)
    classes = view.original.outputs.first.flatMap { view.shape($0)?.dims.last?.value }
    guess(found)
  }

  private static func width(_ block: AttentionBlock, _ view: GraphView) -> Int? {
    if let width = block.width { return width }
    for value in [block.input, block.output].compactMap({ $0 }) {
      let channels = view.labels.factors(value, .channel)
      if let width = channels.compactMap(\.size.value).checkedProduct, !channels.isEmpty { return width }
    }
    return nil
  }

  private mutating func readNorm(_ blocks: [AttentionBlock], _ view: GraphView) {
    var (pre, post) = (0, 0)
    for block in blocks {
      if let input = block.input, view.ancestry(input, limit: 6).contains(where: { isNorm($0, view) }) { pre += 1 }
      if let sum = block.residualSum, view.uses.readers(of: sum).contains(where: { if case .normalization = view.graph[$0].op { true } else { false } }),
        view.uses.readers(of: sum).count == 1
      {
        post += 1
      }
      if let add = block.residualAdd {
        layerScale =
          layerScale
          || view.original[add].inputs.compactMap { $0 }.contains { operand in
            guard let (_, node) = view.producer(operand), node.op == .binary(.multiply), let c = node.input(1), !view.isActivation(c) else { return false }
            return view.scalar(c) == nil || (view.shape(c)?.concrete?.checkedProduct ?? 1) > 1
          }
      }
    }
    if pre > 0 { norm = .pre } else if post > 0 { norm = .post }
  }

  private func isNorm(_ value: ValueID, _ view: GraphView) -> Bool {
    guard let (_, node) = view.producer(value), case .normalization(let norm) = node.op else { return false }
    switch norm {
    case .layer, .rms, .group, .instance: return true
    default: return false
    }
  }

  /// A constant with one row for each token, added to the tokens.
  private static func hasPositionEmbedding(_ view: GraphView, grid: [Int], prefix: Int) -> Bool {
    guard grid.count == 2 else { return false }
    let counts = [grid[0] &* grid[1], (grid[0] &* grid[1]) &+ prefix]
    for (_, node) in view.graph.liveNodes.prefix(400) where node.op == .binary(.add) {
      guard let c = node.input(1), !view.isActivation(c), let dims = view.shape(c)?.concrete, dims.count >= 2, (dims.last ?? 1) > 1 else { continue }
      if dims.dropLast().contains(where: { counts.contains($0) && $0 > 1 }) || dims.suffix(2) == grid { return true }
    }
    return false
  }

  /// `(a + b) / 2` of linear layers' results at an output.
  private static func averagedHeads(_ view: GraphView) -> Int {
    guard let output = view.graph.outputs.first, let (_, node) = view.producer(output), node.op == .binary(.multiply), let x = node.input(0),
      let c = node.input(1), let factor = view.scalar(c), abs(factor - 0.5) < 1e-6, let (_, sum) = view.producer(x), sum.op == .binary(.add),
      sum.inputs.allSatisfy({ $0.map { view.isActivation($0) } ?? false })
    else { return 0 }
    return 2
  }

  /// Names the architecture that the facts look like.
  private mutating func guess(_ found: Recognized) {
    let families = found.blocks.map(\.family)
    func count(_ family: AttentionFamily) -> Int { families.count { $0 == family } }
    func has(_ family: AttentionFamily) -> Bool { families.contains(family) }
    func say(_ name: String, _ facts: String?...) { (likeness, evidence) = (name, facts.compactMap { $0 }) }
    let gates = has(.channelGate) ? "\(count(.channelGate)) channel gates" : nil
    let plain = found.blocks.filter { $0.family == .selfAttention }
    let prefix = prefixTokens > 0 ? "\(prefixTokens) prefix token\(prefixTokens == 1 ? "" : "s")" : nil
    if has(.talkingHeads), has(.classAttention) {
      say("CaiT-like", "\(count(.talkingHeads)) talking-heads blocks", "\(count(.classAttention)) class-attention blocks")
    } else if has(.crossCovariance), has(.classAttention) {
      say("XCiT-like", "\(count(.crossCovariance)) cross-covariance blocks", "\(count(.classAttention)) class-attention blocks")
    } else if has(.crossCovariance), has(.window) {
      say("DaViT-like", "windows and channel groups alternate")
    } else if has(.outlook) {
      say("VOLO-like", "\(count(.outlook)) outlook blocks")
    } else if has(.cascaded) {
      say("EfficientViT-like (cascaded groups)", "\(count(.cascaded)) cascaded blocks")
    } else if has(.grid), has(.window) {
      say("MaxViT-like", "windows and dilated grids alternate", gates)
    } else if has(.window) {
      let shifted = found.blocks.contains { !$0.geometry.shift.isEmpty }
      let cosine = found.blocks.contains { $0.family == .window && $0.qkNorm == "l2" }
      if has(.spatialReduction) {
        say("Twins-like", "windows and reduced keys alternate")
      } else {
        say(
          cosine ? "Swin-V2-like" : shifted ? "Swin-like" : "windowed transformer", "\(count(.window)) window blocks", shifted ? "cyclic shifts" : nil,
          cosine ? "cosine scores" : nil)
      }
    } else if has(.spatialReduction) {
      say("PVT-like", "keys reduced in \(count(.spatialReduction)) blocks", "\(stages.count) stages")
    } else if has(.factorized) {
      say("CoaT-like", "\(count(.factorized)) factorized blocks")
    } else if has(.additive) {
      say("SwiftFormer-like", "\(count(.additive)) additive blocks")
    } else if has(.linear) {
      say("linear-attention network", "\(count(.linear)) linear blocks")
    } else if !plain.isEmpty, has(.pooled), found.blocks.contains(where: { if case .constant = $0.bias { true } else { false } }) {
      say("LeViT-like", "tables of position added to scores", "\(stages.count) stages")
    } else if has(.pooled) {
      say("MViT-like", "\(count(.pooled)) pooled blocks")
    } else if !plain.isEmpty, !grid.isEmpty {
      if prefixTokens == 2, averagedHeads == 2 {
        say("DeiT-like", prefix, "two heads averaged")
      } else if plain.contains(where: { if case .constant = $0.bias { true } else { false } }) {
        say("BEiT-like", prefix, "a table of position added to scores")
      } else if plain.contains(where: \.rotary) {
        say("ViT-like with rotary positions", prefix, "\(plain.count) blocks")
      } else {
        say(layerScale ? "ViT-like with layer scale" : "ViT-like", prefix, "\(plain.count) blocks", norm == .pre ? "norms before the branches" : nil)
      }
    } else if !plain.isEmpty {
      say("transformer encoder", "\(plain.count) self-attention blocks")
    } else if has(.tokenMixing) {
      let pools = found.blocks.contains { $0.traits.contains("pooling") }
      say(pools ? "PoolFormer-like" : "MLP-Mixer-like", "\(count(.tokenMixing)) token-mixing blocks")
    } else if has(.convMixing) {
      say("ConvMixer-like", "\(count(.convMixing)) depth-wise residuals")
    } else if has(.channelGate) {
      say("convolutional network with gates", gates)
    }
  }
}
