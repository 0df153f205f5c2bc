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
  /// Whether names are those of Transformers, whose models without a head give all tokens, where timm's give pooled ones.
  let isTransformers: Bool

  /// Names that a template has read; shared by the copies that its parts hold.
  private final class Reading { var names: Set<String> = [] }
  private let reading = Reading()

  init(_ all: [String: Tensor], options: CheckpointOptions, configuration: JSON?) {
    self.options = options
    self.configuration = configuration
    // Transformers' models wrap the backbone, whose embeddings show the words before it, beside the head.
    let mark = "embeddings.patch_embeddings.projection.weight"
    let backbone = all.keys.first { $0.hasSuffix(mark) }.map { String($0.dropLast(mark.count)) } ?? ""
    let wrapper = backbone.dropLast().lastIndex(of: ".").map { String(backbone[...$0]) } ?? ""
    let translated = all.map { key, tensor in
      let short =
        !backbone.isEmpty && key.hasPrefix(backbone) ? key.dropFirst(backbone.count) : key.hasPrefix(wrapper) ? key.dropFirst(wrapper.count) : key[...]
      return (WeightNames.translated(String(short)), key, tensor)
    }
    // The words before the one name that every such model has.
    let marks = ["patch_embed.proj.weight", "patch_embed.0.proj.weight", "stem.proj.weight", "patch_embed1.proj.weight", "stem.0.weight"]
    var prefix = ""
    for (name, _, _) in translated { for mark in marks where name == mark || name.hasSuffix("." + mark) { prefix = String(name.dropLast(mark.count)) } }
    isTransformers = translated.contains { entry in entry.1.contains("embedding") && marks.contains { entry.0.hasSuffix($0) } }
    for (name, original, tensor) in translated {
      let short = name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
      weights[short] = tensor
      originals[short] = original
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
    if weights["patch_embed.proj.weight"]?.dims.count == 4, weights["blocks.0.norm1.weight"] != nil,
      ["fc1", "fc1_g", "weights_in"].contains(where: { has("blocks.0.mlp.\($0).weight") })
    {
      return try VisionTransformerTemplate(self).graph()
    }
    if weights["patch_embed.proj.weight"]?.dims.count == 4, weights["layers.0.blocks.0.attn.relative_position_bias_table"] != nil {
      return try SwinTemplate(self).graph()
    }
    if weights["stem.proj.weight"]?.dims.count == 4, weights["blocks.0.mlp_tokens.fc1.weight"] != nil { return try MixerTemplate(self).graph() }
    if weights["stem.0.weight"]?.dims.count == 4, weights["blocks.0.0.fn.0.weight"] != nil || weights["blocks.0.0.weight"] != nil {
      return try ConvMixerTemplate(self).graph()
    }
    return nil
  }

  func has(_ name: String) -> Bool { weights[name] != nil }

  /// Numbers of blocks that no template has read, as the file names them: with any, the model is another one than it looked
  /// like. Buffers that follow from the others do not count.
  var unreadOfBlocks: [String] {
    let derived = ["attn_mask", "relative_position_index", "relative_coords_table"]
    return weights.filter { name, tensor in
      ["blocks.", "layers.", "stages.", "blocks_token_only."].contains { name.hasPrefix($0) } && tensor.elementType.isFloatingPoint
        && !reading.names.contains(name) && !derived.contains { name.hasSuffix($0) }
    }.keys.map { originals[$0] ?? $0 }.sorted()
  }

  /// - Throws: `missingPart` or `shapeMismatch`.
  func tensor(_ name: String, _ dims: [Int?]? = nil) throws(Failure) -> Tensor {
    guard let tensor = weights[name] else { throw Failure(.missingPart, "the weight '\(name)' is not in the file", at: .element(name)) }
    reading.names.insert(name)
    try KerasBuilder.check(tensor, dims, originals[name] ?? name)
    return tensor
  }

  func count(_ prefix: String) -> Int {
    var index = 0
    while index < 1 << 16, weights.keys.contains(where: { $0.hasPrefix("\(prefix).\(index).") }) { index += 1 }
    return index
  }

  /// Attention heads from a weight, from the options, or from a configuration.
  func heads(width: Int, told: Int?) throws(Failure) -> Int {
    let known =
      told ?? options.heads ?? (configuration?["num_attention_heads"] ?? configuration?["num_heads"] ?? configuration?["model_args"]?["num_heads"])?.int
      ?? publishedHeads(width)
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
    guard let words = configuration?["architecture"]?.string?.split(separator: "_") else { return nil }
    let sizes: [(word: Substring, width: Int, heads: Int)] = [
      ("tiny", 192, 3), ("small", 384, 6), ("base", 768, 12), ("large", 1024, 16), ("huge", 1280, 16),
    ]
    return sizes.first { words.contains($0.word) && $0.width == width }?.heads
  }

  /// What is added to variances: the configuration's number, or the one of the library whose names these are.
  var epsilon: Double? {
    (configuration?["layer_norm_eps"] ?? configuration?["layer_norm_epsilon"])?.double
      ?? (originals.values.contains { $0.contains("layernorm_before") } ? 1e-12 : nil)
  }

  /// Whether blocks normalize what attention and perceptron give (timm's "res-post-norm") and not what they take. Names and
  /// shapes are the same; the configuration's architecture tells, or the order in which a file's tensors were written, which
  /// is that of the modules. Files that sort their tensors by name tell nothing.
  var isNormalizedAfter: Bool {
    if let words = configuration?["architecture"]?.string?.split(separator: "_") { return words.contains("rpn") }
    let blocks = count("blocks")
    guard blocks > 0 else { return false }
    return (0..<blocks).allSatisfy { index in
      // Equal in size, so that the library laid them into the file by one rule.
      let names = ["attn.proj.bias", "norm1.weight", "mlp.fc2.bias", "norm2.weight"].map { "blocks.\(index).\($0)" }
      let tensors = names.compactMap { weights[$0] }
      let places = tensors.compactMap { if case .mapped(_, let range) = $0.storage { range.lowerBound } else { nil } }
      return places.count == names.count && Set(tensors.map(\.byteCount)).count == 1 && zip(places, places.dropFirst()).allSatisfy { $0 < $1 }
    }
  }
}

