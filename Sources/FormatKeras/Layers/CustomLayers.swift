internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// Layers that Keras does not have and checkpoints of vision transformers commonly do, known by their class and checked by
/// the shapes of their weights. A class of that name whose weights do not fit is not taken for one of them.
struct CustomLayers {
  /// What the user describes, by class or by class and layer; it goes before what is known here.
  private let described: [String: CustomLayerDefinition]

  /// - Parameter file: the user's descriptions.
  init(file: String? = nil) throws(Failure) { described = try file.map { (path) throws(Failure) in try CustomLayerFile.read(path) } ?? [:] }

  /// What the layer gives; nil when its class is none of these.
  func call(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID]? {
    if let own = described["\(call.layer.className).\(call.layer.name)"] ?? described[call.layer.className] { return try own.call(call, &builder) }
    let name = call.layer.className
    switch name {
    case "Patches", "PatchExtractor", "PatchExtraction", "PatchExtract", "ExtractPatches": return try patches(call, &builder)
    case "PatchEncoder", "PatchEmbedding", "PatchEmbeddings", "PatchEmbed": return try patchEncoder(call, &builder)
    case "ClassToken", "AddClassToken", "ClsToken", "CLSToken", "PrependClassToken": return try classToken(call, &builder)
    case "AddPositionEmbs", "AddPositionEmbeddings", "PositionEmbedding", "PositionEmbeddings", "AddPositionEmbedding", "PosEmbed",
      "LearnablePositionEmbedding":
      return try positions(call, &builder)
    case "LayerScale": return try layerScale(call, &builder)
    case "DropPath", "StochasticDepth", "DropBlock":
      let x = try builder.input(call)
      // Some hand over [shortcut, residual] and give their sum.
      if case .list(let entries)? = call.argument(0, "inputs"), entries.count == 2 {
        return [try builder.e.add(try builder.value(entries[0], call), try builder.value(entries[1], call))]
      }
      return [try builder.passingMask(call, x)]
    case "TokenAndPositionEmbedding", "PositionalEmbedding": return try tokenAndPosition(call, &builder)
    case "SequencePooling", "SeqPool", "SequencePool": return try sequencePooling(call, &builder)
    case "WindowAttention": return try windowAttention(call, &builder)
    case "MultiHeadSelfAttention", "MultiHeadSelfAttentionLayer": return try selfAttention(call, &builder)
    case "TransformerBlock": return try transformerBlock(call, &builder)
    // Other spellings of the same words.
    case _ where name.holds("PatchEmb") || name.holds("PatchEnc"): return try patchEncoder(call, &builder)
    case _ where name.holds("ClassToken") || name.holds("CLSToken") || name.holds("ClsToken"): return try classToken(call, &builder)
    case _ where name.hasPrefix("Position") || name.holds("PosEmb") || name.holds("PositionEmb") || name.holds("PositionalEmb"):
      return try positions(call, &builder)
    case _ where name.holds("LayerScale"): return try layerScale(call, &builder)
    default: return nil
    }
  }

  private func patches(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID]? {
    guard let size = (call.config["patch_size"] ?? call.config["size"])?.int ?? (call.config["patch_size"] ?? call.config["size"])?.ints?.first else {
      return nil
    }
    let x = try builder.input(call)
    let grid = try builder.patches(x, .int(size), nil, "valid", call)
    let dims = try builder.e.shape(grid)
    guard let tokens = dims[1].multiplied(by: dims[2]) else { throw call.wrong("its size overflows") }
    return [try builder.e.reshape(grid, [dims[0], tokens, dims[3]])]
  }

