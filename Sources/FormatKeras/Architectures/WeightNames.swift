/// Names of Transformers' vision models, of both its generations, and of PVT's authors as timm's.
enum WeightNames {
  static func translated(_ name: String) -> String {
    var result = name
    for prefix in ["vit.", "deit.", "beit.", "swin.", "dinov2.", "pvt_v2.", "pvt."] where result.hasPrefix(prefix) {
      result = String(result.dropFirst(prefix.count))
      break
    }
    if result.hasPrefix("encoder.relative_position_bias.") || result.hasPrefix("shared_position_bias.") { return "rel_pos_bias.relative_position_bias_table" }
    result = outer(result)
    guard let block = blockPrefix(result) else { return result }
    let rest = String(result.dropFirst(block.original.count))
    for (from, to) in inner where rest.hasPrefix(from) { return block.name + to + rest.dropFirst(from.count) }
    return block.name + rest
  }

  /// What stands outside of blocks.
  private static func outer(_ name: String) -> String {
    for (from, to) in exact where name == from || name.hasPrefix(from + ".") { return to + name.dropFirst(from.count) }
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    // PVT's authors count stages from 1; Transformers from 0, with a list of embeddings.
    if let first = parts.first, first.hasPrefix("patch_embed"), let stage = Int(first.dropFirst("patch_embed".count)), stage > 0 {
      return ([stage == 1 ? "patch_embed" : "stages.\(stage - 1).downsample"] + parts.dropFirst().map(String.init)).joined(separator: ".")
    }
    if name.hasPrefix("pos_embed"), let stage = Int(name.dropFirst("pos_embed".count)), stage > 0 { return "stages.\(stage - 1).pos_embed" }
    if let first = parts.first, first.hasPrefix("norm"), parts.count == 2, let stage = Int(first.dropFirst("norm".count)), stage > 0 {
      return "stages.\(stage - 1).norm.\(parts[1])"
    }
    if name.hasPrefix("encoder.patch_embeddings."), parts.count > 3, let stage = Int(parts[2]) {
      let rest = parts[3...].joined(separator: ".")
      if rest == "cls_token" { return "cls_token" }
      if rest == "position_embeddings" { return "stages.\(stage).pos_embed" }
      return embedding(stage, rest)
    }
    if name.hasPrefix("encoder.layers."), parts.count > 4, let stage = Int(parts[2]), parts[3] == "patch_embedding" || parts[3] == "layer_norm" {
      return parts[3] == "layer_norm" ? "stages.\(stage).norm.\(parts[4])" : embedding(stage, parts[4...].joined(separator: "."))
    }
    return name
  }

  private static func embedding(_ stage: Int, _ rest: String) -> String {
    let own = rest.replacing("projection.", with: "proj.").replacing("layer_norm.", with: "norm.")
    return (stage == 0 ? "patch_embed." : "stages.\(stage).downsample.") + own
  }

  /// The start of a block's names: as they are, and as timm has them.
  private static func blockPrefix(_ name: String) -> (original: String, name: String)? {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    func start(_ count: Int) -> String { parts[..<count].joined(separator: ".") + "." }
    func isNumber(_ index: Int) -> Bool { index < parts.count && !parts[index].isEmpty && parts[index].allSatisfy(\.isNumber) }
    if parts.starts(with: ["encoder", "layer"]), isNumber(2), parts.count > 3 { return (start(3), "blocks.\(parts[2]).") }
    if parts.starts(with: ["encoder", "block"]), isNumber(2), isNumber(3), parts.count > 4 { return (start(4), "stages.\(parts[2]).blocks.\(parts[3]).") }
    if parts.starts(with: ["encoder", "layers"]), isNumber(2), parts.count > 4 {
      if parts[3] == "blocks", isNumber(4), parts.count > 5 {
        // Swin and PVT v2 share the spelling of stages; what stands in a block tells them apart.
        let isPyramid =
          ["layer_norm_1", "layer_norm_2", "mlp.dense1", "mlp.dense2", "mlp.dwconv"].contains { parts[5...].joined(separator: ".").hasPrefix($0) }
          || ["query", "key", "value", "proj", "spatial_reduction", "layer_norm"].contains { parts[5] == "attention" && parts.count > 6 && parts[6] == $0 }
        return (start(5), "\(isPyramid ? "stages" : "layers").\(parts[2]).blocks.\(parts[4]).")
      }
      if parts[3] == "downsample" { return (start(3), "layers.\(parts[2]).") }
    }
    if parts.first == "layers", isNumber(1), parts.count > 2, parts[2] != "blocks", parts[2] != "downsample" { return (start(2), "blocks.\(parts[1]).") }
    if let first = parts.first, first.hasPrefix("block"), let stage = Int(first.dropFirst("block".count)), stage > 0, isNumber(1), parts.count > 2 {
      return (start(2), "stages.\(stage - 1).blocks.\(parts[1]).")
    }
    return nil
  }

  private static let exact: [(String, String)] = [
    ("embeddings.cls_token", "cls_token"), ("embeddings.distillation_token", "dist_token"), ("embeddings.register_tokens", "reg_token"),
    ("embeddings.position_embeddings", "pos_embed"), ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("embeddings.norm", "patch_embed.norm"), ("pooler.layernorm", "fc_norm"), ("layernorm", "norm"), ("encoder.layer_norm", "norm"),
    ("classifier", "head"), ("cls_classifier", "head"), ("distillation_classifier", "head_dist"),
  ]

  private static let inner: [(String, String)] = [
    ("attention.attention.relative_position_bias.relative_position_bias_table", "attn.relative_position_bias_table"),
    ("attention.relative_position_bias.relative_position_bias_table", "attn.relative_position_bias_table"),
    ("attention.self.relative_position_bias_table", "attn.relative_position_bias_table"),
    ("relative_position_bias.relative_position_bias_table", "attn.relative_position_bias_table"),
    ("attention.attention.query", "attn.q"), ("attention.attention.key", "attn.k"), ("attention.attention.value", "attn.v"),
    ("attention.self.query", "attn.q"), ("attention.self.key", "attn.k"), ("attention.self.value", "attn.v"),
    ("attention.self.sequence_reduction", "attn.sr"), ("attention.self.layer_norm", "attn.norm"), ("attention.spatial_reduction", "attn.sr"),
    ("attention.layer_norm", "attn.norm"), ("attention.q_proj", "attn.q"), ("attention.k_proj", "attn.k"), ("attention.v_proj", "attn.v"),
    ("attention.o_proj", "attn.proj"), ("attention.query", "attn.q"), ("attention.key", "attn.k"), ("attention.value", "attn.v"),
    ("attention.proj", "attn.proj"), ("attention.output.dense", "attn.proj"), ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"),
    ("mlp.gate_proj", "mlp.fc1_g"), ("mlp.up_proj", "mlp.fc1_x"), ("mlp.down_proj", "mlp.fc2"), ("mlp.dense1", "mlp.fc1"), ("mlp.dense2", "mlp.fc2"),
    ("mlp.dwconv.dwconv", "mlp.dwconv"), ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"), ("layer_norm_1", "norm1"), ("layer_norm_2", "norm2"), ("lambda_1", "gamma_1"), ("lambda_2", "gamma_2"),
    ("layer_scale1.lambda1", "ls1.gamma"), ("layer_scale2.lambda1", "ls2.gamma"),
  ]
}
