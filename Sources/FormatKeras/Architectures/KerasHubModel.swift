internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// Models of keras_hub, whose files hold constructor arguments and no graph: whole ones, and those that are a layer of another.
struct KerasHubModel {
  let className: String
  let config: JSON

  init?(_ className: String, _ config: JSON) {
    let name = className.split(separator: ">").last.map(String.init) ?? className
    guard ["ViTBackbone", "DeiTBackbone", "ViTImageClassifier", "DeiTImageClassifier"].contains(name) else { return nil }
    self.className = name
    self.config = config
  }

  /// The outermost model of a file. Its input is float32 whatever the layers compute in.
  func build(_ builder: inout KerasBuilder) throws(Failure) -> [(name: String, value: ValueID)] {
    let root = LayerPath(name: "", group: "", inner: [], attributes: [""])
    let isClassifier = className.hasSuffix("Classifier")
    let shape = try imageShape(isClassifier ? config["backbone"]?["config"] ?? .null : config)
    let input = builder.e.input("images", TensorType(.float32, Shape([Dim(symbol: "batch")] + shape.map { Dim($0) })))
    return [(isClassifier ? "predictions" : "output", try result(input, root, &builder))]
  }

  /// What the model gives for images (B, H, W, C): tokens of a backbone, predictions of a classifier.
  func result(_ input: ValueID, _ root: LayerPath, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
    guard className.hasSuffix("Classifier") else { return try backbone(config, input, root, &builder) }
    guard let inner = config["backbone"]?["config"], let classes = config["num_classes"]?.int, classes > 0 else {
      throw Failure(.missingPart, "the configuration has no backbone or no number of classes", at: .element(className))
    }
    let prefix = className.hasPrefix("DeiT") ? "dei_t" : "vi_t"
    let tokens = try backbone(inner, input, root.part("\(prefix)_backbone", ["backbone", "layers/\(prefix)_backbone"]).named(root.name), &builder)
    let pooled: ValueID
    builder.e.scope = "pooler"
    switch config["pooling"]?.string ?? "token" {
    case "token": pooled = try builder.e.gather(tokens, axis: 1, at: 0)
    case "gap": pooled = try builder.e.reduce(.mean, tokens, axes: [1], keep: false, "ReduceMean")
    default: throw Failure(.badAttribute, "the pooling is not known", at: .element(className))
    }
    var features = pooled
    var place = "layers/dense"
    if let units = config["intermediate_dim"]?.int {
      let inner = try layer(
        "Dense", ["units": .integer(units), "activation": .string("tanh")],
        root.part("pre_logits", ["intermediate_layer", place]).named(root.name.joined("pre_logits")),
        dtype: config["dtype"])
      features = try call(inner, pooled, &builder)
      place += "_1"
    }
    let activation = config["activation"] ?? .string("linear")
    let head = try layer(
      "Dense", ["units": .integer(classes), "activation": activation],
      root.part("predictions", ["output_dense", place]).named(root.name.joined("predictions")),
      dtype: config["dtype"])
    return try call(head, features, &builder)
  }

  private func layer(
    _ className: String, _ config: [String: JSON], _ path: LayerPath, dtype: JSON?
  ) throws(Failure) -> (layer: KerasLayer, path: LayerPath) {
    var all = config
    all["name"] = .string(path.name)
    all["dtype"] = dtype ?? .string("float32")
    return (try KerasLayer(.object(["class_name": .string(className), "config": .object(all)])), path)
  }

  private func call(_ layer: (layer: KerasLayer, path: LayerPath), _ x: ValueID, _ builder: inout KerasBuilder, copies: Int = 1) throws(Failure) -> ValueID {
    let results = try builder.call(
      LayerCall(layer: layer.layer, path: layer.path, positional: [Argument](repeating: .tensor(x), count: copies), named: [:]))
    guard let first = results.first else { throw Failure(.internalError, "a layer without a result", at: .element(layer.path.name)) }
    return first
  }

  private func imageShape(_ config: JSON) throws(Failure) -> [Int] {
    guard let image = config["image_shape"]?.ints, image.count == 3, image.allSatisfy({ (1...(1 << 16)).contains($0) }) else {
      throw Failure(.badAttribute, "'image_shape' is missing or wrong", at: .element(className))
    }
    return image
  }

