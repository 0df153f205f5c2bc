internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// Swin (Liu et al. 2021), as timm names its weights: windows, every second block shifted, patch merging between stages.
/// The input's size is no weight's business; it comes from the options, or is the one of which the last stage is one window.
struct SwinTemplate {
  let weights: StateDictionary

  init(_ weights: StateDictionary) { self.weights = weights }

  func graph() throws(Failure) -> Graph {
    let patch = try weights.tensor("patch_embed.proj.weight", [nil, nil, nil, nil]).dims
    let stages = weights.count("layers")
    let table = try weights.tensor("layers.0.blocks.0.attn.relative_position_bias_table", [nil, nil])
    guard let span = VisionTransformerTemplate.side(table.dims[0]), span % 2 == 1, stages > 0, stages < 16, patch[2] == patch[3], (1...256).contains(patch[2])
    else {
      throw Failure(.shapeMismatch, "\(Shape(table.dims)) relative biases are those of no window")
    }
    let window = (span + 1) / 2
    let size: [Int]
    if let given = options.imageSize {
      size = given
    } else {
      // As all published ones: the last stage is one window, and the first has several, or nothing would be shifted.
      let side = window * patch[2] << max(stages - 1, 1)
      size = [side, side]
    }
    guard size.allSatisfy({ $0 > 0 && $0 < 1 << 16 && $0 % patch[2] == 0 }) else { throw Failure(.badAttribute, "an image of \(size[0]) x \(size[1])") }
    var b = TorchBuilder(weights, name: "swin")
    let image = b.image(channels: patch[1], height: size[0], width: size[1])
    var x = try b.e.transpose(try b.convolution(image, "patch_embed.proj", stride: [patch[2], patch[2]]), [0, 2, 3, 1])
    if weights.has("patch_embed.norm.weight") { x = try b.normalized(x, "patch_embed.norm", epsilon: 1e-5) }
    for stage in 0..<stages {
      let name = "layers.\(stage)"
      if weights.has("\(name).downsample.reduction.weight"), isBefore(stage) { x = try merged(x, "\(name).downsample", &b) }
      for index in 0..<weights.count("\(name).blocks") { x = try block(x, "\(name).blocks.\(index)", window: window, isShifted: index % 2 == 1, &b) }
      if weights.has("\(name).downsample.reduction.weight"), !isBefore(stage) { x = try merged(x, "\(name).downsample", &b) }
    }
    if weights.has("norm.weight") { x = try b.normalized(x, "norm", epsilon: 1e-5) }
    let head = ["head.fc", "head"].first { weights.has("\($0).weight") }
    b.e.scope = "head.global_pool"
    if head == nil, weights.isTransformers {
      let dims = try b.e.shape(x)
      guard let count = dims[1].multiplied(by: dims[2]) else { throw Failure(.sizeOverflow, "too many tokens") }
      return try b.e.finish(outputs: [("tokens", try b.e.reshape(x, [dims[0], count, dims[3]]))])
    }
    let pooled = try b.e.reduce(.mean, x, axes: [1, 2], keep: false, "ReduceMean")
    guard let head else { return try b.e.finish(outputs: [("features", pooled)]) }
    return try b.e.finish(outputs: [("logits", try b.linear(pooled, head))])
  }

  private var options: CheckpointOptions { weights.options }

  /// timm merges patches before a stage's blocks, the authors' own code after them: the width of the first block tells.
  private func isBefore(_ stage: Int) -> Bool {
    guard let reduction = weights.weights["layers.\(stage).downsample.reduction.weight"], let norm = weights.weights["layers.\(stage).blocks.0.norm1.weight"]
    else {
      return false
    }
    return reduction.dims.first == norm.dims.first
  }

  private func block(_ input: ValueID, _ name: String, window: Int, isShifted: Bool, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    let dims = try b.e.shape(input)
    let (height, width, channels) = (try b.e.size(input, 1), try b.e.size(input, 2), try b.e.size(input, 3))
    // A grid no larger than a window is one window, and nothing is shifted.
    let (rows, columns) = (min(window, height), min(window, width))
    let shift = [isShifted && rows < height ? rows / 2 : 0, isShifted && columns < width ? columns / 2 : 0]
    let table = try weights.tensor("\(name).attn.relative_position_bias_table", [nil, nil])
    let heads = table.dims[1]
    guard heads > 0, channels % heads == 0, height % rows == 0, width % columns == 0 else {
      throw Failure(
        .notExpressible, "a grid of \(height) x \(width) in windows of \(rows) x \(columns) needs padding", at: .element(name), advice: "give --shape x=1,3,H,W"
      )
    }
    var x = try b.normalized(input, "\(name).norm1", epsilon: 1e-5)
    let scope = "\(name).attn"
    b.e.scope = scope
    x = try rolled(x, [-shift[0], -shift[1]], &b.e)
    x = try b.e.reshape(x, [dims[0], Dim(height / rows), Dim(rows), Dim(width / columns), Dim(columns), Dim(channels)])
    x = try b.e.transpose(x, [0, 1, 3, 2, 4, 5])
    let windows = height / rows * (width / columns)
    guard let batch = dims[0].multiplied(by: Dim(windows)) else { throw Failure(.sizeOverflow, "too many windows", at: .element(name)) }
    x = try b.e.reshape(x, [batch, Dim(rows * columns), Dim(channels)])
    let tokens = rows * columns
    let (query, key, value) = try projections(x, scope, heads: heads, channels: channels, tokens: tokens, &b)
    b.e.scope = scope
    let bias = b.e.constant("bias", try RelativePositions.swin(table, height: rows, width: columns, type: .float32))
    let scaled = try b.e.multiply(query, 1 / Double(channels / heads).squareRoot(), "Scale")
    var scores = try b.e.matMul(scaled, try b.e.transpose(key, [0, 1, 3, 2]), "Scores")
    scores = try b.e.add(scores, bias, "Bias")
    if shift != [0, 0] {
      let mask = b.e.constant("mask", try SwinTemplate.mask(height: height, width: width, rows: rows, columns: columns, shift: shift))
      let split = try b.e.reshape(scores, [dims[0], Dim(windows), Dim(heads), Dim(tokens), Dim(tokens)])
      scores = try b.e.reshape(try b.e.add(split, mask, "Mask"), [batch, Dim(heads), Dim(tokens), Dim(tokens)])
    }
    let mixed = try b.e.matMul(try b.e.softmax(scores), value, "Context")
    x = try b.e.reshape(try b.e.transpose(mixed, [0, 2, 1, 3]), [batch, Dim(tokens), Dim(channels)])
    x = try b.linear(x, "\(scope).proj", out: channels)
    b.e.scope = scope
    x = try b.e.reshape(x, [dims[0], Dim(height / rows), Dim(width / columns), Dim(rows), Dim(columns), Dim(channels)])
    x = try b.e.reshape(try b.e.transpose(x, [0, 1, 3, 2, 4, 5]), dims)
    x = try rolled(x, shift, &b.e)
    b.e.scope = name
    x = try b.e.add(input, x)
    let y = try b.perceptron(try b.normalized(x, "\(name).norm2", epsilon: 1e-5), "\(name).mlp")
    b.e.scope = name
    return try b.e.add(x, y)
  }

