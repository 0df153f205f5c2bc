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
  /// Prefix tokens that no output reads, where one reads others: registers (Darcet et al. 2024).
  public var registerTokens = 0
  public var grid: [Int] = []
  public var stages: [Stage] = []
  public var norm = NormPlacement.none
  /// Whether branches are scaled by a vector before they are added.
  public var layerScale = false
  public var positionEmbedding = false
  /// Linear layers whose results are averaged into the output.
  public var averagedHeads = 0
  /// Numbers for each sample in the first output, where it has two axes.
  public var classes: Int?
  private var readsImages = false
  /// `DeiT-like`, and what speaks for it; empty where nothing does.
  public var likeness = ""
  public var evidence: [String] = []

  public init() {}

  init(_ view: GraphView, _ found: Recognized) {
    let attending = found.blocks.filter { $0.family != .channelGate && $0.family != .spatialGate && $0.family != .classAttention }
    if let stem = PatchEmbedding.stem(view) { (patchSize, grid) = (stem.patch, stem.grid) }
    prefixTokens = found.geometry?.prefixTokens ?? 0
    if let geometry = found.geometry { registerTokens = ArchitectureFacts.registerTokens(view, geometry) }
    // What learned queries gather at the end is a head, no stage.
    for block in attending where !block.traits.contains("learned queries") {
      let tokens = block.queryTokens.value.map { $0 &* block.geometry.groups }
      let width = ArchitectureFacts.width(block, view)
      if let last = stages.last, last.tokens == tokens, last.width == width {
        stages[stages.count - 1].blocks += 1
      } else {
        stages.append(Stage(blocks: 1, tokens: tokens, width: width))
      }
    }
    readNorm(attending, view, ArchitectureFacts.canonical(attending.compactMap(\.input), view))
    positionEmbedding = ArchitectureFacts.hasPositionEmbedding(view, grid: grid, prefix: prefixTokens, suffix: found.geometry?.suffixTokens ?? 0)
    averagedHeads = ArchitectureFacts.averagedHeads(view)
    // One row of numbers for each sample; a map or a sequence of features is no classifier's.
    classes = view.graph.outputs.first.flatMap { view.shape($0) }.flatMap { $0.rank == 2 ? $0[1].value : nil }
    readsImages = view.graph.inputs.contains { view.shape($0)?.rank == 4 }
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

  /// The values of the canonical graph that stand for those of the graph as read.
  private static func canonical(_ values: [ValueID], _ view: GraphView) -> [ValueID: ValueID] {
    let wanted = Set(values)
    var result: [ValueID: ValueID] = [:]
    for (_, node) in view.graph.liveNodes {
      for case let output? in node.outputs { if let original = view.original(of: output), wanted.contains(original) { result[original] = output } }
    }
    return result
  }

  private mutating func readNorm(_ blocks: [AttentionBlock], _ view: GraphView, _ canonical: [ValueID: ValueID]) {
    var (pre, post) = (0, 0)
    for block in blocks {
      // Where a branch reads what the sum reads as well, a norm stands behind it if anywhere.
      let skips = block.residualAdd.map { view.original[$0].inputs.compactMap { $0 } } ?? []
      let reads = block.input.map { normed(canonical[$0] ?? $0, view) }
      if let reads, !reads.passed.contains(where: { value in view.original(of: value).map { skips.contains($0) } ?? false }) {
        if reads.isNormed { pre += 1 }
      } else if let sum = block.residualSum {
        let follows = view.uses.readers(of: sum).contains { if case .normalization = view.graph[$0].op { true } else { false } }
        let ends = block.output.map { output in view.uses.readers(of: output).contains { isNorm(view.graph[$0]) } || isNormed(output, view) } ?? false
        if follows || ends { post += 1 }
      }
      if let add = block.residualAdd {
        layerScale =
          layerScale
          || view.original[add].inputs.compactMap { $0 }.contains { operand in
            // An original node may have its constant on either side.
            guard let (_, node) = view.producer(operand), node.op == .binary(.multiply),
              let c = node.inputs.compactMap({ $0 }).first(where: { !view.isActivation($0) })
            else { return false }
            return view.scalar(c) == nil || (view.shape(c)?.concrete?.checkedProduct ?? 1) > 1
          }
      }
    }
    if pre > 0, pre >= post { norm = .pre } else if post > 0 { norm = .post }
  }

  /// Whether a norm stands before a value, with nothing but rearrangements, padding and small convolutions of single
  /// channels between, and the values passed on the way up.
  private func normed(_ value: ValueID, _ view: GraphView) -> (isNormed: Bool, passed: [ValueID]) {
    var passed = [value]
    while passed.count < 32, let (_, node) = view.producer(passed[passed.count - 1]), let input = node.input(0) {
      if isNorm(node) { return (true, passed) }
      switch node.op {
      case .layout(.concat): passed.append(view.largest(node) ?? input)
      case .layout, .cast, .unary(.identity), .indexing, .pooling: passed.append(input)
      case .convolution(.conv(_, let groups)) where groups > 1: passed.append(input)
      case .binary:
        // Scale and shift of a norm that was taken apart.
        guard let other = node.input(1), view.isActivation(input) != view.isActivation(other) else { return (false, passed) }
        passed.append(view.isActivation(input) ? input : other)
      default: return (false, passed)
      }
    }
    return (false, passed)
  }

  private func isNorm(_ node: Node) -> Bool {
    guard case .normalization(let norm) = node.op else { return false }
    switch norm {
    case .layer, .rms, .group, .instance, .skipLayer, .skipRMS: return true
    default: return false
    }
  }

  private func isNormed(_ value: ValueID, _ view: GraphView) -> Bool { view.producer(value).map { isNorm($0.node) } ?? false }

  /// A constant with one row for each token, added to the tokens.
  private static func hasPositionEmbedding(_ view: GraphView, grid: [Int], prefix: Int, suffix: Int) -> Bool {
    guard grid.count == 2 else { return false }
    let patches = grid[0] &* grid[1]
    // Registers may join the tokens behind their positions.
    guard patches > 0, prefix >= 0, suffix >= 0 else { return false }
    let counts = patches...(patches &+ prefix &+ suffix)
    for (_, node) in view.graph.liveNodes.prefix(400) where node.op == .binary(.add) {
      guard let c = node.input(1), !view.isActivation(c), let dims = view.shape(c)?.concrete, dims.count >= 2, (dims.last ?? 1) > 1,
        let output = node.output(0),
        // A table of scores has a row for each token too, but no channels.
        !view.labels.factors(output, .channel).isEmpty, view.labels.kinds(output).count(where: { $0 == .token }) == 1 || isImage(output, view)
      else { continue }
      if dims.dropLast().contains(where: { counts.contains($0) && $0 > 1 }) || dims.suffix(2) == grid { return true }
    }
    return false
  }

  /// Prefix tokens that are not read by themselves, where others are: a class token is cut out for its head, as is one for
  /// distillation.
  private static func registerTokens(_ view: GraphView, _ geometry: TokenGeometry) -> Int {
    guard geometry.prefixTokens > 1 else { return 0 }
    var read = Set<Int>()
    for (_, node) in view.graph.liveNodes {
      guard case .layout(.slice) = node.op, let x = node.input(0), let output = node.output(0), view.isActivation(x), let whole = view.shape(x),
        let part = view.shape(output), whole.rank == part.rank, let start = node.input(1).flatMap({ view.typed.constant($0)?.integers() }), start.count == 1,
        whole.dims.indices.contains(where: { whole[$0].value == geometry.tokens && part[$0] == 1 })
      else { continue }
      read.insert(start[0])
    }
    let count = read.count { (0..<geometry.prefixTokens).contains($0) }
    return count == 0 ? 0 : geometry.prefixTokens - count
  }

  /// Whether a value lies as sample, channel, row and column, or with channels last: unlike queries and keys, rows are
  /// other places than columns.
  private static func isImage(_ value: ValueID, _ view: GraphView) -> Bool {
    let kinds = view.labels.kinds(value)
    guard kinds.count == 4, let axes = view.labels.layout(value)?.axes else { return false }
    for (channel, row) in [(1, 2), (3, 1)] where kinds[channel] == .channel {
      if Set(axes[row].map(\.source)).isDisjoint(with: axes[row + 1].map(\.source)) { return true }
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

  /// Networks that go by the mechanism they are made of.
  private static let ofMechanisms: [(name: String, mechanism: String)] = [
    ("FCViT-like", "fcvit"), ("FAN-like", "fan"), ("VARS-like", "vars"), ("EAN-like", "ean"), ("DIANet-like", "dia"),
    ("unrolled sparse coding", "unrolled-ista"), ("AutoInt-like", "discrete-choice"),
  ]

  /// Names the architecture that the facts look like.
  private mutating func guess(_ found: Recognized) {
    let families = found.blocks.map(\.family)
    func count(_ family: AttentionFamily) -> Int { families.count { $0 == family } }
    func has(_ family: AttentionFamily) -> Bool { families.contains(family) }
    func say(_ name: String, _ facts: String?...) { (likeness, evidence) = (name, facts.compactMap { $0 }) }
    let gates = has(.channelGate) ? "\(count(.channelGate)) channel gates" : nil
    let plain = found.blocks.filter { $0.family == .selfAttention }
    let registers = registerTokens > 0 ? ", \(registerTokens) of them registers" : ""
    let prefix = prefixTokens > 0 ? "\(prefixTokens) prefix token\(prefixTokens == 1 ? "" : "s")\(registers)" : nil
    if let (name, mechanism) = Self.ofMechanisms.first(where: { entry in found.blocks.contains { $0.mechanism == entry.mechanism } }) {
      let blocks = found.blocks.filter { $0.mechanism == mechanism }
      // Blocks with heads were attention before they were rewritten.
      let isRewritten = mechanism == "fcvit" && blocks.contains { $0.heads != nil }
      say(isRewritten ? "FCViT-style" : name, "\(blocks.count) \(mechanism) block\(blocks.count == 1 ? "" : "s")", prefix)
    } else if has(.talkingHeads), has(.classAttention) {
      say("CaiT-like", "\(count(.talkingHeads)) talking-heads blocks", "\(count(.classAttention)) class-attention blocks")
    } else if has(.crossCovariance), has(.classAttention) {
      say("XCiT-like", "\(count(.crossCovariance)) cross-covariance blocks", "\(count(.classAttention)) class-attention blocks")
    } else if has(.crossCovariance), !has(.window) {
      say("EdgeNeXt-like", "\(count(.crossCovariance)) cross-covariance blocks", "convolutions between them")
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
      } else if plain.contains(where: { $0.traits.contains("a positional map joins the probabilities") }) {
        say("ConViT-like", "maps of positions joined to those of content")
      } else if plain.contains(where: { if case .constant = $0.bias { true } else { false } }) {
        say("BEiT-like", prefix, "a table of position added to scores")
      } else if plain.contains(where: \.rotary) {
        say("ViT-like with rotary positions", prefix, "\(plain.count) blocks")
      } else {
        say(layerScale ? "ViT-like with layer scale" : "ViT-like", prefix, "\(plain.count) blocks", norm == .pre ? "norms before the branches" : nil)
      }
    } else if has(.causal) || (has(.gqa) && !readsImages) {
      let rotary = found.blocks.contains(where: \.rotary)
      say(
        has(.gqa) ? "LLaMA-like" : rotary ? "causal decoder with rotary positions" : "GPT-like",
        "\(count(.causal) + count(.gqa)) causal blocks", has(.gqa) ? "heads of keys shared" : nil)
    } else if !plain.isEmpty || has(.gqa), readsImages, stages.count > 1 || patchSize.isEmpty {
      say("hybrid of convolutions and attention", "\(plain.count + count(.gqa)) attention blocks", "\(stages.count) stages", gates)
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