/// What templates of PyTorch models are made of: linear layers (out, in), convolutions (out, in, kh, kw), normalizations.
struct TorchBuilder {
  var e: Emitter
  let weights: StateDictionary

  init(_ weights: StateDictionary, name: String) {
    self.weights = weights
    e = Emitter(name: name)
  }

  /// A weight in float32, whatever it is stored in.
  mutating func weight(_ name: String, _ dims: [Int?]? = nil, transposed: Bool = false) throws(Failure) -> ValueID {
    let weights = weights
    return try e.weight(name) { () throws(Failure) in
      var tensor = try weights.tensor(name, dims)
      if tensor.elementType != .float32 {
        guard let values = tensor.floats() else { throw Failure(.typeMismatch, "the weight is \(tensor.type)", at: .element(name)) }
        tensor = try Tensor(float32: values, dims: tensor.dims)
      }
      return transposed ? try tensor.transposed([1, 0]) : tensor
    }
  }

  /// x·Wᵀ + b
  mutating func linear(_ x: ValueID, _ name: String, out: Int? = nil) throws(Failure) -> ValueID {
    let outer = e.scope
    e.scope = name
    defer { e.scope = outer }
    let width = try e.size(x, try e.rank(x) - 1)
    let y = try e.matMul(x, try weight("\(name).weight", [out, width], transposed: true))
    return weights.has("\(name).bias") ? try e.add(y, try weight("\(name).bias", [out])) : y
  }

  mutating func normalized(_ x: ValueID, _ name: String, epsilon: Double) throws(Failure) -> ValueID {
    let outer = e.scope
    e.scope = name
    defer { e.scope = outer }
    let width = try e.size(x, try e.rank(x) - 1)
    let bias = weights.has("\(name).bias") ? try weight("\(name).bias", [width]) : nil
    return try e.emit(
      .normalization(.layer(axis: -1, epsilon: Float(epsilon))), [x, try weight("\(name).weight", [width]), bias].droppingLastNil, "LayerNormalization")
  }

