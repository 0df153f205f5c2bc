internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// PVT (Wang et al. 2021), PVT v2 (Wang et al. 2022) and the encoder of SegFormer (Xie et al. 2021), as timm names the weights of
/// the second: four stages, keys and values
/// of fewer places. The first has positions in each stage and a class token in the last; the second has convolutions in the
/// perceptrons.
///
/// Heads are asked for: those of the first stage, whose width for each head all stages share.
struct PyramidTemplate {
  let weights: StateDictionary
  init(_ weights: StateDictionary) { self.weights = weights }

  func graph() throws(Failure) -> Graph {
    let patch = try weights.tensor("patch_embed.proj.weight", [nil, nil, nil, nil]).dims
    let stages = weights.count("stages")
    guard stages > 0, stages < 16 else { throw Failure(.missingPart, "\(stages) stages") }
    let size = try imageSize(patch)
    var b = TorchBuilder(weights, name: "pvt")
    var x = b.image(channels: patch[1], height: size[0], width: size[1])
    // SegFormer's norms are PyTorch's own, whatever its configuration says.
    let inner = isSegFormer ? 1e-5 : weights.epsilon ?? (isFirst ? 1e-6 : 1e-5)
    let outer = isSegFormer ? 1e-5 : weights.epsilon ?? 1e-6
    let headDim = try headDim(patch[0])
    var tokens = x
    for stage in 0..<stages {
      let name = "stages.\(stage)"
      let embedding = stage == 0 ? "patch_embed" : "\(name).downsample"
      let kernel = try weights.tensor("\(embedding).proj.weight", [nil, nil, nil, nil]).dims
      // Kernels that overlap are odd: 7 by steps of 4, 3 by steps of 2. Even ones are patches.
      let overlaps = kernel[2] % 2 == 1 && kernel[2] > 1
      let (stride, pad) = overlaps ? ((kernel[2] + 1) / 2, kernel[2] / 2) : (kernel[2], 0)
      let grid = try b.convolution(x, "\(embedding).proj", stride: [stride, stride], padding: [pad, pad, pad, pad])
      let (rows, columns) = (try b.e.size(grid, 2), try b.e.size(grid, 3))
      tokens = try b.normalized(try b.tokens(grid), "\(embedding).norm", epsilon: inner)
      b.e.scope = name
      let hasToken = stage == stages - 1 && weights.has("cls_token")
      if hasToken { tokens = try b.e.concat([try b.e.expandBatch(try b.weight("cls_token"), like: tokens), tokens], axis: 1, "Tokens") }
      if weights.has("\(name).pos_embed") {
        tokens = try b.e.add(tokens, try b.weight("\(name).pos_embed", [1, try b.e.size(tokens, 1), kernel[0]]), "Positions")
      }
      for index in 0..<weights.count("\(name).blocks") {
        let block = "\(name).blocks.\(index)"
        let normal = try b.normalized(tokens, "\(block).norm1", epsilon: outer)
        let attended = try attention(normal, "\(block).attn", rows: rows, columns: columns, headDim: headDim, epsilon: inner, &b)
        b.e.scope = block
        tokens = try b.e.add(tokens, attended)
        let mixed = try perceptron(try b.normalized(tokens, "\(block).norm2", epsilon: outer), "\(block).mlp", rows: rows, columns: columns, &b)
        b.e.scope = block
        tokens = try b.e.add(tokens, mixed)
      }
      if weights.has("\(name).norm.weight") { tokens = try b.normalized(tokens, "\(name).norm", epsilon: outer) }
      if stage < stages - 1 { x = try image(tokens, rows, columns, &b) }
    }
    if weights.has("norm.weight") { tokens = try b.normalized(tokens, "norm", epsilon: outer) }
    let hasHead = weights.has("head.weight")
    guard hasHead || !weights.isTransformers else { return try b.e.finish(outputs: [("tokens", tokens)]) }
    b.e.scope = "pool"
    let pooled =
      weights.has("cls_token") ? try b.e.gather(tokens, axis: 1, at: 0) : try b.e.reduce(.mean, tokens, axes: [1], keep: false, "ReduceMean")
    return try b.e.finish(outputs: [hasHead ? ("logits", try b.linear(pooled, "head")) : ("features", pooled)])
  }

  private var isSegFormer: Bool {
    weights.option("model_type")?.string == "segformer" || weights.isNamed("segformer.") || weights.isNamed("patch_embeddings.layer_norm")
  }

  /// Whether it is the first version, without convolutions in the perceptrons.
  private var isFirst: Bool { !weights.has("stages.0.blocks.0.mlp.dwconv.weight") }

  private func imageSize(_ patch: [Int]) throws(Failure) -> [Int] {
    if let positions = weights.weights["stages.0.pos_embed"], positions.dims.count == 3, weights.imageSize == nil,
      let side = VisionTransformerTemplate.side(positions.dims[1]), side < 1 << 12, patch[2] < 1 << 8
    {
      return [side * patch[2], side * patch[2]]
    }
    if let size = weights.imageSize { return size }
    weights.assume("images are 224 x 224; --shape x=1,C,H,W gives another size")
    return [224, 224]
  }

