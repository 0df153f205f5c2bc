internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// The weights of a PyTorch model, which tell their architecture by names and shapes alone.
///
/// Names are brought to those of timm: prefixes that all keys share are taken off, and Transformers' names are translated.
/// What no weight tells (heads of a packed projection) comes from options or a configuration, and is asked for otherwise.
struct StateDictionary {
  var weights: [String: Tensor] = [:]
  let options: CheckpointOptions
  let configuration: JSON?
  /// Names as the file has them, by those used here.
  private var originals: [String: String] = [:]
  /// Numbers of the members of each list: `blocks` has 0, 1, ….
  private var listed: [String: Set<Int>] = [:]
  /// Names outside of the model's own prefix: optimizers, averaged copies, other towers.
  private var outside: Set<String> = []
  /// Models of Transformers without a head give all tokens, where timm's give pooled ones.
  var isTransformers: Bool { library == .transformers }

  /// The library whose names these are.
  enum Library { case timm, transformers, torchvision, openCLIP }
  let library: Library

  /// Names that a template has read and choices that it made; shared by the copies that its parts hold.
  private final class Reading {
    var names: Set<String> = []
    var assumptions: [String] = []
    var epsilons: Set<Double> = []
    var activations: Set<String> = []
  }
  private let reading = Reading()

  init(_ all: [String: Tensor], options: CheckpointOptions, configuration: JSON?) {
    self.options = options
    self.configuration = configuration
    // Models of Transformers and CLIP wrap the vision tower, whose embeddings show the words before it, beside heads and text.
    let tower = StateDictionary.start(WeightNames.towerMarks, all.keys)
    // Elsewhere all names of the model share what stands before its embedding.
    let base = tower ?? StateDictionary.start(WeightNames.embeddingMarks, all.keys) ?? ""
    let wrapper = tower == nil ? base : base.dropLast().lastIndex(of: ".").map { String(base[...$0]) } ?? ""
    var embedding = ""
    for (key, tensor) in all {
      let isInside = key.hasPrefix(base)
      let short = isInside ? key.dropFirst(base.count) : key.hasPrefix(wrapper) ? key.dropFirst(wrapper.count) : key[...]
      let name = WeightNames.translated(String(short))
      // Blocks beside the tower are those of text.
      if !isInside, tower != nil, StateDictionary.isOfBlock(name) { continue }
      if let other = originals[name], !isInside || (!outside.contains(name) && other < key) { continue }
      weights[name] = tensor
      originals[name] = key
      if !isInside, !key.hasPrefix(wrapper) || tower == nil { outside.insert(name) } else { outside.remove(name) }
      if ["patch_embed.proj.weight", "patch_embed.0.proj.weight", "stem.proj.weight", "stem.0.weight"].contains(name), isInside { embedding = key }
    }
    library =
      embedding.hasSuffix("conv_proj.weight") || embedding.hasSuffix("features.0.0.weight")
      ? .torchvision : embedding.hasSuffix("conv1.weight") ? .openCLIP : embedding.contains("embedding") ? .transformers : .timm
    shapeEmbeddings()
    listed = StateDictionary.lists(in: weights.keys)
  }

  /// What stands before the first of these marks that a name ends with. Averages of the weights (EMA) come after the weights.
  private static func start(_ marks: [String], _ names: Dictionary<String, Tensor>.Keys) -> String? {
    for mark in marks {
      let found = names.filter { $0 == mark || $0.hasSuffix("." + mark) }
      if let first = found.min(by: isBefore) { return String(first.dropLast(mark.count)) }
    }
    return nil
  }

  private static func isOfBlock(_ name: String) -> Bool { ["blocks.", "layers.", "stages.", "blocks_token_only."].contains { name.hasPrefix($0) } }

  /// Which of two places in a file is the model's: not the averaged copy; the shorter; the first by name.
  private static func isBefore(_ a: String, _ b: String) -> Bool {
    let (left, right) = (a.lowercased().contains("ema"), b.lowercased().contains("ema"))
    if left != right { return right }
    return a.count != b.count ? a.count < b.count : a < b
  }