  /// A projection of patches and a learned position for each, with a class token in front where there is one.
  private func patchEncoder(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID]? {
    let x = try builder.input(call)
    let rank = try builder.e.rank(x)
    var kernel: Tensor?
    var bias: Tensor?
    var table: Tensor?
    var token: Tensor?
    for (name, tensor) in try builder.store.variables(call.path) {
      let word = name.lowercased()
      let isPosition = word.contains("pos") || word.contains("embeddings") || word.hasPrefix("embedding")
      switch tensor.dims.count {
      case 3 where tensor.dims[0] == 1 && tensor.dims[1] == 1 && !isPosition: token = tensor
      case 2 where isPosition || kernel != nil, 3 where tensor.dims[0] == 1: table = tensor
      case 2, 4: kernel = tensor
      case 1: bias = tensor
      default: return nil
      }
    }
    guard let kernel, let width = kernel.dims.last, bias.map({ $0.count == width }) ?? true else { return nil }
    let path = call.path.name
    let compute = builder.policy(call.config).compute
    var y: ValueID
    if kernel.dims.count == 4 {
      guard rank == 4, kernel.dims[2] == (try builder.e.size(x, 3)) else { return nil }
      let weight = try builder.e.weight("\(path)/projection/kernel", try kernel.transposed([3, 2, 0, 1]))
      let size = [kernel.dims[0], kernel.dims[1]]
      let window = Window(kernel: size, strides: size, dilations: [1, 1], padding: .explicit([0, 0, 0, 0]))
      let image = try builder.e.transpose(x, [0, 3, 1, 2])
      let patches = try builder.e.transpose(
        try builder.e.emit(.convolution(.conv(window, groups: 1)), [image, try builder.e.cast(weight, compute)], "Conv"), [0, 2, 3, 1])
      let dims = try builder.e.shape(patches)
      guard let tokens = dims[1].multiplied(by: dims[2]) else { throw call.wrong("its size overflows") }
      y = try builder.e.reshape(patches, [dims[0], tokens, dims[3]])
    } else {
      guard rank == 3, kernel.dims[0] == (try builder.e.size(x, 2)) else { return nil }
      y = try builder.e.matMul(x, try builder.e.cast(try builder.e.weight("\(path)/projection/kernel", kernel), compute))
    }
    if let bias { y = try builder.e.add(y, try builder.e.cast(try builder.e.weight("\(path)/projection/bias", bias), compute)) }
    if let token { y = try prepended(token, y, path, compute, &builder) }
    if let table {
      let tokens = try builder.e.size(y, 1)
      guard table.dims.suffix(2) == [tokens, width] else { throw call.wrong("\(Shape(table.dims)) positions for \(tokens) tokens") }
      y = try builder.e.add(y, try builder.e.cast(try builder.e.weight("\(path)/position_embedding", table), compute), "Positions")
    }
    return [y]
  }

  private func prepended(_ token: Tensor, _ y: ValueID, _ path: String, _ type: ElementType, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
    let value = try builder.e.cast(try builder.e.weight("\(path)/class_token", try token.reshaped([1, 1, token.count])), type)
    return try builder.e.concat([try builder.e.expandBatch(value, like: y), y], axis: 1, "Tokens")
  }

  private func classToken(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID]? {
    let x = try builder.input(call)
    guard let token = try builder.store.variables(call.path).first?.tensor, try builder.e.rank(x) == 3, token.count == (try builder.e.size(x, 2)) else {
      return nil
    }
    return [try prepended(token, x, call.path.name, builder.policy(call.config).compute, &builder)]
  }

  private func positions(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID]? {
    let x = try builder.input(call)
    if call.layer.className == "PositionEmbedding", call.config["sequence_length"]?.int != nil { return try positionsAlone(call, x, &builder) }
    guard let table = try builder.store.variables(call.path).first?.tensor, try builder.e.rank(x) == 3,
      table.dims.suffix(2) == [try builder.e.size(x, 1), try builder.e.size(x, 2)], table.dims.dropLast(2).allSatisfy({ $0 == 1 })
    else { return nil }
    let value = try builder.e.cast(try builder.e.weight("\(call.path.name)/position_embedding", table), builder.policy(call.config).compute)
    return [try builder.e.add(x, value, "Positions")]
  }

  /// keras_hub's layer of that name: it gives the first positions, for each sample, and leaves the sum to the model.
  private func positionsAlone(_ call: LayerCall, _ x: ValueID, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID]? {
    guard call.argument(1, "start_index") == nil, call.argument(2, "positions") == nil, try builder.e.rank(x) == 3,
      let table = try builder.store.variables(call.path).first?.tensor, table.dims.count == 2, table.dims[1] == (try builder.e.size(x, 2))
    else { return nil }
    let length = try builder.e.size(x, 1)
    guard length <= table.dims[0] else { throw call.wrong("\(table.dims[0]) positions for \(length) tokens") }
    var rows = try builder.e.cast(try builder.e.weight("\(call.path.name)/position_embedding", table), builder.policy(call.config).compute)
    if length < table.dims[0] { rows = try builder.e.slice(rows, axis: 0, from: 0, to: length) }
    return [try builder.e.expandBatch(try builder.e.unsqueeze(rows, [0]), like: x)]
  }

  /// A row for each token and one for each place, added; the tables are told apart by the sizes of the configuration.
  private func tokenAndPosition(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID]? {
    let ids = try builder.value(call.argument(0, "inputs"), call)
    let tables = try builder.store.variables(call.path)
    guard try builder.e.rank(ids) == 2, tables.count == 2, tables.allSatisfy({ $0.tensor.dims.count == 2 }),
      tables[0].tensor.dims[1] == tables[1].tensor.dims[1]
    else { return nil }
    let length = try builder.e.size(ids, 1)
    let vocabulary = (call.config["vocab_size"] ?? call.config["vocabulary_size"] ?? call.config["input_dim"])?.int
    // By name; by the size of the vocabulary; in the order in which they are made.
    var place = tables.firstIndex { $0.name.lowercased().contains("pos") }
    if place == nil, let vocabulary, tables[0].tensor.dims[0] != tables[1].tensor.dims[0] { place = tables.firstIndex { $0.tensor.dims[0] != vocabulary } }
    let index = place ?? 1
    let positions = tables[index].tensor
    guard positions.dims[0] >= length else { throw call.wrong("\(positions.dims[0]) positions for \(length) tokens") }
    let (compute, path) = (builder.policy(call.config).compute, call.path.name)
    let whole = try builder.e.element(ids).isFloatingPoint ? try builder.e.emit(.cast(to: .int32), [ids], "Cast") : ids
    let table = try builder.e.cast(try builder.e.weight("\(path)/token_embedding", tables[1 - index].tensor), compute)
    let rows = try builder.e.emit(.indexing(.gather(axis: 0)), [table, whole], "Gather")
    var offsets = try builder.e.cast(try builder.e.weight("\(path)/position_embedding", positions), compute)
    if positions.dims[0] > length { offsets = try builder.e.slice(offsets, axis: 0, from: 0, to: length) }
    return [try builder.e.add(rows, offsets, "Positions")]
  }

