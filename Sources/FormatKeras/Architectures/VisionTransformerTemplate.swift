internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// ViT, DeiT and BEiT (Dosovitskiy et al. 2021; Touvron et al. 2021; Bao et al. 2022), as timm and Transformers name their
/// weights: class, distillation and register tokens, positions, LayerScale, normalized queries and keys, relative biases.
struct VisionTransformerTemplate {
  let weights: StateDictionary

  init(_ weights: StateDictionary) { self.weights = weights }

  func graph() throws(Failure) -> Graph {
    let patch = try weights.tensor("patch_embed.proj.weight", [nil, nil, nil, nil]).dims
    let width = patch[0]
    let prefixes = ["cls_token", "dist_token", "reg_token"].compactMap { name in weights.weights[name].map { (name, $0) } }
    for (name, tensor) in prefixes { try KerasBuilder.check(tensor, [1, nil, width], name) }
    let prefixCount = prefixes.reduce(0) { $0 + $1.1.dims[1] }
    let registers = prefixes.first { $0.0 == "reg_token" }?.1.dims[1] ?? 0
    let depth = weights.count("blocks")
    let epsilon = weights.epsilon ?? 1e-6

    // The grid: positions, or the table of relative ones.
    var tokens: Int?
    var positions: Tensor?
    if weights.has("pos_embed") {
      let table = try weights.tensor("pos_embed", [1, nil, width])
      positions = table
      // For all tokens; without places for registers, or for any of those in front, where that makes a square and the other does not.
      let counts = [table.dims[1] - prefixCount, table.dims[1] - prefixCount + registers, table.dims[1]]
      tokens = counts.first { VisionTransformerTemplate.side($0) != nil } ?? counts[0]
    } else if let table = weights.weights["blocks.0.attn.relative_position_bias_table"] ?? weights.weights["rel_pos_bias.relative_position_bias_table"],
      table.dims.count == 2,
      let span = VisionTransformerTemplate.side(table.dims[0] - 3), span % 2 == 1
    {
      tokens = (span + 1) / 2 * ((span + 1) / 2)
    }
    guard let tokens, let (rows, columns) = grid(tokens, patch: patch) else {
      throw Failure(
        .architectureOpen, "the weights do not tell a grid of patches", advice: "give the image's size: --shape x=1,C,H,W")
    }

    var b = TorchBuilder(weights, name: "vit")
    let image = b.image(channels: patch[1], height: rows * patch[2], width: columns * patch[3])
    var x = try b.tokens(try b.convolution(image, "patch_embed.proj", stride: [patch[2], patch[3]]))
    b.e.scope = "embed"
    // Positions for patches alone; for all tokens; or, with registers put in afterwards, for all but those.
    let positionCount = positions?.dims[1] ?? 0
    let addsFirst = positionCount == tokens && prefixCount > 0
    let addsBeforeRegisters = !addsFirst && registers > 0 && positionCount == tokens + prefixCount - registers
    if addsFirst { x = try b.e.add(x, try b.weight("pos_embed"), "Positions") }
    func joined(_ names: [String], _ x: ValueID, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
      var parts: [ValueID] = []
      for (name, _) in prefixes where names.contains(name) { parts.append(try b.e.expandBatch(try b.weight(name), like: x)) }
      return try b.e.concat(parts + [x], axis: 1, "Tokens")
    }
    if addsBeforeRegisters {
      x = try b.e.add(try joined(["cls_token", "dist_token"], x, &b), try b.weight("pos_embed"), "Positions")
      let first = prefixCount - registers
      let (front, rest) = (try b.e.slice(x, axis: 1, from: 0, to: first), try b.e.slice(x, axis: 1, from: first, to: Int(Int32.max)))
      x = try b.e.concat([front, try joined(["reg_token"], rest, &b)], axis: 1, "Tokens")
    } else {
      x = try joined(prefixes.map(\.0), x, &b)
      if positions != nil, !addsFirst { x = try b.e.add(x, try b.weight("pos_embed"), "Positions") }
    }
    if weights.has("norm_pre.weight") { x = try b.normalized(x, "norm_pre", epsilon: epsilon) }
    let isAfter = weights.isNormalizedAfter
    for index in 0..<depth {
      let name = "blocks.\(index)"
      if isAfter {
        let mixed = try attention(x, "\(name).attn", width: width, grid: (rows, columns), prefix: prefixCount, epsilon: epsilon, &b)
        x = try sum(x, try b.normalized(mixed, "\(name).norm1", epsilon: epsilon), name, &b)
        x = try sum(x, try b.normalized(try b.perceptron(x, "\(name).mlp"), "\(name).norm2", epsilon: epsilon), name, &b)
        continue
      }
      var y = try attention(
        try b.normalized(x, "\(name).norm1", epsilon: epsilon), "\(name).attn", width: width, grid: (rows, columns), prefix: prefixCount, epsilon: epsilon, &b)
      x = try sum(x, try scaled(y, ["\(name).ls1.gamma", "\(name).gamma_1"], &b), name, &b)
      y = try b.perceptron(try b.normalized(x, "\(name).norm2", epsilon: epsilon), "\(name).mlp")
      x = try sum(x, try scaled(y, ["\(name).ls2.gamma", "\(name).gamma_2"], &b), name, &b)
    }
    if weights.has("norm.weight") { x = try b.normalized(x, "norm", epsilon: epsilon) }
    return try head(x, prefix: prefixCount, epsilon: epsilon, &b)
  }

