internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// Perceptrons over tokens and channels, as timm names their weights: MLP-Mixer (Tolstikhin et al. 2021), ResMLP (Touvron et al.
/// 2021), gMLP (Liu et al. 2021).
struct MixerTemplate {
  let weights: StateDictionary
  init(_ weights: StateDictionary) { self.weights = weights }

  /// The first weight over tokens, (out, tokens), of each kind.
  private static let mixing = ["mlp_tokens.fc1", "linear_tokens", "mlp_channels.gate.proj"]

  static func knows(_ weights: StateDictionary) -> Bool { mixing.contains { weights.has("blocks.0.\($0).weight") } }

  func graph() throws(Failure) -> Graph {
    let patch = try weights.tensor("stem.proj.weight", [nil, nil, nil, nil]).dims
    let first = MixerTemplate.mixing.first { weights.has("blocks.0.\($0).weight") } ?? MixerTemplate.mixing[0]
    let grid = try weights.grid([try weights.tensor("blocks.0.\(first).weight", [nil, nil]).dims[1]], patch: patch)
    let epsilon = weights.epsilon ?? 1e-6
    var b = TorchBuilder(weights, name: "mixer")
    let image = b.image(channels: patch[1], height: grid.rows * patch[2], width: grid.columns * patch[3])
    var x = try b.tokens(try b.convolution(image, "stem.proj", stride: [patch[2], patch[3]]))
    if weights.has("stem.norm.weight") { x = try b.normalized(x, "stem.norm", epsilon: epsilon) }
    for index in 0..<weights.count("blocks") { x = try block(x, "blocks.\(index)", epsilon: epsilon, &b) }
    if weights.has("norm.weight") || weights.has("norm.alpha") { x = try b.normalized(x, "norm", epsilon: epsilon) }
    b.e.scope = "pool"
    let pooled = try b.e.reduce(.mean, x, axes: [1], keep: false, "ReduceMean")
    guard weights.has("head.weight") else { return try b.e.finish(outputs: [("features", pooled)]) }
    return try b.e.finish(outputs: [("logits", try b.linear(pooled, "head"))])
  }

  private func block(_ input: ValueID, _ name: String, epsilon: Double, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    var x = input
    // gMLP mixes tokens within the one perceptron.
    let isGated = weights.has("\(name).mlp_channels.gate.proj.weight")
    if !isGated {
      let normal = try b.normalized(x, "\(name).norm1", epsilon: epsilon)
      b.e.scope = name
      let turned = try b.e.transpose(normal, [0, 2, 1])
      let mixed =
        weights.has("\(name).linear_tokens.weight")
        ? try b.linear(turned, "\(name).linear_tokens") : try b.perceptron(turned, "\(name).mlp_tokens", gatesLast: true)
      b.e.scope = name
      x = try residual(x, try b.e.transpose(mixed, [0, 2, 1]), name, "ls1", &b)
    }
    let normal = try b.normalized(x, isGated ? "\(name).norm" : "\(name).norm2", epsilon: epsilon)
    return try residual(x, try b.perceptron(normal, "\(name).mlp_channels", gatesLast: true), name, "ls2", &b)
  }

  /// x + γ·y, with γ where there is one.
  private func residual(_ x: ValueID, _ y: ValueID, _ name: String, _ gamma: String, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    b.e.scope = name
    return try b.e.add(x, weights.has("\(name).\(gamma)") ? try b.e.multiply(y, try b.weight("\(name).\(gamma)")) : y)
  }
}

/// ConvMixer (Trockman and Kolter 2022), as timm names its weights. Its input is any multiple of the patch; 224 where the
/// options do not tell it.
struct ConvMixerTemplate {
  let weights: StateDictionary
  init(_ weights: StateDictionary) { self.weights = weights }

  func graph() throws(Failure) -> Graph {
    let patch = try weights.tensor("stem.0.weight", [nil, nil, nil, nil]).dims
    let size = weights.imageSize ?? [224, 224]
    if weights.imageSize == nil { weights.assume("images are 224 x 224; --shape x=1,C,H,W gives another size") }
    var b = TorchBuilder(weights, name: "convmixer")
    let image = b.image(channels: patch[1], height: size[0], width: size[1])
    // Of the published models, the one of 32 layers of 768 channels has another activation.
    let activation = weights.activation(family: patch[0] == 768 && weights.count("blocks") == 32 ? .relu : .gelu)
    func activated(_ x: ValueID, _ name: String, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
      b.e.scope = name
      return try b.activated(x, activation)
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