  /// Hassani et al. 2021: tokens are averaged with weights that one dense unit and a softmax over tokens give.
  private func sequencePooling(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID]? {
    let x = try builder.input(call)
    let width = try builder.e.size(x, 2)
    let found = try builder.store.variables(call.path).map(\.tensor)
    guard try builder.e.rank(x) == 3, let kernel = found.first(where: { $0.dims == [width, 1] }), found.count <= 2,
      found.allSatisfy({ $0.dims == [width, 1] || $0.dims == [1] })
    else { return nil }
    let (compute, path) = (builder.policy(call.config).compute, call.path.name)
    var scores = try builder.e.matMul(x, try builder.e.cast(try builder.e.weight("\(path)/attention/kernel", kernel), compute))
    if let bias = found.first(where: { $0.dims == [1] }) {
      scores = try builder.e.add(scores, try builder.e.cast(try builder.e.weight("\(path)/attention/bias", bias), compute))
    }
    let weights = try builder.e.transpose(try builder.e.softmax(scores, axis: 1), [0, 2, 1])
    return [try builder.e.squeeze(try builder.e.matMul(weights, x), [1])]
  }

  private func layerScale(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID]? {
    let x = try builder.input(call)
    let rank = try builder.e.rank(x)
    guard let gamma = try builder.store.variables(call.path).first?.tensor, gamma.count == (try builder.e.size(x, rank - 1)) else { return nil }
    return [try builder.e.multiply(x, try builder.e.cast(try builder.e.weight("\(call.path.name)/gamma", gamma), builder.policy(call.config).compute))]
  }

  /// Swin's attention in one window: packed projection, a learned bias for each relative position.
  private func windowAttention(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID]? {
    guard let heads = (call.config["heads"] ?? call.config["num_heads"])?.int, heads > 0 else { return nil }
    let x = try builder.input(call)
    guard try builder.e.rank(x) == 3 else { return nil }
    let (tokens, width) = (try builder.e.size(x, 1), try builder.e.size(x, 2))
    guard width % heads == 0 else { throw call.wrong("\(heads) heads of a width of \(width)") }
    var found: [String: Tensor] = [:]
    for (name, tensor) in try builder.store.variables(call.path) {
      switch tensor.dims {
      case [width, 3 * width]: found["qkv"] = tensor
      case [3 * width]: found["qkvBias"] = tensor
      case [width, width]: found["proj"] = tensor
      case [width]: found["projBias"] = tensor
      case let dims where dims.count == 2 && dims[1] == heads: found["table"] = tensor
      default: throw call.wrong("the weight '\(name)' of shape \(Shape(tensor.dims)) is not one of a window's attention")
      }
    }
    guard let qkv = found["qkv"], let proj = found["proj"] else { return nil }
    let compute = builder.policy(call.config).compute
    let path = call.path.name
    func weight(_ name: String, _ tensor: Tensor) throws(Failure) -> ValueID { try builder.e.cast(try builder.e.weight("\(path)/\(name)", tensor), compute) }
    var packed = try builder.e.matMul(x, try weight("qkv/kernel", qkv))
    if let bias = found["qkvBias"] { packed = try builder.e.add(packed, try weight("qkv/bias", bias)) }
    var bias: ValueID?
    if let table = found["table"] {
      let side = Int(Double(tokens).squareRoot().rounded())
      guard side * side == tokens else { throw call.wrong("a window of \(tokens) tokens is no square") }
      bias = try builder.e.constant("bias", RelativePositions.swin(table, height: side, width: side, type: compute))
    }
    let context = try AttentionSpelling.packed(packed, heads: heads, bias: bias, scale: 1 / Double(width / heads).squareRoot(), &builder.e)
    var y = try builder.e.matMul(context, try weight("proj/kernel", proj))
    if let bias = found["projBias"] { y = try builder.e.add(y, try weight("proj/bias", bias)) }
    return [y]
  }
}

extension String {
  /// Whether the part occurs. Every layer asks this several times; `contains` prepares a search for each.
  fileprivate func holds(_ part: String) -> Bool {
    var rest = utf8[...]
    while rest.count >= part.utf8.count {
      if rest.starts(with: part.utf8) { return true }
      rest = rest.dropFirst()
    }
    return false
  }
}