  /// Tokens as (1, n, width) and positions as (1, n, width), however many axes of one they are stored with.
  private mutating func shapeEmbeddings() {
    for name in ["cls_token", "pos_embed"] {
      guard let tensor = weights[name], tensor.dims.count < 3, let width = tensor.dims.last else { continue }
      let rows = tensor.dims.count == 2 ? tensor.dims[0] : 1
      if let shaped = try? Tensor(tensor.elementType, dims: [1, rows, width], storage: tensor.storage) { weights[name] = shaped }
    }
  }

  /// nil when no template knows these weights.
  func graph() throws(Failure) -> Graph? {
    if weights["patch_embed.proj.weight"]?.dims.count == 4, has("blocks_token_only.0.norm1.weight"), has("blocks.0.attn.proj_l.weight") {
      return try ClassAttentionTemplate(self).graph()
    }
    if weights["patch_embed.proj.weight"]?.dims.count == 4, has("stages.0.blocks.0.attn.q.weight"), has("stages.0.blocks.0.mlp.fc1.weight") {
      return try PyramidTemplate(self).graph()
    }
    let hasPatches = weights["patch_embed.proj.weight"]?.dims.count == 4
    if hasPatches, VisionTransformerTemplate.knows(self) { return try VisionTransformerTemplate(self).graph() }
    if hasPatches, has("layers.0.blocks.0.attn.relative_position_bias_table") || has("layers.0.blocks.0.attn.logit_scale") {
      return try SwinTemplate(self).graph()
    }
    if weights["stem.proj.weight"]?.dims.count == 4, MixerTemplate.knows(self) { return try MixerTemplate(self).graph() }
    if weights["stem.0.weight"]?.dims.count == 4, has("blocks.0.0.fn.0.weight") || has("blocks.0.0.weight") {
      return try ConvMixerTemplate(self).graph()
    }
    return nil
  }

  func has(_ name: String) -> Bool { weights[name] != nil }

  /// A name as the file has it.
  func original(of name: String) -> String? { originals[name] }

  /// Whether a name of the file has these words in it.
  func isNamed(_ words: String) -> Bool { originals.values.contains { $0.contains(words) } }

  /// Numbers of blocks that no template has read, as the file names them: with any, the model is another one than it looked
  /// like. Buffers that follow from the others do not count.
  var unreadOfBlocks: [String] {
    unread(StateDictionary.isOfBlock)
  }

  /// Other numbers of the model that no template has read. Those of training and of Transformers' pooler, which stands beside
  /// the tokens, do not count.
  var unreadElsewhere: [String] {
    let known = [
      "optimizer", "lr_scheduler", "scaler", "mask_token", "pooler.", "decoder", "position_ids", "attn_pool.", "norm_post.", "fc_norm.", "text", "logit_scale",
      "logit_bias",
    ]
    return unread { name in
      !StateDictionary.isOfBlock(name) && !outside.contains(name)
        && !known.contains { name.hasPrefix($0) || name.contains("." + $0) }
    }
  }

  private func unread(_ isCounted: (String) -> Bool) -> [String] {
    let derived = ["attn_mask", "relative_position_index", "relative_coords_table", "rope_embed.periods", "rope_embeddings.inv_freq"]
    return weights.filter { name, tensor in
      isCounted(name) && tensor.elementType.isFloatingPoint && tensor.dims != [] && !reading.names.contains(name) && !derived.contains { name.hasSuffix($0) }
    }.keys.map { originals[$0] ?? $0 }.sorted()
  }

  /// Choices that neither weights nor configuration told, in the order in which they were made.
  var assumptions: [String] {
    var parts: [String] = []
    if !reading.epsilons.isEmpty, option("layer_norm_eps", "layer_norm_epsilon") == nil {
      parts.append("norms add \(reading.epsilons.sorted().map { "\($0)" }.joined(separator: " and ")) to variances (layer_norm_eps)")
    }
    if !reading.activations.isEmpty, option("hidden_act") == nil {
      parts.append("perceptrons have \(reading.activations.sorted().joined(separator: " and ")) (hidden_act)")
    }
    guard !parts.isEmpty, architecture.isEmpty else { return reading.assumptions }
    return reading.assumptions + [parts.joined(separator: ", ") + ", as the family's models; a config.json with these keys tells others"]
  }