  private func sum(_ x: ValueID, _ y: ValueID, _ scope: String, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    b.e.scope = scope
    return try b.e.add(x, y)
  }

  private func scaled(_ x: ValueID, _ names: [String], _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    guard let name = names.first(where: { weights.has($0) }) else { return x }
    b.e.scope = name.removing([".gamma"])
    return try b.e.multiply(x, try b.weight(name))
  }

  private func attention(
    _ x: ValueID, _ name: String, width: Int, grid: (Int, Int), prefix: Int, epsilon: Double, _ b: inout TorchBuilder
  ) throws(Failure) -> ValueID {
    let weights = weights
    let tableName = ["\(name).relative_position_bias_table", "rel_pos_bias.relative_position_bias_table"].first { weights.has($0) }
    let table = try tableName.map { (name) throws(Failure) in try weights.tensor(name) }
    let told =
      weights.weights["\(name).q_norm.weight"].flatMap { $0.dims.count == 1 && $0.count > 0 && $0.count < width ? width / $0.count : nil } ?? table?.dims.last
    let heads = try weights.heads(width: width, told: told)
    let headDim = width / heads
    var bias: ValueID?
    if let table { bias = b.e.constant("\(name).bias", try VisionTransformerTemplate.relativeBias(table, grid: grid, heads: heads)) }
    func prepared(_ x: ValueID, _ which: String, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
      weights.has("\(name).\(which)_norm.weight") ? try b.normalized(x, "\(name).\(which)_norm", epsilon: epsilon) : x
    }
    let context: ValueID
    if weights.has("\(name).qkv.weight") {
      var packed = try b.linear(x, "\(name).qkv", out: 3 * width)
      b.e.scope = name
      if weights.has("\(name).q_bias"), let query = try weights.tensor("\(name).q_bias", [width]).floats(),
        let value = try weights.tensor("\(name).v_bias", [width]).floats()
      {
        // BEiT: no bias for keys.
        let all = try Tensor(float32: query + [Float](repeating: 0, count: width) + value, dims: [3 * width])
        packed = try b.e.add(packed, try b.e.weight("\(name).qkv.bias", all))
      }
      let dims = try b.e.shape(packed)
      let parts = try b.e.transpose(try b.e.reshape(packed, [dims[0], dims[1], 3, Dim(heads), Dim(headDim)]), [2, 0, 3, 1, 4])
      let query = try prepared(try b.e.gather(parts, axis: 0, at: 0), "q", &b)
      let key = try prepared(try b.e.gather(parts, axis: 0, at: 1), "k", &b)
      b.e.scope = name
      context = try AttentionSpelling.context(query, key, try b.e.gather(parts, axis: 0, at: 2), bias: bias, scale: 1 / Double(headDim).squareRoot(), &b.e)
    } else {
      func part(_ which: String, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
        let y = try b.linear(x, "\(name).\(which)", out: width)
        b.e.scope = name
        let dims = try b.e.shape(y)
        return try prepared(try b.e.transpose(try b.e.reshape(y, [dims[0], dims[1], Dim(heads), Dim(headDim)]), [0, 2, 1, 3]), which, &b)
      }
      let (query, key, value) = (try part("q", &b), try part("k", &b), try part("v", &b))
      b.e.scope = name
      context = try AttentionSpelling.context(query, key, value, bias: bias, scale: 1 / Double(headDim).squareRoot(), &b.e)
    }
    return try b.linear(context, "\(name).proj", out: width)
  }

