internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// MLP-Mixer (Tolstikhin et al. 2021), as timm names its weights.
struct MixerTemplate {
  let weights: StateDictionary
  init(_ weights: StateDictionary) { self.weights = weights }

  func graph() throws(Failure) -> Graph {
    let patch = try weights.tensor("stem.proj.weight", [nil, nil, nil, nil]).dims
    let tokens = try weights.tensor("blocks.0.mlp_tokens.fc1.weight", [nil, nil]).dims[1]
    guard let side = VisionTransformerTemplate.side(tokens), side < 1 << 12, patch[2] < 1 << 12, patch[3] < 1 << 12 else {
      throw Failure(.missingPart, "\(tokens) tokens are no square grid")
    }
    let epsilon = weights.epsilon ?? 1e-6
    var b = TorchBuilder(weights, name: "mixer")
    let image = b.image(channels: patch[1], height: side * patch[2], width: side * patch[3])
    var x = try b.tokens(try b.convolution(image, "stem.proj", stride: [patch[2], patch[3]]))
    for index in 0..<weights.count("blocks") {
      let name = "blocks.\(index)"
      let first = try b.normalized(x, "\(name).norm1", epsilon: epsilon)
      b.e.scope = "\(name).mlp_tokens"
      let mixed = try b.perceptron(try b.e.transpose(first, [0, 2, 1]), "\(name).mlp_tokens")
      b.e.scope = name
      x = try b.e.add(x, try b.e.transpose(mixed, [0, 2, 1]))
      let second = try b.perceptron(try b.normalized(x, "\(name).norm2", epsilon: epsilon), "\(name).mlp_channels")
      b.e.scope = name
      x = try b.e.add(x, second)
    }
    if weights.has("norm.weight") { x = try b.normalized(x, "norm", epsilon: epsilon) }
    b.e.scope = "pool"
    let pooled = try b.e.reduce(.mean, x, axes: [1], keep: false, "ReduceMean")
    guard weights.has("head.weight") else { return try b.e.finish(outputs: [("features", pooled)]) }
    return try b.e.finish(outputs: [("logits", try b.linear(pooled, "head"))])
  }
}

/// ConvMixer (Trockman and Kolter 2022), as timm names its weights. Its input is any multiple of the patch; 224 where the
/// options do not tell it.
struct ConvMixerTemplate {
  let weights: StateDictionary
  init(_ weights: StateDictionary) { self.weights = weights }

  func graph() throws(Failure) -> Graph {
    let patch = try weights.tensor("stem.0.weight", [nil, nil, nil, nil]).dims
    let size = weights.options.imageSize ?? [224, 224]
    guard size.allSatisfy({ $0 > 0 && $0 < 1 << 16 }) else { throw Failure(.badAttribute, "an image of \(size)") }
    var b = TorchBuilder(weights, name: "convmixer")
    let image = b.image(channels: patch[1], height: size[0], width: size[1])
    // Of the published models, the one of 32 layers of 768 channels has another activation.
    let isRectified = patch[0] == 768 && weights.count("blocks") == 32
    func activated(_ x: ValueID, _ name: String, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
      b.e.scope = name
      return isRectified ? try b.e.unary(.relu, x, "Relu") : try b.gelu(x)
    }
    var x = try b.batchNormalized(try activated(try b.convolution(image, "stem.0", stride: [patch[2], patch[3]]), "stem.1", &b), "stem.2")
    for index in 0..<weights.count("blocks") {
      let name = "blocks.\(index)"
      let depthwise = "\(name).0.fn.0"
      let kernel = try weights.tensor("\(depthwise).weight", [nil, 1, nil, nil]).dims
      // As PyTorch's 'same': the odd row at the end.
      let (rows, columns) = (kernel[2] - 1, kernel[3] - 1)
      let padding = [rows / 2, columns / 2, rows - rows / 2, columns - columns / 2]
      let inner = try b.convolution(x, depthwise, stride: [1, 1], padding: padding, groups: kernel[0])
      let normalized = try b.batchNormalized(try activated(inner, "\(name).0.fn.1", &b), "\(name).0.fn.2")
      b.e.scope = "\(name).0"
      x = try b.e.add(x, normalized)
      x = try b.batchNormalized(try activated(try b.convolution(x, "\(name).1", stride: [1, 1]), "\(name).2", &b), "\(name).3")
    }
    b.e.scope = "pooling"
    let pooled = try b.e.reduce(.mean, x, axes: [2, 3], keep: false, "ReduceMean")
    guard weights.has("head.weight") else { return try b.e.finish(outputs: [("features", pooled)]) }
    return try b.e.finish(outputs: [("logits", try b.linear(pooled, "head"))])
  }
}