  func normalizes(_ epsilon: Double) { reading.epsilons.insert(epsilon) }
  func activates(_ activation: Activation) { reading.activations.insert(activation.rawValue) }

  /// Notes a choice for the user, once.
  func assume(_ sentence: String) {
    if !reading.assumptions.contains(sentence) { reading.assumptions.append(sentence) }
  }

  /// - Throws: `missingPart` or `shapeMismatch`.
  func tensor(_ name: String, _ dims: [Int?]? = nil) throws(Failure) -> Tensor {
    guard let tensor = weights[name] else { throw Failure(.missingPart, "the weight '\(name)' is not in the file", at: .element(name)) }
    reading.names.insert(name)
    try KerasBuilder.check(tensor, dims, originals[name] ?? name)
    return tensor
  }

  /// How many blocks stand in a list: `blocks.0`, `blocks.1`, … without a gap.
  func count(_ prefix: String) -> Int {
    guard let members = listed[prefix] else { return 0 }
    var index = 0
    while members.contains(index) { index += 1 }
    return index
  }

  /// Numbers that follow each prefix in names; lists of a model do not lie deeper than this.
  private static func lists(in names: some Sequence<String>) -> [String: Set<Int>] {
    var result: [String: Set<Int>] = [:]
    for name in names {
      let words = name.split(separator: ".", maxSplits: 8, omittingEmptySubsequences: false)
      for (place, word) in words.enumerated().dropFirst().dropLast() {
        if let number = Int(word), number >= 0 { result[words[..<place].joined(separator: "."), default: []].insert(number) }
      }
    }
    return result
  }

  // MARK: What a configuration tells

  /// The first of these keys that the configuration has: at its root, among timm's arguments, or for the vision tower.
  func option(_ keys: String...) -> JSON? {
    for place in [configuration, configuration?["model_args"], configuration?["vision_config"], configuration?["pretrained_cfg"]] {
      for key in keys { if let value = place?[key] { return value } }
    }
    return nil
  }

  /// The words of timm's name for the model: `vit`, `base`, `patch16`, `224`.
  var architecture: [Substring] { configuration?["architecture"]?.string?.split(separator: "_") ?? [] }

  /// Height and width of images, from the options or the configuration.
  var imageSize: [Int]? {
    let told: [Int]?
    if let given = options.imageSize {
      told = given
    } else if let value = option("image_size", "img_size", "input_size") {
      told = value.int.map { [$0, $0] } ?? value.ints.map { Array($0.suffix(2)) }
    } else {
      // swinv2_base_window12to16_192to256: the size it was adapted to.
      let last = architecture.last { $0.first?.isNumber ?? false }
      told = last.flatMap { Int($0.split(separator: "to").last ?? "") }.map { [$0, $0] }
    }
    guard let told, told.count == 2, told.allSatisfy({ (1..<(1 << 16)).contains($0) }) else { return nil }
    return told
  }

  /// Rows and columns of patches: of the image that was given, of a square one, or a square of them.
  ///
  /// - Parameter counts: numbers of patches that the weights allow; the one that fits the image is taken, or makes a square.
  func grid(_ counts: [Int], patch: [Int]) throws(Failure) -> (rows: Int, columns: Int) {
    guard patch.count == 4, (1..<(1 << 12)).contains(patch[2]), (1..<(1 << 12)).contains(patch[3]) else {
      throw Failure(.shapeMismatch, "\(Shape(patch)) is no embedding of patches")
    }
    let sensible = counts.filter { (1..<(1 << 24)).contains($0) }
    if let size = imageSize {
      let given = (rows: size[0] / patch[2], columns: size[1] / patch[3])
      if let product = [given.rows, given.columns].checkedProduct, product > 0, sensible.contains(product) || counts.isEmpty { return given }
    }
    if let side = sensible.lazy.compactMap(VisionTransformerTemplate.side).first { return (side, side) }
    for count in sensible.prefix(1) {
      for rows in 1..<4096 where count % rows == 0 && rows * patch[2] == count / rows * patch[3] { return (rows, count / rows) }
    }
    throw Failure(
      .architectureOpen, counts.isEmpty ? "the weights do not tell a grid of patches" : "\(counts[0]) patches are no square grid",
      advice: "give the image's size: --shape x=1,C,H,W")
  }