  private func head(_ x: ValueID, prefix: Int, epsilon: Double, _ b: inout TorchBuilder) throws(Failure) -> Graph {
    let hasHead = weights.has("head.weight")
    guard hasHead || !weights.isTransformers else { return try b.e.finish(outputs: [("tokens", x)]) }
    b.e.scope = "pool"
    func pooled(_ b: inout TorchBuilder) throws(Failure) -> ValueID {
      let patches = prefix == 0 ? x : try b.e.slice(x, axis: 1, from: prefix, to: Int(Int32.max))
      return try b.e.reduce(.mean, patches, axes: [1], keep: false, "ReduceMean")
    }
    var y: ValueID
    if weights.has("attn_pool.latent") {
      y = try attentionPooled(x, epsilon: epsilon, &b)
    } else if hasHead, weights.has("cls_token"), try weights.tensor("head.weight", [nil, nil]).dims[1] == 2 * (try b.e.size(x, 2)) {
      // DINOv2: the class token and the mean of the patches side by side.
      y = try b.e.concat([try b.e.gather(x, axis: 1, at: 0), try pooled(&b)], axis: 1)
    } else if weights.has("fc_norm.weight") {
      y = try b.normalized(try pooled(&b), "fc_norm", epsilon: epsilon)
    } else if weights.has("cls_token") {
      y = try b.e.gather(x, axis: 1, at: 0)
    } else {
      y = try pooled(&b)
    }
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

  /// A learned query that attends to all tokens (Zhai et al. 2022), then a perceptron of its own.
  private func attentionPooled(_ x: ValueID, epsilon: Double, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
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
      weights.has("\(name).\(which)_norm.weight") ? try b.normalized(x, "\(name).\(which)_norm", epsilon: epsilon) : x
    }
    let q = try b.e.transpose(try b.e.reshape(query, [dims[0], Dim(latent.dims[1]), Dim(heads), Dim(headDim)]), [0, 2, 1, 3])
    let parts = try b.e.transpose(try b.e.reshape(packed, [dims[0], dims[1], 2, Dim(heads), Dim(headDim)]), [2, 0, 3, 1, 4])
    let key = try normalized(try b.e.gather(parts, axis: 0, at: 0), "k", &b)
    var y = try AttentionSpelling.context(
      try normalized(q, "q", &b), key, try b.e.gather(parts, axis: 0, at: 1), bias: nil, scale: 1 / Double(headDim).squareRoot(), &b.e)
    y = try b.linear(y, "\(name).proj", out: width)
    if weights.has("\(name).mlp.fc1.weight") {
      let inner = try b.perceptron(try b.normalized(y, "\(name).norm", epsilon: epsilon), "\(name).mlp")
      b.e.scope = name
      y = try b.e.add(y, inner)
    }
    b.e.scope = name
    return try b.e.gather(y, axis: 1, at: 0)
  }

  /// Rows and columns of patches: of the image that was given, of a square one, or a square of them.
  private func grid(_ tokens: Int, patch: [Int]) -> (Int, Int)? {
    guard tokens > 0, tokens < 1 << 24, (1..<(1 << 12)).contains(patch[2]), (1..<(1 << 12)).contains(patch[3]) else { return nil }
    if let size = weights.options.imageSize, size.count == 2, size.allSatisfy({ (1..<(1 << 16)).contains($0) }) {
      let given = (size[0] / patch[2], size[1] / patch[3])
      if given.0 * given.1 == tokens { return given }
    }
    if let side = VisionTransformerTemplate.side(tokens) { return (side, side) }
    for rows in 1..<4096 where tokens % rows == 0 && rows * patch[2] == tokens / rows * patch[3] { return (rows, tokens / rows) }
    return nil
  }

  static func side(_ count: Int) -> Int? {
    guard count > 0 else { return nil }
    let root = Int(Double(count).squareRoot().rounded())
    return root * root == count ? root : nil
  }

  /// BEiT's table of (2K − 1)² + 3 rows: the last three are for the class token as query, as key, and with itself.
  static func relativeBias(_ table: Tensor, grid: (rows: Int, columns: Int), heads: Int) throws(Failure) -> Tensor {
    let (rows, side) = grid
    let span = 2 * side - 1
    let entries = (2 * rows - 1) * span
    guard table.dims == [entries + 3, heads], let values = table.floats() else {
      throw Failure(.shapeMismatch, "\(Shape(table.dims)) relative biases for a grid of \(rows) x \(side)")
    }
    let tokens = rows * side + 1
    guard let count = [heads, tokens, tokens].checkedProduct, count <= 1 << 28 else { throw Failure(.limitExceeded, "\(tokens) tokens") }
    var result = [Float](repeating: 0, count: count)
    for query in 0..<tokens {
      for key in 0..<tokens {
        let row: Int
        switch (query, key) {
        case (0, 0): row = entries + 2
        case (0, _): row = entries
        case (_, 0): row = entries + 1
        default:
          let (a, b) = (query - 1, key - 1)
          row = (a / side - b / side + rows - 1) * span + a % side - b % side + side - 1
        }
        for head in 0..<heads { result[(head * tokens + query) * tokens + key] = values[row * heads + head] }
      }
    }
    return try Tensor(float32: result, dims: [1, heads, tokens, tokens])
  }
}
