/// Names of Transformers' vision models, of both its generations, of torchvision, of OpenAI's CLIP and of models' authors as
/// timm's.
enum WeightNames {
  /// A weight of the tower in models that wrap it, such as those with a head of their own or with a tower of text.
  static let towerMarks = [
    "embeddings.patch_embeddings.projection.weight", "embeddings.patch_embeddings.weight", "embeddings.patch_embedding.weight", "ln_pre.weight",
  ]

  /// The embedding of patches in all others.
  static let embeddingMarks = [
    "patch_embed.proj.weight", "patch_embed.0.proj.weight", "patch_embed1.proj.weight", "stem.proj.weight", "stem.0.weight", "conv_proj.weight",
    "features.0.0.weight", "stages.0.patch_embeddings.proj.weight", "encoder.patch_embeddings.0.projection.weight",
    "encoder.layers.0.patch_embedding.proj.weight",
  ]

  static func translated(_ name: String) -> String {
    var result = name
    for prefix in ["vit.", "deit.", "beit.", "swin.", "dinov2.", "swinv2.", "pvt_v2.", "pvt.", "segformer."] where result.hasPrefix(prefix) {
      result = String(result.dropFirst(prefix.count))
      break
    }
    if result.hasPrefix("encoder.relative_position_bias.") || result.hasPrefix("shared_position_bias.") { return "rel_pos_bias.relative_position_bias_table" }
    result = stage(torchvision(outer(result)))
    guard let block = blockPrefix(result) else { return result }
    let rest = String(result.dropFirst(block.original.count))
    for (from, to) in inner where rest.hasPrefix(from) { return block.name + to + rest.dropFirst(from.count) }
    return block.name + rest
  }