  /// What activates perceptrons, as Transformers' configurations name it; else the library's own for the family.
  func activation(family: Activation = .gelu) -> Activation {
    if let name = option("hidden_act", "hidden_activation")?.string, let known = Activation(configured: name) { return known }
    if architecture.contains("quickgelu") || configuration?["model_args"]?["act_layer"]?.string == "quick_gelu" { return .quickGelu }
    if architecture.contains("siglip") || architecture.contains("siglip2") || configuration?["model_args"]?["act_layer"]?.string == "gelu_tanh" {
      return .geluTanh
    }
    return family
  }

  /// Attention heads from a weight, from the options, or from a configuration.
  func heads(width: Int, told: Int?) throws(Failure) -> Int {
    let known =
      told ?? options.heads ?? option("num_attention_heads", "num_heads")?.int ?? publishedHeads(width)
    guard let known else {
      throw Failure(
        .architectureOpen, "no weight tells how many attention heads a width of \(width) has",
        advice: "give --heads N, or a config.json with num_attention_heads beside the weights")
    }
    guard known > 0, width % known == 0 else {
      throw Failure(.badAttribute, "\(known) heads do not divide a width of \(width)", advice: "give another --heads")
    }
    return known
  }

  /// Heads of the sizes that timm's configurations name by a word alone (Dosovitskiy et al. 2021; Touvron et al. 2021).
  private func publishedHeads(_ width: Int) -> Int? {
    let words = architecture
    let sizes: [(word: Substring, width: Int, heads: Int)] = [
      ("tiny", 192, 3), ("small", 384, 6), ("base", 768, 12), ("large", 1024, 16), ("huge", 1280, 16),
    ]
    return sizes.first { words.contains($0.word) && $0.width == width }?.heads
  }

  /// What is added to variances: the configuration's number, or the one of the library whose names these are.
  var epsilon: Double? {
    option("layer_norm_eps", "layer_norm_epsilon")?.double ?? (library == .transformers && isNamed("layernorm_before") ? 1e-12 : nil)
  }

  /// Whether blocks normalize what attention and perceptron give (timm's "res-post-norm") and not what they take. Names and
  /// shapes are the same; the configuration's architecture tells, or the order in which a file's tensors were written, which
  /// is that of the modules. Files that sort their tensors by name tell nothing.
  var isNormalizedAfter: Bool {
    if !architecture.isEmpty { return architecture.contains("rpn") }
    let blocks = count("blocks")
    guard blocks > 0, library == .timm, configuration?["model_type"] == nil else { return false }
    // Those of LayerScale and normalized queries stand in blocks with norms before.
    guard !has("blocks.0.ls1.gamma"), !has("blocks.0.gamma_1") else { return false }
    var (isBefore, isAfter) = (true, true)
    for index in 0..<blocks {
      // Equal in size, so that the library laid them into the file by one rule.
      let names = ["attn.proj.bias", "norm1.weight", "mlp.fc2.bias", "norm2.weight"].map { "blocks.\(index).\($0)" }
      let tensors = names.compactMap { weights[$0] }
      let places = tensors.compactMap { if case .mapped(_, let range) = $0.storage { range.lowerBound } else { nil } }
      guard places.count == names.count, Set(tensors.map(\.byteCount)).count == 1 else {
        (isBefore, isAfter) = (false, false)
        break
      }
      isAfter = isAfter && zip(places, places.dropFirst()).allSatisfy { $0 < $1 }
      isBefore = isBefore && places[1] < places[0] && places[0] < places[3] && places[3] < places[2]
    }
    if !isBefore, !isAfter {
      assume("norms stand before attention and perceptron, as in nearly all models; a config.json whose 'architecture' has the word 'rpn' puts them after")
    }
    return isAfter
  }
}