  /// Queries, keys and values (B, h, T, d) from a packed projection or three.
  private func projections(
    _ x: ValueID, _ scope: String, heads: Int, channels: Int, tokens: Int, _ b: inout TorchBuilder
  ) throws(Failure) -> (ValueID, ValueID, ValueID) {
    let size = Dim(channels / heads)
    if weights.has("\(scope).qkv.weight") {
      let packed = try b.linear(x, "\(scope).qkv", out: 3 * channels)
      b.e.scope = scope
      let own = try b.e.shape(packed)
      let parts = try b.e.transpose(try b.e.reshape(packed, [own[0], Dim(tokens), 3, Dim(heads), size]), [2, 0, 3, 1, 4])
      return (try b.e.gather(parts, axis: 0, at: 0), try b.e.gather(parts, axis: 0, at: 1), try b.e.gather(parts, axis: 0, at: 2))
    }
    func part(_ which: String, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
      let y = try b.linear(x, "\(scope).\(which)", out: channels)
      b.e.scope = scope
      return try b.e.transpose(try b.e.reshape(y, [try b.e.shape(y)[0], Dim(tokens), Dim(heads), size]), [0, 2, 1, 3])
    }
    return (try part("q", &b), try part("k", &b), try part("v", &b))
  }

  private func rolled(_ x: ValueID, _ shift: [Int], _ e: inout Emitter) throws(Failure) -> ValueID {
    var y = x
    for (index, by) in shift.enumerated() where by != 0 {
      let size = try e.size(y, 1 + index)
      let start = ((-by % size) + size) % size
      y = try e.concat([try e.slice(y, axis: 1 + index, from: start, to: size), try e.slice(y, axis: 1 + index, from: 0, to: start)], axis: 1 + index)
    }
    return y
  }

  /// (windows, 1, T, T): −100 between tokens that the shift brought together from different sides.
  private static func mask(height: Int, width: Int, rows: Int, columns: Int, shift: [Int]) throws(Failure) -> Tensor {
    func region(_ position: Int, _ size: Int, _ window: Int, _ shift: Int) -> Int { position < size - window ? 0 : position < size - shift ? 1 : 2 }
    let tokens = rows * columns
    let windows = height / rows * (width / columns)
    guard let count = [windows, tokens, tokens].checkedProduct, count <= 1 << 28 else {
      throw Failure(.limitExceeded, "\(windows) windows of \(tokens) tokens")
    }
    var result = [Float](repeating: 0, count: count)
    for window in 0..<windows {
      let (top, left) = (window / (width / columns) * rows, window % (width / columns) * columns)
      func place(_ token: Int) -> Int {
        region(top + token / columns, height, rows, shift[0]) * 3 + region(left + token % columns, width, columns, shift[1])
      }
      for query in 0..<tokens { for key in 0..<tokens where place(query) != place(key) { result[(window * tokens + query) * tokens + key] = -100 } }
    }
    return try Tensor(float32: result, dims: [1, windows, 1, tokens, tokens])
  }

  /// Four neighbors become one: (0,0), (1,0), (0,1), (1,1) in the channels, normalized, then projected.
  private func merged(_ x: ValueID, _ name: String, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    b.e.scope = name
    let dims = try b.e.shape(x)
    let (height, width) = (try b.e.size(x, 1), try b.e.size(x, 2))
    guard height % 2 == 0, width % 2 == 0, let channels = dims[3].value else {
      throw Failure(.notExpressible, "an odd grid of \(height) x \(width)", at: .element(name))
    }
    var y = try b.e.reshape(x, [dims[0], Dim(height / 2), 2, Dim(width / 2), 2, Dim(channels)])
    y = try b.e.transpose(y, [0, 1, 3, 4, 2, 5])
    y = try b.e.reshape(y, [dims[0], Dim(height / 2), Dim(width / 2), Dim(4 * channels)])
    return try b.linear(try b.normalized(y, "\(name).norm", epsilon: 1e-5), "\(name).reduction")
  }
}
