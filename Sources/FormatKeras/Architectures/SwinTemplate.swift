internal import Diagnostics
internal import Glibc
internal import GraphIR
internal import Operators
internal import Tensors

/// Swin (Liu et al. 2021) and Swin V2 (Liu et al. 2022), as timm names their weights: windows, every second block shifted, patch
/// merging between stages. The second version has cosine attention with biases from a small network, and norms after the
/// branches.
///
/// The input's size is no weight's business; it comes from the options or the configuration, or is the one of which the last
/// stage is one window. A grid that windows do not divide is padded with zeros below and to the right.
struct SwinTemplate {
  let weights: StateDictionary

  init(_ weights: StateDictionary) { self.weights = weights }

  func graph() throws(Failure) -> Graph {
    let patch = try weights.tensor("patch_embed.proj.weight", [nil, nil, nil, nil]).dims
    let stages = weights.count("layers")
    guard stages > 0, stages < 16, patch[2] == patch[3], (1...256).contains(patch[2]) else {
      throw Failure(.shapeMismatch, "\(stages) stages of patches of \(patch[2]) x \(patch[3])")
    }
    let window = try window()
    // As all published ones: the last stage is one window, and the first has several, or nothing would be shifted.
    let windows = 1 << max(stages - 1, 1)
    var size = [window.rows * patch[2] * windows, window.columns * patch[2] * windows]
    if let given = weights.imageSize {
      size = given
    } else {
      weights.assume("images are \(size[0]) x \(size[1]), of few windows in the last stage; --shape x=1,C,H,W gives another size")
    }
    guard size.allSatisfy({ $0 > 0 && $0 < 1 << 16 && $0 % patch[2] == 0 }) else { throw Failure(.badAttribute, "an image of \(size[0]) x \(size[1])") }
    var b = TorchBuilder(weights, name: isSecond ? "swinv2" : "swin")
    let image = b.image(channels: patch[1], height: size[0], width: size[1])
    var x = try b.e.transpose(try b.convolution(image, "patch_embed.proj", stride: [patch[2], patch[2]]), [0, 2, 3, 1])
    if weights.has("patch_embed.norm.weight") { x = try b.normalized(x, "patch_embed.norm", epsilon: epsilon) }
    for name in ["pos_embed", "absolute_pos_embed"] where weights.has(name) {
      b.e.scope = "embed"
      let dims = try b.e.shape(x)
      x = try b.e.add(x, try b.e.reshape(try b.weight(name), [1] + dims.dropFirst()), "Positions")
    }
    for stage in 0..<stages {
      let name = "layers.\(stage)"
      let merges = weights.has("\(name).downsample.reduction.weight")
      if merges, isBefore(stage) { x = try merged(x, "\(name).downsample", &b) }
      for index in 0..<weights.count("\(name).blocks") { x = try block(x, stage, index, window: window, image: size, patch: patch[2], &b) }
      if merges, !isBefore(stage) { x = try merged(x, "\(name).downsample", &b) }
    }
    if weights.has("norm.weight") { x = try b.normalized(x, "norm", epsilon: epsilon) }
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

  private var epsilon: Double { weights.option("layer_norm_eps")?.double ?? 1e-5 }
  private var isSecond: Bool { weights.has("layers.0.blocks.0.attn.logit_scale") }

  /// Rows and columns of a window, from the configuration, a stored table of the coordinates in it, or the number of biases.
  private func window() throws(Failure) -> (rows: Int, columns: Int) {
    let attention = "layers.0.blocks.0.attn"
    let told = weights.option("window_size")
    let known: [Int?] = [
      told?.int, weights.weights["\(attention).relative_coords_table"].flatMap { $0.dims.count == 4 ? ($0.dims[1] + 1) / 2 : nil },
      // window8, or window12to16 for windows of 12 that became ones of 16.
      weights.architecture.first { $0.hasPrefix("window") }.flatMap { Int($0.dropFirst("window".count).split(separator: "to").last ?? "") },
    ]
    if let sides = told?.ints, sides.count == 2, sides.allSatisfy({ (1..<1024).contains($0) }) { return (sides[0], sides[1]) }
    if let table = weights.weights["\(attention).relative_position_bias_table"] {
      if let side = VisionTransformerTemplate.side(table.dims[0]), side % 2 == 1 { return ((side + 1) / 2, (side + 1) / 2) }
      throw Failure(
        .architectureOpen, "\(Shape(table.dims)) relative biases are those of no square window",
        advice: "give a config.json with window_size: [rows, columns]")
    }
    guard let side = known.lazy.compactMap({ $0 }).first else {
      throw Failure(
        .architectureOpen, "no weight tells the size of windows",
        advice: "give a config.json with window_size, or with timm's architecture such as swinv2_tiny_window8_256, beside the weights or as --config")
    }
    guard (1..<1024).contains(side) else { throw Failure(.badAttribute, "windows of \(side) x \(side)") }
    return (side, side)
  }

  /// timm merges patches before a stage's blocks, the authors' own code after them: the width of the first block tells.
  private func isBefore(_ stage: Int) -> Bool {
    guard let reduction = weights.weights["layers.\(stage).downsample.reduction.weight"], let norm = weights.weights["layers.\(stage).blocks.0.norm1.weight"]
    else {
      return false
    }
    return reduction.dims.first == norm.dims.first
  }

  /// Where a block's windows lie: (height, width) in windows of (rows, columns) after padding to whole ones.
  private struct Windows {
    var rows: Int
    var columns: Int
    var padding: [Int]
    var shift: [Int]
    var grid: [Int]
    var count: Int { grid[0] / rows * (grid[1] / columns) }
    var tokens: Int { rows * columns }
  }

  /// Libraries part in grids no larger than a window: timm takes what there is as one on each axis, Transformers the smaller
  /// axis for both, and torchvision pads to the whole window.
  private func windows(_ height: Int, _ width: Int, _ window: (rows: Int, columns: Int), isShifted: Bool) -> Windows {
    var (rows, columns) = window
    var shift = [isShifted ? rows / 2 : 0, isShifted ? columns / 2 : 0]
    switch weights.library {
    case .transformers where !isSecond:
      if min(height, width) <= min(rows, columns) { (rows, columns, shift) = (min(height, width), min(height, width), [0, 0]) }
    case .torchvision:
      if height <= rows { shift[0] = 0 }
      if width <= columns { shift[1] = 0 }
    default:
      if height <= rows { (rows, shift[0]) = (height, 0) }
      if width <= columns { (columns, shift[1]) = (width, 0) }
    }
    let padding = [(rows - height % rows) % rows, (columns - width % columns) % columns]
    return Windows(rows: rows, columns: columns, padding: padding, shift: shift, grid: [height + padding[0], width + padding[1]])
  }

  private func block(
    _ input: ValueID, _ stage: Int, _ index: Int, window: (rows: Int, columns: Int), image: [Int], patch: Int, _ b: inout TorchBuilder
  ) throws(Failure) -> ValueID {
    let name = "layers.\(stage).blocks.\(index)"
    let (height, width) = (try b.e.size(input, 1), try b.e.size(input, 2))
    let windows = windows(height, width, window, isShifted: index % 2 == 1)
    var x = isSecond ? input : try b.normalized(input, "\(name).norm1", epsilon: epsilon)
    let scope = "\(name).attn"
    b.e.scope = scope
    // timm shifts before it pads, the others after it.
    let padsFirst = weights.library != .timm
    func padded(_ x: ValueID, _ b: inout TorchBuilder) throws(Failure) -> ValueID { try b.e.pad(x, before: [0, 0, 0, 0], after: [0] + windows.padding + [0]) }
    func cropped(_ x: ValueID, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
      var y = x
      if windows.padding[0] > 0 { y = try b.e.slice(y, axis: 1, from: 0, to: height) }
      if windows.padding[1] > 0 { y = try b.e.slice(y, axis: 2, from: 0, to: width) }
      return y
    }
    if padsFirst { x = try padded(x, &b) }
    x = try rolled(x, [-windows.shift[0], -windows.shift[1]], &b.e)
    if !padsFirst { x = try padded(x, &b) }
    x = try attention(x, scope, stage, windows, image: image, patch: patch, &b)
    if !padsFirst { x = try cropped(x, &b) }
    x = try rolled(x, windows.shift, &b.e)
    if padsFirst { x = try cropped(x, &b) }
    if isSecond { x = try b.normalized(x, "\(name).norm1", epsilon: epsilon) }
    b.e.scope = name
    x = try b.e.add(input, x)
    var y = try b.perceptron(isSecond ? x : try b.normalized(x, "\(name).norm2", epsilon: epsilon), "\(name).mlp")
    if isSecond { y = try b.normalized(y, "\(name).norm2", epsilon: epsilon) }
    b.e.scope = name
    return try b.e.add(x, y)
  }

  /// Attention within the windows of (B, H, W, C).
  private func attention(
    _ input: ValueID, _ scope: String, _ stage: Int, _ windows: Windows, image: [Int], patch: Int, _ b: inout TorchBuilder
  ) throws(Failure) -> ValueID {
    let dims = try b.e.shape(input)
    let channels = try b.e.size(input, 3)
    let (grid, rows, columns, tokens) = (windows.grid, windows.rows, windows.columns, windows.tokens)
    let bias: Tensor
    if isSecond {
      bias = try ContinuousPositions(weights, scope, rows: rows, columns: columns, trained: trainedWindow(stage, image: image, patch: patch)).biases()
    } else {
      bias = try RelativePositions.swin(try weights.tensor("\(scope).relative_position_bias_table", [nil, nil]), height: rows, width: columns, type: .float32)
    }
    let heads = bias.dims[1]
    guard heads > 0, channels % heads == 0 else { throw Failure(.shapeMismatch, "\(heads) heads of \(channels) channels", at: .element(scope)) }
    var x = try b.e.reshape(input, [dims[0], Dim(grid[0] / rows), Dim(rows), Dim(grid[1] / columns), Dim(columns), Dim(channels)])
    x = try b.e.transpose(x, [0, 1, 3, 2, 4, 5])
    guard let batch = dims[0].multiplied(by: Dim(windows.count)) else { throw Failure(.sizeOverflow, "too many windows", at: .element(scope)) }
    x = try b.e.reshape(x, [batch, Dim(tokens), Dim(channels)])
    var (query, key, value) = try b.projections(x, scope, heads: heads, headDim: channels / heads)
    b.e.scope = scope
    if isSecond {
      let scale = try weights.tensor("\(scope).logit_scale", [heads, 1, 1]).doubles() ?? []
      (query, key) = (try unit(query, &b.e), try unit(key, &b.e))
      let factors = scale.map { Float(exp(min($0, log(100.0)))) }
      query = try b.e.multiply(query, b.e.constant("scale", try Tensor(float32: factors, dims: [heads, 1, 1])), "Scale")
    } else {
      query = try b.e.multiply(query, 1 / Double(channels / heads).squareRoot(), "Scale")
    }
    var scores = try b.e.matMul(query, try b.e.transpose(key, [0, 1, 3, 2]), "Scores")
    scores = try b.e.add(scores, b.e.constant("bias", bias), "Bias")
    if windows.shift != [0, 0] {
      let mask = b.e.constant("mask", try SwinTemplate.mask(windows))
      let split = try b.e.reshape(scores, [dims[0], Dim(windows.count), Dim(heads), Dim(tokens), Dim(tokens)])
      scores = try b.e.reshape(try b.e.add(split, mask, "Mask"), [batch, Dim(heads), Dim(tokens), Dim(tokens)])
    }
    let mixed = try b.e.matMul(try b.e.softmax(scores), value, "Context")
    x = try b.e.reshape(try b.e.transpose(mixed, [0, 2, 1, 3]), [batch, Dim(tokens), Dim(channels)])
    x = try b.linear(x, "\(scope).proj", out: channels)
    b.e.scope = scope
    x = try b.e.reshape(x, [dims[0], Dim(grid[0] / rows), Dim(grid[1] / columns), Dim(rows), Dim(columns), Dim(channels)])
    return try b.e.reshape(try b.e.transpose(x, [0, 1, 3, 2, 4, 5]), dims)
  }

  /// x/max(‖x‖, 1e-12) over the last axis.
  private func unit(_ x: ValueID, _ e: inout Emitter) throws(Failure) -> ValueID {
    let length = try e.maximum(try e.reduce(.l2, x, axes: [3], keep: true, "ReduceL2"), 1e-12)
    return try e.divide(x, length)
  }

  /// The window that a stage of Swin V2 was trained with before this one, by which its coordinates are scaled; nil for the same.
  private func trainedWindow(_ stage: Int, image: [Int], patch: Int) -> Int? {
    if let told = weights.option("pretrained_window_sizes")?.ints {
      guard told.indices.contains(stage), told[stage] > 0 else { return nil }
      return told[stage]
    }
    // swinv2_base_window12to16_192to256: windows of 12 on images of 192, or what is left of those in the last stage.
    func first(_ word: Substring?) -> Int? {
      guard let word, word.contains("to"), let number = word.split(separator: "to").first else { return nil }
      return Int(number.drop { !$0.isNumber })
    }
    let words = weights.architecture
    if let window = first(words.first { $0.hasPrefix("window") }), let side = first(words.last), patch > 0, window > 0 {
      return max(min(window, side / patch >> stage), 1)
    }
    if words.isEmpty, weights.configuration?["model_type"] == nil, !weights.has("layers.0.blocks.0.attn.relative_coords_table") {
      weights.assume("windows are those of the first training; a config.json with pretrained_window_sizes gives others")
    }
    return nil
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
  private static func mask(_ windows: Windows) throws(Failure) -> Tensor {
    func region(_ position: Int, _ axis: Int, _ window: Int) -> Int {
      let (size, shift) = (windows.grid[axis], windows.shift[axis])
      return position < size - window ? 0 : position < size - shift ? 1 : 2
    }
    let (tokens, across) = (windows.tokens, windows.grid[1] / windows.columns)
    guard let count = [windows.count, tokens, tokens].checkedProduct, count <= 1 << 28 else {
      throw Failure(.limitExceeded, "\(windows.count) windows of \(tokens) tokens")
    }
    var result = [Float](repeating: 0, count: count)
    for window in 0..<windows.count {
      let (top, left) = (window / across * windows.rows, window % across * windows.columns)
      func place(_ token: Int) -> Int {
        region(top + token / windows.columns, 0, windows.rows) * 3 + region(left + token % windows.columns, 1, windows.columns)
      }
      for query in 0..<tokens { for key in 0..<tokens where place(query) != place(key) { result[(window * tokens + query) * tokens + key] = -100 } }
    }
    return try Tensor(float32: result, dims: [1, windows.count, 1, tokens, tokens])
  }

  /// Four neighbors become one: (0,0), (1,0), (0,1), (1,1) in the channels, normalized, then projected; in the second version
  /// projected first. An odd grid gets a row or column of zeros.
  private func merged(_ input: ValueID, _ name: String, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    b.e.scope = name
    let odd = [try b.e.size(input, 1) % 2, try b.e.size(input, 2) % 2]
    let x = try b.e.pad(input, before: [0, 0, 0, 0], after: [0] + odd + [0])
    let dims = try b.e.shape(x)
    let (height, width, channels) = (try b.e.size(x, 1), try b.e.size(x, 2), try b.e.size(x, 3))
    var y = try b.e.reshape(x, [dims[0], Dim(height / 2), 2, Dim(width / 2), 2, Dim(channels)])
    y = try b.e.transpose(y, [0, 1, 3, 4, 2, 5])
    y = try b.e.reshape(y, [dims[0], Dim(height / 2), Dim(width / 2), Dim(4 * channels)])
    let normalizesFirst = weights.weights["\(name).norm.weight"]?.dims == [4 * channels]
    if normalizesFirst { return try b.linear(try b.normalized(y, "\(name).norm", epsilon: epsilon), "\(name).reduction") }
    return try b.normalized(try b.linear(y, "\(name).reduction"), "\(name).norm", epsilon: epsilon)
  }
}
