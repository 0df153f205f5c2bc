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

  init(_ all: [String: Tensor], options: CheckpointOptions, configuration: JSON?) {
    self.options = options
    self.configuration = configuration
    let translated = all.map { (TransformersNames.translated($0.key), $0.key, $0.value) }
    // The words before the one name that every such model has.
    let marks = ["patch_embed.proj.weight", "patch_embed.0.proj.weight", "stem.proj.weight", "patch_embed1.proj.weight", "stem.0.weight"]
    var prefix = ""
    for (name, _, _) in translated { for mark in marks where name == mark || name.hasSuffix("." + mark) { prefix = String(name.dropLast(mark.count)) } }
    for (name, original, tensor) in translated {
      let short = name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
      weights[short] = tensor
      originals[short] = original
    }
  }

  /// nil when no template knows these weights.
  func graph() throws(Failure) -> Graph? {
    if weights["patch_embed.proj.weight"]?.dims.count == 4, weights["blocks.0.norm1.weight"] != nil, weights["blocks.0.mlp.fc1.weight"] != nil {
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

  /// - Throws: `missingPart` or `shapeMismatch`.
  func tensor(_ name: String, _ dims: [Int?]? = nil) throws(Failure) -> Tensor {
    guard let tensor = weights[name] else { throw Failure(.missingPart, "the weight '\(name)' is not in the file", at: .element(name)) }
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
    guard let known else {
      throw Failure(
        .missingPart, "no weight tells how many attention heads a width of \(width) has",
        advice: "give --heads N, or a config.json with num_attention_heads beside the weights")
    }
    guard known > 0, width % known == 0 else {
      throw Failure(.badAttribute, "\(known) heads do not divide a width of \(width)", advice: "give another --heads")
    }
    return known
  }

  var epsilon: Double? { (configuration?["layer_norm_eps"] ?? configuration?["layer_norm_epsilon"])?.double }
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

  /// fc1, exact GELU, fc2.
  mutating func perceptron(_ x: ValueID, _ name: String) throws(Failure) -> ValueID {
    let outer = e.scope
    defer { e.scope = outer }
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

/// Names of Transformers' vision models as timm's.
enum TransformersNames {
  static func translated(_ name: String) -> String {
    var result = name
    for (from, to) in exact where result.hasSuffix(from) { return String(result.dropLast(from.count)).dropping("vit.", "deit.", "beit.", "model.") + to }
    guard let range = result.firstRange(of: "encoder.layer.") else {
      if result == "classifier.weight" || result == "classifier.bias" { return result.replacing("classifier", with: "head") }
      if result.hasPrefix("cls_classifier.") { return result.replacing("cls_classifier", with: "head") }
      if result.hasPrefix("distillation_classifier.") { return result.replacing("distillation_classifier", with: "head_dist") }
      if result.hasSuffix("layernorm.weight") || result.hasSuffix("layernorm.bias"), !result.contains(".layer.") {
        return result.dropping("vit.", "deit.", "beit.").replacing("layernorm", with: "norm")
      }
      return name
    }
    result = "blocks." + result[range.upperBound...]
    for (from, to) in inner { result = result.replacing(from, with: to) }
    return result
  }

  private static let exact: [(String, String)] = [
    ("embeddings.cls_token", "cls_token"), ("embeddings.distillation_token", "dist_token"), ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection.weight", "patch_embed.proj.weight"), ("embeddings.patch_embeddings.projection.bias", "patch_embed.proj.bias"),
  ]
  private static let inner: [(String, String)] = [
    ("attention.attention.query", "attn.q"), ("attention.attention.key", "attn.k"), ("attention.attention.value", "attn.v"),
    ("attention.output.dense", "attn.proj"), ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"), ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"), ("lambda_1", "gamma_1"), ("lambda_2", "gamma_2"),
    ("attention.attention.relative_position_bias.relative_position_bias_table", "attn.relative_position_bias_table"),
  ]
}

extension String {
  fileprivate func dropping(_ prefixes: String...) -> String {
    for prefix in prefixes where hasPrefix(prefix) { return String(dropFirst(prefix.count)) }
    return self
  }
}
