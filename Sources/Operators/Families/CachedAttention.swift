internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Attention and MultiHeadAttention (com.microsoft) with everything they take: a cache of keys and values, its own or
/// one that is written in place; padding masks of all forms, which hide by a value of the model's choice; the scores as
/// a result. Vision models ask for none of this, and theirs are `AttentionOp`s, which have fast kernels.
///
/// Attention: input (batch, token, channel), weight, bias?, mask?, past (2, batch, head, token, channel)?, score bias?,
/// length of the past?; results output, present. MultiHeadAttention: query, key?, value?, bias?, mask?, score bias?,
/// past key?, past value?, length of the past?; results output, present key, present value, probabilities.
struct CachedAttention: CataloguedOperator {
  let op: CataloguedOp
  private var isProjected: Bool { op.kind == .microsoftAttention }
  var arity: Arity { isProjected ? Arity(2...7, results: 1...2) : Arity(1...9, results: 1...4) }

  /// Where each operand stands.
  private var places: (mask: Int, bias: Int, past: Int, length: Int) { isProjected ? (3, 5, 4, 6) : (4, 5, 6, 8) }

  /// The same without a cache.
  private func plain() throws(Failure) -> AttentionOp {
    let heads = op.int("num_heads")
    guard heads > 0, heads < 1 << 20 else { throw badAttribute("\(heads) heads") }
    if isProjected { return .packedProjection(heads: heads, scale: nil, qkvHiddenSizes: op.ints("qkv_hidden_sizes"), causal: false) }
    return .multiHead(heads: heads, scale: nil, causal: false)
  }

  /// Three parts side by side in a query of three axes, which `AttentionOp` does not take.
  private func isPackedRow(_ types: [TensorType?]) -> Bool {
    !isProjected && types.first.flatMap { $0?.shape?.rank } == 3 && (types.count < 2 || types[1] == nil)
  }

