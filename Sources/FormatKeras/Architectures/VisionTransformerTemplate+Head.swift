internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension VisionTransformerTemplate {
  /// What a model gives: logits, embeddings of images, pooled features, or all tokens.
  func head(_ tokens: ValueID, _ plan: Plan, _ b: inout TorchBuilder) throws(Failure) -> Graph {
    var x = tokens
    let hasHead = weights.has("head.weight") || weights.has("head.kernel")
    if weights.has("norm_post.weight") {
      // CLIP normalizes its class token alone, and not for a classifier of its own; SigLIP all tokens.
      let isClassifier = weights.original(of: "head.weight")?.hasSuffix("classifier.weight") ?? false
      if !weights.has("cls_token") {
        x = try b.normalized(x, "norm_post", epsilon: plan.epsilon)
      } else if hasHead ? !isClassifier : weights.library == .openCLIP {
        b.e.scope = "pool"
        return try projected(try b.normalized(try b.e.gather(x, axis: 1, at: 0), "norm_post", epsilon: plan.epsilon), &b)
      }
      guard hasHead else { return try b.e.finish(outputs: [("tokens", x)]) }
      return try b.e.finish(outputs: [("logits", try b.linear(try mean(x, plan, &b), "head"))])
    }
    guard hasHead || !weights.isTransformers else { return try b.e.finish(outputs: [("tokens", x)]) }
    var y = try pooled(x, hasHead: hasHead, plan, &b)
    guard hasHead else {
      b.e.scope = "pool"
      if weights.has("cls_token"), weights.has("dist_token") { y = try b.e.multiply(try b.e.add(y, try b.e.gather(x, axis: 1, at: 1)), 0.5) }
      return try b.e.finish(outputs: [("features", y)])
    }
    y = try b.linear(y, "head")
    if weights.has("head_dist.weight"), weights.has("dist_token") {
      b.e.scope = "pool"
      let other = try b.linear(try b.e.gather(x, axis: 1, at: 1), "head_dist")
      b.e.scope = "head"
      y = try b.e.multiply(try b.e.add(y, other), 0.5)
    }
    return try b.e.finish(outputs: [("logits", y)])
  }

  /// The embedding of an image: a linear layer, or OpenAI's (width, out) matrix.
  private func projected(_ x: ValueID, _ b: inout TorchBuilder) throws(Failure) -> Graph {
    if weights.has("head.kernel") {
      b.e.scope = "head"
      return try b.e.finish(outputs: [("embedding", try b.e.matMul(x, try b.weight("head.kernel", [try b.e.size(x, 1), nil])))])
    }
    return try b.e.finish(outputs: [weights.has("head.weight") ? ("embedding", try b.linear(x, "head")) : ("features", x)])
  }

  private func mean(_ x: ValueID, _ plan: Plan, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    b.e.scope = "pool"
    let patches = plan.prefix == 0 ? x : try b.e.slice(x, axis: 1, from: plan.prefix, to: Int(Int32.max))
    return try b.e.reduce(.mean, patches, axes: [1], keep: false, "ReduceMean")
  }

  /// One vector for an image. timm's configuration names the kind; else the names of weights tell it, or what the family has.
  private func pooled(_ x: ValueID, hasHead: Bool, _ plan: Plan, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    b.e.scope = "pool"
    if weights.has("attn_pool.latent") { return try attentionPooled(x, plan, &b) }
    if hasHead, weights.has("cls_token"), let inputs = weights.weights["head.weight"]?.dims.last, inputs == 2 * plan.width {
      // DINOv2: the class token and the mean of the patches side by side.
      return try b.e.concat([try b.e.gather(x, axis: 1, at: 0), try mean(x, plan, &b)], axis: 1)
    }
    let told = weights.option("global_pool")?.string
    let hasNorm = weights.has("fc_norm.weight")
    var y: ValueID
    switch told {
    case "token" where weights.has("cls_token"): y = try b.e.gather(x, axis: 1, at: 0)
    case "avg": y = try mean(x, plan, &b)
    case "max", "avgmax":
      let patches = plan.prefix == 0 ? x : try b.e.slice(x, axis: 1, from: plan.prefix, to: Int(Int32.max))
      y = try b.e.reduce(.max, patches, axes: [1], keep: false, "ReduceMax")
      if told == "avgmax" { y = try b.e.multiply(try b.e.add(y, try mean(x, plan, &b)), 0.5) }
    default:
      // timm's DINOv3 takes the mean, unlike the authors' own.
      let takesToken = weights.has("cls_token") && !hasNorm && !(RotaryPositions.isCentered(weights) && weights.library == .timm)
      if weights.library == .timm {
        weights.assume(
          "an image is summed up by \(takesToken ? "its class token" : "the mean of its patches"); a config.json with global_pool (token, avg, max) tells another way"
        )
      }
      y = takesToken ? try b.e.gather(x, axis: 1, at: 0) : try mean(x, plan, &b)
    }
    if hasNorm { y = try b.normalized(y, "fc_norm", epsilon: plan.epsilon) }
    return y
  }

  /// A learned query that attends to all tokens (Zhai et al. 2022), then a perceptron of its own.
  private func attentionPooled(_ x: ValueID, _ plan: Plan, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    let name = "attn_pool"
    let width = try b.e.size(x, 2)
    let latent = try weights.tensor("\(name).latent", [1, nil, width])
    let heads = try weights.heads(width: width, told: nil)
    let headDim = width / heads
    b.e.scope = name
    let query = try b.linear(try b.e.expandBatch(try b.weight("\(name).latent"), like: x), "\(name).q", out: width)
    let packed = try b.linear(x, "\(name).kv", out: 2 * width)
    b.e.scope = name
    let dims = try b.e.shape(packed)
    func normalized(_ x: ValueID, _ which: String, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
      weights.has("\(name).\(which)_norm.weight") ? try b.normalized(x, "\(name).\(which)_norm", epsilon: plan.epsilon) : x
    }
    let q = try b.e.transpose(try b.e.reshape(query, [dims[0], Dim(latent.dims[1]), Dim(heads), Dim(headDim)]), [0, 2, 1, 3])
    let parts = try b.e.transpose(try b.e.reshape(packed, [dims[0], dims[1], 2, Dim(heads), Dim(headDim)]), [2, 0, 3, 1, 4])
    let key = try normalized(try b.e.gather(parts, axis: 0, at: 0), "k", &b)
    var y = try AttentionSpelling.context(
      try normalized(q, "q", &b), key, try b.e.gather(parts, axis: 0, at: 1), bias: nil, scale: 1 / Double(headDim).squareRoot(), &b.e)
    y = try b.linear(y, "\(name).proj", out: width)
    if weights.has("\(name).mlp.fc1.weight") {
      let inner = try b.perceptron(
        try b.normalized(y, "\(name).norm", epsilon: plan.epsilon), "\(name).mlp", activation: plan.activation, epsilon: plan.epsilon)
      b.e.scope = name
      y = try b.e.add(y, inner)
    }
    b.e.scope = name
    return try b.e.gather(y, axis: 1, at: 0)
  }
}