  /// A table of rows in 8 bits, each with a scale by which it is divided.
  private func quantizedTable(
    _ tensor: Tensor, _ dims: [Int?], _ path: LayerPath, _ name: String, _ type: ElementType, _ builder: inout KerasBuilder
  ) throws(Failure) -> ValueID {
    try KerasBuilder.check(tensor, dims, name)
    let scale = try builder.store.variable(path, ["embeddings_scale"], 1)
    guard let values = tensor.doubles(), let factors = scale.doubles(), let rows = tensor.dims.first, factors.count == rows, rows > 0,
      factors.allSatisfy({ $0 != 0 })
    else {
      throw Failure(.shapeMismatch, "\(scale.type) scales for a table of \(tensor.type)", at: .element(name))
    }
    let width = values.count / rows
    let numbers = values.indices.map { values[$0] / factors[$0 / width] }
    return try builder.e.weight(name) { () throws(Failure) in try Tensor.filled(numbers, dims: tensor.dims, type) }
  }

  /// (B, H, W, C) to (B, N + tokens, hidden). Dosovitskiy et al. 2021; Touvron et al. 2021.
  private func backbone(_ config: JSON, _ input: ValueID, _ root: LayerPath, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
    let isDistilled = className.hasPrefix("DeiT")
    func number(_ key: String) throws(Failure) -> Int {
      guard let value = config[key]?.int, value > 0, value < 1 << 24 else {
        throw Failure(.badAttribute, "'\(key)' is missing or wrong", at: .element(className))
      }
      return value
    }
    let image = try imageShape(config)
    let dtype = config["dtype"]
    func layer(_ className: String, _ settings: [String: JSON], _ path: LayerPath) throws(Failure) -> (layer: KerasLayer, path: LayerPath) {
      try self.layer(className, settings, path, dtype: dtype)
    }
    let patch = config["patch_size"]?.ints ?? (config["patch_size"]?.int).map { [$0, $0] } ?? []
    guard patch.count == 2, zip(patch, image).allSatisfy({ $0 > 0 && $0 <= $1 }) else {
      throw Failure(.badAttribute, "'patch_size' is missing or wrong", at: .element(className))
    }
    let (hidden, layers, heads) = (try number("hidden_dim"), try number("num_layers"), try number("num_heads"))
    guard layers <= 4096, hidden % heads == 0 else { throw Failure(.badAttribute, "\(heads) heads of a width of \(hidden)", at: .element(className)) }
    let inner = try number(isDistilled ? "intermediate_dim" : "mlp_dim")
    let epsilon = config["layer_norm_epsilon"]?.double ?? 1e-6
    func flag(_ key: String) -> Bool { config[key]?.bool ?? true }
    let prefix = isDistilled ? "dei_t" : "vi_t"
    let word = isDistilled ? "deit" : "vit"
    let compute = builder.policy(config).compute

    let given = try builder.e.shape(input)
    guard given.count == 4, zip(given.dropFirst(), image).allSatisfy({ $0.value == $1 }) else {
      throw Failure(.shapeMismatch, "images of \(Shape(given)) for a model of \(image)", at: .element(className))
    }
    let embedding = root.part("\(word)_patching_and_embedding", ["layers/\(prefix)_\(isDistilled ? "embeddings" : "patching_and_embedding")"]).named(
      root.name.joined("\(word)_embeddings"))
    var conv: [String: JSON] = ["filters": .integer(hidden), "padding": .string("valid"), "use_bias": .bool(isDistilled || flag("use_patch_bias"))]
    conv["kernel_size"] = .array(patch.map { .integer($0) })
    conv["strides"] = conv["kernel_size"]
    var x = try call(try layer("Conv2D", conv, embedding.sub("patch_embedding", ["patch_embedding"])), input, &builder)
    let dims = try builder.e.shape(x)
    builder.e.scope = embedding.name
    guard let tokens = dims[1].multiplied(by: dims[2]) else { throw Failure(.sizeOverflow, "too many patches", at: .element(className)) }
    x = try builder.e.reshape(x, [dims[0], tokens, dims[3]])
    func own(_ name: String, _ index: Int, _ dims: [Int?], _ path: LayerPath) throws(Failure) -> ValueID {
      let tensor = try builder.store.variable(path, name == "position_embedding" ? [name, "embeddings"] : [name], index)
      if tensor.elementType == .int8, dims.count == 2 { return try quantizedTable(tensor, dims, path, "\(embedding.name)/\(name)", compute, &builder) }
      try KerasBuilder.check(tensor, dims, "\(embedding.name)/\(name)")
      return try builder.e.cast(try builder.e.weight("\(embedding.name)/\(name)", tensor), compute)
    }
    var parts: [ValueID] = []
    if isDistilled || flag("use_class_token") {
      parts.append(try builder.e.expandBatch(try own("class_token", 0, [1, 1, hidden], embedding), like: x))
      if isDistilled { parts.append(try builder.e.expandBatch(try own("distillation_token", 1, [1, 1, hidden], embedding), like: x)) }
    }
    x = try builder.e.concat(parts + [x], axis: 1, "Tokens")
    let count = try builder.e.size(x, 1)
    x = try builder.e.add(
      x,
      isDistilled
        ? try own("position_embedding", 2, [1, count, hidden], embedding)
        : try own("position_embedding", 0, [count, hidden], embedding.sub("position_embedding", ["position_embedding"])), "Positions")

    let encoder = root.part("\(word)_encoder", ["layers/\(prefix)_encoder"]).named(root.name.joined("\(word)_encoder"))
    let normalization: [String: JSON] = ["epsilon": .number(epsilon)]
    for index in 0..<layers {
      let attribute = "encoder_layers/\(prefix)_encoder_block" + (index == 0 ? "" : "_\(index)")
      let name = isDistilled ? "\(encoder.name)/\(index)" : "\(encoder.name)/transformer_block_\(index + 1)"
      let block = encoder.sub("transformer_block_\(index + 1)", [attribute]).named(name)
      func normal(_ number: Int) -> LayerPath { block.sub("ln_\(number)", ["layer_norm_\(number)"]).named("\(name)/layer_norm_\(number)") }
      let attention = block.sub("mha", ["mha"])
      var y = try call(try layer("LayerNormalization", normalization, normal(1)), x, &builder)
      y = try call(
        try layer(
          "MultiHeadAttention",
          ["num_heads": .integer(heads), "key_dim": .integer(hidden / heads), "use_bias": .bool(flag("use_mha_bias"))],
          isDistilled ? attention.named(name) : attention), y, &builder, copies: 2)
      builder.e.scope = name
      x = try builder.e.add(x, y)
      y = try call(try layer("LayerNormalization", normalization, normal(2)), x, &builder)
      let (one, two) = (block.sub("mlp", ["mlp"]), isDistilled ? block.sub("output_layer", ["output_layer"]) : block.sub("mlp", ["mlp"]))
      let first = isDistilled ? one.sub("dense", ["dense"]).named("\(name)/mlp") : one.sub("dense_1", ["dense_1"])
      let second = isDistilled ? two.sub("output", ["dense"]).named("\(name)/output") : two.sub("dense_2", ["dense_2"])
      let bias = JSON.bool(isDistilled || flag("use_mlp_bias"))
      y = try call(try layer("Dense", ["units": .integer(inner), "activation": .string("gelu"), "use_bias": bias], first), y, &builder)
      y = try call(try layer("Dense", ["units": .integer(hidden), "use_bias": bias], second), y, &builder)
      builder.e.scope = name
      x = try builder.e.add(x, y)
    }
    return try call(try layer("LayerNormalization", normalization, encoder.sub("ln", ["layer_norm"]).named("\(encoder.name)/layer_norm")), x, &builder)
  }
}

extension LayerPath {
  /// A layer of the model that lies here; one of the outermost model has a group of its own in the legacy layout.
  fileprivate func part(_ name: String, _ attributes: [String]) -> LayerPath {
    var result = sub(name, attributes)
    if group.isEmpty { (result.group, result.inner) = (name, []) }
    return result
  }

  func named(_ name: String) -> LayerPath {
    var result = self
    result.name = name
    return result
  }
}

extension String {
  /// A name below this one; the name alone where this is empty.
  fileprivate func joined(_ name: String) -> String { isEmpty ? name : "\(self)/\(name)" }
}