  /// What stands outside of blocks.
  private static func outer(_ name: String) -> String {
    let words = name.split(separator: ".", omittingEmptySubsequences: false)
    if words.count == 4, words.starts(with: ["encoder", "layer_norm"]), let stage = Int(words[2]) { return "stages.\(stage).norm.\(words[3])" }
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

  /// Stages of torchvision's Swin: those of blocks have odd numbers, those of patch merging even ones.
  private static func torchvision(_ name: String) -> String {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count > 3, parts[0] == "features", let stage = Int(parts[1]), stage > 0, stage < 64 else { return name }
    let rest = parts[2...].joined(separator: ".")
    return stage % 2 == 0 ? "layers.\(stage / 2 - 1).downsample.\(rest)" : "layers.\(stage / 2).blocks.\(rest)"
  }

  /// What stands in the stages of SegFormer beside blocks.
  private static func stage(_ name: String) -> String {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count > 3, parts[0] == "stages", let stage = Int(parts[1]) else { return name }
    let rest = parts[3...].joined(separator: ".")
    if parts[2] == "patch_embeddings" { return embedding(stage, rest) }
    return parts[2] == "layer_norm" ? "stages.\(stage).norm.\(rest)" : name
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
    if parts.starts(with: ["transformer", "resblocks"]), isNumber(2), parts.count > 3 { return (start(3), "blocks.\(parts[2]).") }
    if parts.starts(with: ["encoder", "layers"]), parts.count > 3, let index = Int(parts[2].removing(prefix: "encoder_layer_")),
      parts[2].hasPrefix("encoder_layer_") || ["self_attn", "layer_norm1", "layer_norm2", "mlp"].contains(parts[3])
    {
      return (start(3), "blocks.\(index).")
    }
    if parts.first == "model", parts.count > 3, parts[1] == "layer", isNumber(2) { return (start(3), "blocks.\(parts[2]).") }
    if parts.first == "layer", isNumber(1), parts.count > 2 { return (start(2), "blocks.\(parts[1]).") }
    if parts.first == "stages", isNumber(1), parts.count > 4, parts[2] == "blocks", isNumber(3) { return (start(4), start(4)) }
    if parts.first == "layers", isNumber(1), parts.count > 4, parts[2] == "blocks", isNumber(3) { return (start(4), start(4)) }
    if parts.first == "blocks", isNumber(1), parts.count > 2 { return (start(2), start(2)) }
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
    ("embeddings.patch_embeddings", "patch_embed.proj"), ("embeddings.patch_embedding", "patch_embed.proj"), ("embeddings.class_embedding", "cls_token"),
    ("embeddings.position_embedding.weight", "pos_embed"), ("pre_layrnorm", "norm_pre"), ("post_layernorm", "norm_post"), ("visual_projection", "head"),
    ("head.probe", "attn_pool.latent"), ("head.attention.in_proj_weight", "attn_pool.in_proj.weight"),
    ("head.attention.in_proj_bias", "attn_pool.in_proj.bias"), ("head.attention.out_proj", "attn_pool.proj"), ("head.layernorm", "attn_pool.norm"),
    ("head.mlp", "attn_pool.mlp"), ("conv_proj", "patch_embed.proj"), ("class_token", "cls_token"), ("encoder.pos_embedding", "pos_embed"),
    ("encoder.ln", "norm"), ("heads.head", "head"), ("features.0.0", "patch_embed.proj"), ("features.0.2", "patch_embed.norm"),
    ("conv1", "patch_embed.proj"), ("class_embedding", "cls_token"), ("positional_embedding", "pos_embed"), ("ln_pre", "norm_pre"),
    ("ln_post", "norm_post"), ("proj", "head.kernel"), ("register_tokens", "reg_token"), ("storage_tokens", "reg_token"),
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
    ("attention.self.sequence_reduction", "attn.sr"), ("attention.self.sr", "attn.sr"), ("attention.self.layer_norm", "attn.norm"),
    ("attention.spatial_reduction", "attn.sr"),
    ("attention.self.continuous_position_bias_mlp", "attn.cpb_mlp"), ("attention.self.logit_scale", "attn.logit_scale"),
    ("attention.sequence_reduction.sequence_reduction", "attn.sr"), ("attention.sequence_reduction.layer_norm", "attn.norm"),
    ("self_attention.in_proj_weight", "attn.qkv.weight"), ("self_attention.in_proj_bias", "attn.qkv.bias"), ("self_attention.out_proj", "attn.proj"),
    ("attn.in_proj_weight", "attn.qkv.weight"), ("attn.in_proj_bias", "attn.qkv.bias"), ("attn.out_proj", "attn.proj"),
    ("attn.q_proj", "attn.q"), ("attn.k_proj", "attn.k"), ("attn.v_proj", "attn.v"), ("attn.rel_pos.", "attn."),
    ("self_attn.q_proj", "attn.q"), ("self_attn.k_proj", "attn.k"), ("self_attn.v_proj", "attn.v"), ("self_attn.out_proj", "attn.proj"),
    ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2"), ("mlp.linear_1", "mlp.fc1"), ("mlp.linear_2", "mlp.fc2"), ("mlp.0.", "mlp.fc1."),
    ("mlp.3.", "mlp.fc2."), ("mlp.w12", "mlp.fc1"), ("mlp.w3", "mlp.fc2"), ("ln_1", "norm1"), ("ln_2", "norm2"), ("layer_norm1", "norm1"),
    ("layer_norm2", "norm2"), ("attention.layer_norm", "attn.norm"), ("attention.q_proj", "attn.q"), ("attention.k_proj", "attn.k"),
    ("attention.v_proj", "attn.v"),
    ("attention.o_proj", "attn.proj"), ("attention.query", "attn.q"), ("attention.key", "attn.k"), ("attention.value", "attn.v"),
    ("attention.proj", "attn.proj"), ("attention.output.dense", "attn.proj"), ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"),
    ("mlp.gate_proj", "mlp.fc1_g"), ("mlp.up_proj", "mlp.fc1_x"), ("mlp.down_proj", "mlp.fc2"), ("mlp.dense1", "mlp.fc1"), ("mlp.dense2", "mlp.fc2"),
    ("mlp.dwconv.dwconv", "mlp.dwconv"), ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"), ("layer_norm_1", "norm1"), ("layer_norm_2", "norm2"), ("lambda_1", "gamma_1"), ("lambda_2", "gamma_2"),
    ("layer_scale1.lambda1", "ls1.gamma"), ("layer_scale2.lambda1", "ls2.gamma"),
  ]
}

extension String {
  fileprivate func removing(prefix: String) -> String { hasPrefix(prefix) ? String(dropFirst(prefix.count)) : self }
}
