internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// ViT and its relatives of one width (Dosovitskiy et al. 2021): DeiT, BEiT, EVA, DINOv2 and v3, the vision towers of CLIP and
/// SigLIP, as timm, Transformers, torchvision and OpenAI name their weights. Weights tell class, distillation and register
/// tokens, positions, LayerScale, normalized queries and keys, relative biases, gates and parallel branches.
struct VisionTransformerTemplate {
  let weights: StateDictionary

  init(_ weights: StateDictionary) { self.weights = weights }

  static func knows(_ weights: StateDictionary) -> Bool {
    // Perception Encoders (Bolya et al. 2025) turn queries and keys by their places, which no weight shows; only they norm
    // tokens before the blocks and pool them by attention.
    guard !weights.architecture.contains("pe"), !weights.has("norm_pre.weight") || !weights.has("attn_pool.latent") else { return false }
    let hasPerceptron = ["fc1", "fc1_g", "fc1_x", "weights_in"].contains { weights.has("blocks.0.mlp.\($0).weight") }
    return hasPerceptron && (weights.has("blocks.0.norm1.weight")) || weights.has("blocks.0.in_proj.weight") || weights.has("blocks.0.attns.0.attn.qkv.weight")
  }

  /// What all blocks share.
  struct Plan {
    var width: Int
    var grid: (rows: Int, columns: Int)
    /// Tokens before those of patches.
    var prefix: Int
    var epsilon: Double
    var activation: Activation
    var rotation: RotaryPositions.Tables?
  }

  func graph() throws(Failure) -> Graph {
    let patch = try weights.tensor("patch_embed.proj.weight", [nil, nil, nil, nil]).dims
    let width = patch[0]
    let prefixes = ["cls_token", "dist_token", "reg_token"].compactMap { name in weights.weights[name].map { (name, $0) } }
    for (name, tensor) in prefixes { try KerasBuilder.check(tensor, [1, nil, width], name) }
    let prefixCount = prefixes.reduce(0) { $0 + $1.1.dims[1] }
    let registers = prefixes.first { $0.0 == "reg_token" }?.1.dims[1] ?? 0

    let positions = weights.has("pos_embed") ? try weights.tensor("pos_embed", [1, nil, width]) : nil
    let (rows, columns) = try grid(positions, patch, prefix: prefixCount, registers: registers)
    guard let tokens = [rows, columns].checkedProduct, tokens < 1 << 24 else { throw Failure(.sizeOverflow, "\(rows) x \(columns) patches") }

    var b = TorchBuilder(weights, name: "vit")
    let image = b.image(channels: patch[1], height: rows * patch[2], width: columns * patch[3])
    var x = try b.tokens(try b.convolution(image, "patch_embed.proj", stride: [patch[2], patch[3]]))
    if weights.has("patch_embed.norm.weight") { x = try b.normalized(x, "patch_embed.norm", epsilon: epsilon) }
    b.e.scope = "embed"
    // Positions for patches alone; for all tokens; or, with registers put in afterwards, for all but those.
    let positionCount = positions?.dims[1] ?? 0
    let addsFirst = positionCount == tokens && prefixCount > 0
    let addsBeforeRegisters = !addsFirst && registers > 0 && positionCount == tokens + prefixCount - registers
    if addsFirst { x = try b.e.add(x, try b.weight("pos_embed"), "Positions") }
    func joined(_ names: [String], _ x: ValueID, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
      var parts: [ValueID] = []
      for (name, _) in prefixes where names.contains(name) { parts.append(try b.e.expandBatch(try b.weight(name), like: x)) }
      return try b.e.concat(parts + [x], axis: 1, "Tokens")
    }
    if addsBeforeRegisters {
      x = try b.e.add(try joined(["cls_token", "dist_token"], x, &b), try b.weight("pos_embed"), "Positions")
      let first = prefixCount - registers
      let (front, rest) = (try b.e.slice(x, axis: 1, from: 0, to: first), try b.e.slice(x, axis: 1, from: first, to: Int(Int32.max)))
      x = try b.e.concat([front, try joined(["reg_token"], rest, &b)], axis: 1, "Tokens")
    } else {
      x = try joined(prefixes.map(\.0), x, &b)
      if positions != nil, !addsFirst { x = try b.e.add(x, try b.weight("pos_embed"), "Positions") }
    }
    if weights.has("norm_pre.weight") { x = try b.normalized(x, "norm_pre", epsilon: epsilon) }
    var plan = Plan(width: width, grid: (rows, columns), prefix: prefixCount, epsilon: epsilon, activation: activation, rotation: nil)
    if let rotary = RotaryPositions(weights, grid: plan.grid, patch: patch[2]) {
      plan.rotation = try rotary.tables(headDim: try attentionWidth(width) / (try heads(width)), prefix: prefixCount, &b.e)
    } else if positions == nil, !weights.isNamed("relative_position_bias_table") {
      weights.assume("tokens bear no positions, as none are stored")
    }
    let isAfter = weights.isNormalizedAfter
    for index in 0..<weights.count("blocks") { x = try block(x, "blocks.\(index)", isAfter: isAfter, plan, &b) }
    if weights.has("norm.weight") { x = try b.normalized(x, "norm", epsilon: epsilon) }
    return try head(x, plan, &b)
  }

