internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// CaiT (Touvron et al. 2021), as timm names its weights: patches attend to each other with heads that are mixed before and
/// after the softmax; then a class token alone asks, and patches stay as they are.
struct ClassAttentionTemplate {
  let weights: StateDictionary
  init(_ weights: StateDictionary) { self.weights = weights }

  func graph() throws(Failure) -> Graph {
    let patch = try weights.tensor("patch_embed.proj.weight", [nil, nil, nil, nil]).dims
    let width = patch[0]
    let tokens = try weights.tensor("pos_embed", [1, nil, width]).dims[1]
    guard let side = VisionTransformerTemplate.side(tokens), side < 1 << 12, patch[2] < 1 << 12, patch[3] < 1 << 12 else {
      throw Failure(.missingPart, "\(tokens) tokens are no square grid")
    }
    let epsilon = weights.epsilon ?? 1e-6
    var b = TorchBuilder(weights, name: "cait")
    let image = b.image(channels: patch[1], height: side * patch[2], width: side * patch[3])
    var x = try b.tokens(try b.convolution(image, "patch_embed.proj", stride: [patch[2], patch[3]]))
    b.e.scope = "embed"
    x = try b.e.add(x, try b.weight("pos_embed"), "Positions")
    // One mixing matrix tells the heads of all blocks.
    let heads = try weights.heads(width: width, told: try weights.tensor("blocks.0.attn.proj_l.weight", [nil, nil]).dims[0])
    for index in 0..<weights.count("blocks") {
      let name = "blocks.\(index)"
      let y = try talkingHeads(try b.normalized(x, "\(name).norm1", epsilon: epsilon), "\(name).attn", heads: heads, width: width, &b)
      x = try residual(x, y, "\(name).gamma_1", name, &b)
      x = try residual(
        x, try b.perceptron(try b.normalized(x, "\(name).norm2", epsilon: epsilon), "\(name).mlp"), "\(name).gamma_2", name, &b)
    }
    b.e.scope = "token"
    var token = try b.e.expandBatch(try b.weight("cls_token", [1, 1, width]), like: x)
    for index in 0..<weights.count("blocks_token_only") {
      let name = "blocks_token_only.\(index)"
      b.e.scope = name
      let all = try b.normalized(try b.e.concat([token, x], axis: 1, "Tokens"), "\(name).norm1", epsilon: epsilon)
      token = try residual(token, try classAttention(all, "\(name).attn", heads: heads, width: width, &b), "\(name).gamma_1", name, &b)
      token = try residual(
        token, try b.perceptron(try b.normalized(token, "\(name).norm2", epsilon: epsilon), "\(name).mlp"), "\(name).gamma_2", name, &b)
    }
    b.e.scope = "tokens"
    x = try b.normalized(try b.e.concat([token, x], axis: 1, "Tokens"), "norm", epsilon: epsilon)
    b.e.scope = "pool"
    let pooled = try b.e.gather(x, axis: 1, at: 0)
    guard weights.has("head.weight") else { return try b.e.finish(outputs: [("features", pooled)]) }
    return try b.e.finish(outputs: [("logits", try b.linear(pooled, "head"))])
  }

  /// x + γ·y
  private func residual(_ x: ValueID, _ y: ValueID, _ gamma: String, _ name: String, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    b.e.scope = name
    return try b.e.add(x, try b.e.multiply(y, try b.weight(gamma)))
  }

  private func talkingHeads(_ x: ValueID, _ name: String, heads: Int, width: Int, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    let packed = try b.linear(x, "\(name).qkv", out: 3 * width)
    b.e.scope = name
    let dims = try b.e.shape(packed)
    let headDim = width / heads
    let parts = try b.e.transpose(try b.e.reshape(packed, [dims[0], dims[1], 3, Dim(heads), Dim(headDim)]), [2, 0, 3, 1, 4])
    let query = try b.e.multiply(try b.e.gather(parts, axis: 0, at: 0), 1 / Double(headDim).squareRoot(), "Scale")
    var scores = try b.e.matMul(query, try b.e.transpose(try b.e.gather(parts, axis: 0, at: 1), [0, 1, 3, 2]), "Scores")
    scores = try mixed(scores, "\(name).proj_l", heads, &b)
    b.e.scope = name
    let weights = try mixed(try b.e.softmax(scores), "\(name).proj_w", heads, &b)
    b.e.scope = name
    let context = try b.e.matMul(weights, try b.e.gather(parts, axis: 0, at: 2), "Context")
    return try b.linear(try b.e.reshape(try b.e.transpose(context, [0, 2, 1, 3]), [dims[0], dims[1], Dim(width)]), "\(name).proj", out: width)
  }

  /// A linear layer over the heads of (B, h, T, S).
  private func mixed(_ x: ValueID, _ name: String, _ heads: Int, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    b.e.scope = name
    let y = try b.linear(try b.e.transpose(x, [0, 2, 3, 1]), name, out: heads)
    b.e.scope = name
    return try b.e.transpose(y, [0, 3, 1, 2])
  }

  /// The first token asks all.
  private func classAttention(_ x: ValueID, _ name: String, heads: Int, width: Int, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    b.e.scope = name
    let first = try b.e.slice(x, axis: 1, from: 0, to: 1)
    func part(_ which: String, _ source: ValueID, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
      let y = try b.linear(source, "\(name).\(which)", out: width)
      b.e.scope = name
      let dims = try b.e.shape(y)
      return try b.e.transpose(try b.e.reshape(y, [dims[0], dims[1], Dim(heads), Dim(width / heads)]), [0, 2, 1, 3])
    }
    let (query, key, value) = (try part("q", first, &b), try part("k", x, &b), try part("v", x, &b))
    let context = try AttentionSpelling.context(query, key, value, bias: nil, scale: 1 / Double(width / heads).squareRoot(), &b.e)
    return try b.linear(context, "\(name).proj", out: width)
  }
}