  private func headDim(_ width: Int) throws(Failure) -> Int {
    var options = weights.options
    // A configuration lists the heads of all stages.
    if options.heads == nil { options.heads = weights.option("num_attention_heads", "num_heads")?.ints?.first }
    if let given = options.heads {
      guard given > 0, width % given == 0 else { throw Failure(.badAttribute, "\(given) heads do not divide a width of \(width)") }
      return width / given
    }
    return width / (try weights.heads(width: width, told: nil))
  }

  private func image(_ x: ValueID, _ rows: Int, _ columns: Int, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    let dims = try b.e.shape(x)
    return try b.e.reshape(try b.e.transpose(x, [0, 2, 1]), [dims[0], dims[2], Dim(rows), Dim(columns)])
  }

  private func attention(
    _ x: ValueID, _ name: String, rows: Int, columns: Int, headDim: Int, epsilon: Double, _ b: inout TorchBuilder
  ) throws(Failure) -> ValueID {
    let width = try b.e.size(x, 2)
    guard width % headDim == 0 else { throw Failure(.shapeMismatch, "a width of \(width) in heads of \(headDim)", at: .element(name)) }
    let heads = width / headDim
    var source = x
    if let kernel = weights.weights["\(name).sr.weight"]?.dims, kernel.count == 4 {
      b.e.scope = name
      var grid = try image(x, rows, columns, &b)
      // PVT v2 with linear attention pools to 7 x 7 whatever the image.
      let isPooled = kernel[2] == 1
      if isPooled { grid = try pooled(grid, to: 7, &b) }
      grid = try b.convolution(grid, "\(name).sr", stride: [kernel[2], kernel[3]])
      source = try b.normalized(try b.tokens(grid), "\(name).norm", epsilon: epsilon)
      b.e.scope = name
      if isPooled { source = try b.activated(source, .gelu) }
    }
    func split(_ y: ValueID, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
      b.e.scope = name
      let dims = try b.e.shape(y)
      return try b.e.transpose(try b.e.reshape(y, [dims[0], dims[1], Dim(heads), Dim(headDim)]), [0, 2, 1, 3])
    }
    let query = try split(try b.linear(x, "\(name).q", out: width), &b)
    let (key, value): (ValueID, ValueID)
    if weights.has("\(name).kv.weight") {
      let packed = try b.linear(source, "\(name).kv", out: 2 * width)
      b.e.scope = name
      let dims = try b.e.shape(packed)
      let parts = try b.e.transpose(try b.e.reshape(packed, [dims[0], dims[1], 2, Dim(heads), Dim(headDim)]), [2, 0, 3, 1, 4])
      (key, value) = (try b.e.gather(parts, axis: 0, at: 0), try b.e.gather(parts, axis: 0, at: 1))
    } else {
      (key, value) = (
        try split(try b.linear(source, "\(name).k", out: width), &b), try split(try b.linear(source, "\(name).v", out: width), &b)
      )
    }
    b.e.scope = name
    let context = try AttentionSpelling.context(query, key, value, bias: nil, scale: 1 / Double(headDim).squareRoot(), &b.e)
    return try b.linear(context, "\(name).proj", out: width)
  }

  /// Means over ⌊i·size/n⌋ ..< ⌈(i + 1)·size/n⌉ on both axes, as products with constant matrices.
  private func pooled(_ x: ValueID, to count: Int, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    var y = x
    for axis in [3, 2] {
      let size = try b.e.size(y, axis)
      guard size > 0, size < 1 << 16 else { throw Failure(.badAttribute, "a grid of \(size)") }
      if size == count { continue }
      var matrix = [Double](repeating: 0, count: size * count)
      for column in 0..<count {
        let (start, end) = (column * size / count, ((column + 1) * size + count - 1) / count)
        for row in start..<end { matrix[row * count + column] = 1 / Double(end - start) }
      }
      let weight = try b.e.floats(matrix, dims: [size, count], .float32, "matrix")
      y =
        axis == 3
        ? try b.e.matMul(y, weight) : try b.e.transpose(try b.e.matMul(try b.e.transpose(y, [0, 1, 3, 2]), weight), [0, 1, 3, 2])
    }
    return y
  }

  private func perceptron(_ x: ValueID, _ name: String, rows: Int, columns: Int, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    guard weights.has("\(name).dwconv.weight") else { return try b.perceptron(x, name) }
    var y = try b.linear(x, "\(name).fc1")
    b.e.scope = name
    // With linear attention there is one more activation.
    if weights.weights["\(name.dropLast(3))attn.sr.weight"]?.dims.last == 1 { y = try b.e.unary(.relu, y, "Relu") }
    let grid = try image(y, rows, columns, &b)
    let convolved = try b.convolution(grid, "\(name).dwconv", stride: [1, 1], padding: [1, 1, 1, 1], groups: try b.e.size(grid, 1))
    b.e.scope = "\(name).act"
    return try b.linear(try b.activated(try b.tokens(convolved), weights.activation()), "\(name).fc2")
  }
}