  mutating func batchNormalized(_ x: ValueID, _ name: String) throws(Failure) -> ValueID {
    let outer = e.scope
    e.scope = name
    defer { e.scope = outer }
    let width = try e.size(x, 1)
    return try e.emit(
      .normalization(.batch(epsilon: 1e-5)),
      [
        x, try weight("\(name).weight", [width]), try weight("\(name).bias", [width]), try weight("\(name).running_mean", [width]),
        try weight("\(name).running_var", [width]),
      ],
      "BatchNormalization")
  }

  mutating func convolution(_ x: ValueID, _ name: String, stride: [Int], padding: [Int] = [0, 0, 0, 0], groups: Int = 1) throws(Failure) -> ValueID {
    let outer = e.scope
    e.scope = name
    defer { e.scope = outer }
    let kernel = try weight("\(name).weight", [nil, nil, nil, nil])
    let dims = try e.shape(kernel).compactMap(\.value)
    let bias = weights.has("\(name).bias") ? try weight("\(name).bias", [dims[0]]) : nil
    let window = Window(kernel: [dims[2], dims[3]], strides: stride, dilations: [1, 1], padding: .explicit(padding))
    return try e.emit(.convolution(.conv(window, groups: groups)), [x, kernel, bias].droppingLastNil, "Conv")
  }

  mutating func gelu(_ x: ValueID) throws(Failure) -> ValueID {
    let inner = try e.unary(.erf, try e.divide(x, 2.0.squareRoot()), "Erf")
    return try e.multiply(try e.multiply(x, try e.add(inner, 1)), 0.5)
  }

  /// fc1, exact GELU, fc2; or one of the gated forms (Shazeer 2020), told by names and by a second half that fc2 does not take.
  mutating func perceptron(_ x: ValueID, _ name: String) throws(Failure) -> ValueID {
    let outer = e.scope
    defer { e.scope = outer }
    func silu(_ x: ValueID, _ e: inout Emitter) throws(Failure) -> ValueID { try e.multiply(x, try e.unary(.sigmoid, x, "Sigmoid")) }
    if weights.has("\(name).fc1_g.weight") {
      let gate = try linear(x, "\(name).fc1_g")
      let inner = try linear(x, "\(name).fc1_x")
      e.scope = "\(name).act"
      var y = try e.multiply(try silu(gate, &e), inner)
      if weights.has("\(name).norm.weight") { y = try normalized(y, "\(name).norm", epsilon: weights.epsilon ?? 1e-6) }
      return try linear(y, "\(name).fc2")
    }
    let (first, second) = weights.has("\(name).weights_in.weight") ? ("weights_in", "weights_out") : ("fc1", "fc2")
    if let wide = weights.weights["\(name).\(first).weight"]?.dims.first, let narrow = weights.weights["\(name).\(second).weight"]?.dims.last,
      wide == 2 * narrow
    {
      let both = try linear(x, "\(name).\(first)")
      e.scope = "\(name).act"
      let axis = try e.rank(both) - 1
      let gate = try e.slice(both, axis: axis, from: 0, to: narrow)
      let y = try e.multiply(try silu(gate, &e), try e.slice(both, axis: axis, from: narrow, to: wide))
      return try linear(y, "\(name).\(second)")
    }
    let inner = try linear(x, "\(name).fc1")
    e.scope = "\(name).act"
    return try linear(try gelu(inner), "\(name).fc2")
  }

  /// (B, C, H, W) to (B, H·W, C)
  mutating func tokens(_ x: ValueID) throws(Failure) -> ValueID {
    let dims = try e.shape(x)
    guard let count = dims[2].multiplied(by: dims[3]) else { throw Failure(.sizeOverflow, "too many patches", at: .element(e.scope)) }
    return try e.transpose(try e.reshape(x, [dims[0], dims[1], count]), [0, 2, 1])
  }

  mutating func image(channels: Int, height: Int, width: Int) -> ValueID {
    e.input("x", TensorType(.float32, Shape([Dim(symbol: "batch"), Dim(channels), Dim(height), Dim(width)])))
  }
}