  private func sizes(_ types: [TensorType?]) throws(Failure) -> AttentionSizes? {
    guard isPackedRow(types), let query = types.first.flatMap({ $0?.shape }) else { return try plain().sizes(Array(types.prefix(3))) }
    let heads = Dim(op.int("num_heads"))
    let parts = try heads.times(3)
    guard let size = query[2].dividedExactly(by: parts) else {
      if query[2].value == nil { return nil }
      throw mismatch("\(query[2]) channels in \(parts) parts")
    }
    return AttentionSizes(
      batch: query[0], queryHeads: heads, keyHeads: heads, queryTokens: query[1], newTokens: query[1], pastTokens: 0, headDim: size, valueDim: size)
  }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let element = try operands.required(0).type.element
    try checkFloat(element)
    _ = try plain()
    func results(_ shapes: [Shape?]) -> [Fact] { shapes.prefix(resultCount).map { Fact(TensorType(element, $0)) } }
    let past = operands.fact(places.past)
    let isShared = operands.fact(places.length) != nil
    if isShared {
      guard past != nil else { throw Failure(.operandCount, "\(mnemonic) has the length of a past and no past") }
      try checkElement(try operands.required(places.length), [.int32, .int64], "the length of its past")
    }
    if !isProjected, (past == nil) != (operands.fact(places.past + 1) == nil) {
      throw Failure(.operandCount, "\(mnemonic) has only one of past key and past value")
    }
    if let mask = operands.fact(places.mask) { try checkElement(mask, [.int32, .int64], "a mask") }
    guard let sizes = try sizes(operands.map { $0?.type }), past == nil || past?.type.shape != nil else { return results([nil, nil, nil, nil]) }
    let (batch, heads) = (sizes.batch, sizes.keyHeads)
    let types = operands.map { $0?.type }
    if !isPackedRow(types) { try plain().checkOperands(Array(types.prefix(3)), sizes, sizes.newTokens) }
    var room = Dim(0)
    if let shape = past?.type.shape {
      try checkRank(past, isProjected ? 5 : 4, "the past")
      room = shape[isProjected ? 3 : 2]
      let own = isProjected ? [Dim(2), batch, heads, room, sizes.headDim] : [batch, heads, room, sizes.headDim]
      try agree(shape, Shape(own), "the past")
      if isProjected { try checkAgree(sizes.headDim, sizes.valueDim, "channels of keys and values in one past") }
      if !isProjected, let values = operands.fact(places.past + 1)?.type.shape {
        try agree(values, Shape([batch, heads, room, sizes.valueDim]), "the past value")
      }
    }
    let keys: Dim = isShared ? room : try room.plus(sizes.newTokens)
    let output = Shape([batch, sizes.queryTokens, try heads.times(sizes.valueDim)])
    if isProjected { return results([output, Shape([2, batch, heads, keys, sizes.headDim])]) }
    let visible: Dim =
      isShared ? try knownWhole(operands.fact(places.length)).map { (length) throws(Failure) in try Dim(length).plus(sizes.newTokens) } ?? .unknown : keys
    return results([
      output, Shape([batch, heads, keys, sizes.headDim]), Shape([batch, heads, keys, sizes.valueDim]),
      Shape([batch, heads, sizes.queryTokens, visible]),
    ])
  }

  private func agree(_ shape: Shape, _ expected: Shape, _ what: String) throws(Failure) {
    guard shape.rank == expected.rank else { throw mismatch("\(what) \(shape), expected \(expected)") }
    for (own, size) in zip(shape.dims, expected.dims) { try checkAgree(own, size, "\(what) \(shape), expected \(expected)") }
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    guard let plain = try? plain() else { return Cost() }
    return plain.cost(operands: Array(operands.prefix(3)), results: results)
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let types = try resultTypes(operands, resultCount)
    guard let sizes = try sizes(operands.map { $0?.type }), let batch = sizes.batch.value, let heads = sizes.keyHeads.value,
      let queries = sizes.queryTokens.value, let new = sizes.newTokens.value, let headDim = sizes.headDim.value, let valueDim = sizes.valueDim.value
    else { throw Failure(.operatorNotRunnable, "\(mnemonic): sizes are not known") }
    let query: Heads
    var (key, value): (Heads, Heads)
    if isProjected {
      (query, key, value) = try plain().projected(operands, sizes, mnemonic)
    } else {
      (query, key, value) = try self.operands(operands, (batch, heads, queries, new, headDim, valueDim))
    }
    // The cache, of which the first `length` tokens count.
    var (presentKey, presentValue) = (key, value)
    var length = 0
    if let past = try pastHeads(operands, (batch, heads, headDim, valueDim)) {
      let room = past.key.dims[2]
      length = room
      if let given = operands.tensor(places.length) {
        length = try whole(given, "the length of the past")
        guard 0...room ~= length, new <= room - length else {
          throw Failure(.indexOutOfRange, "\(mnemonic): \(new) tokens behind \(length) in a cache of \(room)")
        }
      }
      key = key.appended(to: past.key.prefix(length))
      value = value.appended(to: past.value.prefix(length))
      (presentKey, presentValue) = operands.tensor(places.length) == nil ? (key, value) : (past.key.replacing(key), past.value.replacing(value))
    }
    let scores = [batch, heads, queries, length + new]
    try checkRunnable(scores)
    var biases: [ScoreBias] = []
    if let mask = operands.tensor(places.mask) {
      biases.append(try ScoreBias.padding(mask, scores, hidden: op.float("mask_filter_value"), mnemonic))
    }
    if let bias = operands.tensor(places.bias) {
      guard bias.dims.count <= 4, try Broadcasting.shape([Shape(scores), Shape(bias.dims)], of: mnemonic) == Shape(scores) else {
        throw mismatch("a bias of \(bias.dims) for scores of \(scores)")
      }
      biases.append(ScoreBias(try bias.reals(for: mnemonic), bias.dims, scores: scores))
    }
    var rules = ScoreRules(firstPositions: [Int](repeating: length, count: batch))
    rules.scale = op.float("scale") == 0 ? 1 / Double(headDim).squareRoot() : op.float("scale")
    rules.after = op.flag("unidirectional") ? 0 : nil
    rules.wanted = resultCount > 3 ? .probabilities : nil
    let (output, shown) = attended(query, key, value, scores, rules, biases)
    func made(_ index: Int, _ values: [Double], _ dims: [Int]) throws(Failure) -> Tensor { try Tensor(types[index].element, dims: dims, reals: values) }
    var results = [try made(0, output.merged, types[0].dims)]
    if isProjected {
      if resultCount > 1 { results.append(try made(1, presentKey.values + presentValue.values, types[1].dims)) }
      return results
    }
    if resultCount > 1 { results.append(try made(1, presentKey.values, presentKey.dims)) }
    if resultCount > 2 { results.append(try made(2, presentValue.values, presentValue.dims)) }
    if resultCount > 3 { results.append(try made(3, shown, scores)) }
    return results
  }

  private func pastHeads(_ operands: [Tensor?], _ sizes: (batch: Int, heads: Int, headDim: Int, valueDim: Int)) throws(Failure) -> (key: Heads, value: Heads)? {
    guard let past = operands.tensor(places.past) else { return nil }
    let values = try past.reals(for: mnemonic)
    if isProjected {
      let dims = Array(past.dims.dropFirst())
      let half = values.count / 2
      return (Heads(Array(values[..<half]), dims), Heads(Array(values[half...]), dims))
    }
    let own = try operands.required(places.past + 1)
    return (Heads(values, past.dims), Heads(try own.reals(for: mnemonic), own.dims))
  }

  private func operands(
    _ operands: [Tensor?], _ sizes: (batch: Int, heads: Int, queries: Int, new: Int, headDim: Int, valueDim: Int)
  ) throws(Failure) -> (Heads, Heads, Heads) {
    let (batch, heads, queries, new, headDim, valueDim) = sizes
    let first = try operands.required(0)
    let input = try first.reals(for: mnemonic)
    guard isPackedRow(operands.map { $0?.type }) else {
      return try plain().multiHeadOperands(operands, input, batch, queries, new, heads, headDim, valueDim)
    }
    var values = input
    let width = heads * headDim
    if let bias = try operands.tensor(3)?.reals(for: mnemonic) {
      guard bias.count == 3 * width else { throw mismatch("a bias of \(bias.count) for \(3 * width) channels") }
      for index in values.indices { values[index] += bias[index % (3 * width)] }
    }
    func part(_ index: Int) -> Heads {
      Heads(merged: values, batch: batch, tokens: queries, heads: heads, channels: headDim, columns: 3 * width, from: index * width)
    }
    return (part(0), part(1), part(2))
  }
}

extension Heads {
  /// The first tokens.
  func prefix(_ tokens: Int) -> Heads {
    if tokens == dims[2] { return self }
    let (row, kept) = (dims[2] * dims[3], tokens * dims[3])
    var result = Heads([], [dims[0], dims[1], tokens, dims[3]])
    for index in 0..<dims[0] * dims[1] { result.values += values[index * row..<index * row + kept] }
    return result
  }

  /// These tokens with the first ones replaced by those of `other`.
  func replacing(_ other: Heads) -> Heads {
    var result = self
    let (row, width) = (dims[2] * dims[3], other.dims[2] * other.dims[3])
    for index in 0..<dims[0] * dims[1] {
      result.values.replaceSubrange(index * row..<index * row + width, with: other.values[index * width..<(index + 1) * width])
    }
    return result
  }
}