  // MARK: What weights and configuration tell

  private var isCLIP: Bool { weights.has("norm_pre.weight") && weights.has("cls_token") && weights.library != .torchvision }

  private var epsilon: Double {
    if let told = weights.epsilon { return told }
    // CLIP's and DINOv3's are PyTorch's own; timm's other models with a norm before the blocks have timm's.
    let isTower = isCLIP && (weights.library != .timm || weights.architecture.contains("clip"))
    return isTower || weights.architecture.contains("dinov3") || RotaryPositions.isCentered(weights) ? 1e-5 : 1e-6
  }

  private var activation: Activation {
    let isTower = weights.has("norm_post.weight")
    return weights.activation(family: isTower && isCLIP ? .quickGelu : isTower && weights.library == .transformers ? .geluTanh : .gelu)
  }

  /// Rows and columns of patches: from positions, or the table of relative ones.
  private func grid(_ positions: Tensor?, _ patch: [Int], prefix: Int, registers: Int) throws(Failure) -> (rows: Int, columns: Int) {
    if let positions {
      // For all tokens; without places for registers, or for any of those in front.
      let all = positions.dims[1]
      return try weights.grid([all - prefix, all - prefix + registers, all], patch: patch)
    }
    let tables = ["blocks.0.attn.relative_position_bias_table", "rel_pos_bias.relative_position_bias_table"].compactMap { weights.weights[$0] }
    if let table = tables.first, table.dims.count == 2 {
      for entries in [table.dims[0] - 3, table.dims[0]] {
        guard let span = VisionTransformerTemplate.side(entries), span % 2 == 1 else { continue }
        return try weights.grid([(span + 1) / 2 * ((span + 1) / 2)], patch: patch)
      }
    } else if weights.imageSize == nil, RotaryPositions(weights, grid: (1, 1), patch: patch[2]) != nil, (1...224).contains(patch[2]),
      (1...224).contains(patch[3])
    {
      weights.assume("images are 224 x 224; --shape x=1,C,H,W gives another size")
      return (224 / patch[2], 224 / patch[3])
    }
    return try weights.grid([], patch: patch)
  }

  /// Channels of queries: those of tokens in nearly all models.
  private func attentionWidth(_ width: Int) throws(Failure) -> Int {
    if let packed = weights.weights["blocks.0.attn.qkv.weight"]?.dims.first { return packed / 3 }
    return weights.weights["blocks.0.attn.q.weight"]?.dims.first ?? width
  }

  func heads(_ width: Int) throws(Failure) -> Int {
    let all = try attentionWidth(width)
    let tables = ["blocks.0.attn.relative_position_bias_table", "rel_pos_bias.relative_position_bias_table"]
    let norms = ["blocks.0.attn.q_norm.weight", "blocks.0.q_norm.weight", "blocks.0.attns.0.attn.q_norm.weight"]
    let normed = norms.lazy.compactMap { weights.weights[$0]?.dims }.first { $0.count == 1 && $0[0] > 0 && $0[0] < all }
    var told = normed.map { all / $0[0] } ?? tables.lazy.compactMap { weights.weights[$0]?.dims.last }.first
    // All models that OpenAI published have heads of 64 channels.
    if told == nil, weights.library == .openCLIP, weights.options.heads == nil, weights.option("num_attention_heads", "num_heads") == nil, all % 64 == 0 {
      weights.assume("attention heads have 64 channels; --heads gives another number")
      told = all / 64
    }
    return try weights.heads(width: all, told: told)
  }

  static func side(_ count: Int) -> Int? {
    guard count > 0 else { return nil }
    let root = Int(Double(count).squareRoot().rounded())
    return root * root == count ? root : nil
  }
}
