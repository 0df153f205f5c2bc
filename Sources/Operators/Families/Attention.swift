public import Diagnostics
public import GraphIR
public import Tensors

/// The sizes of one attention, read off the operands' shapes.
struct AttentionSizes {
  var batch, queryHeads, keyHeads: Dim
  var queryTokens, newTokens, pastTokens: Dim
  var headDim, valueDim: Dim

  func keyTokens() throws(Failure) -> Dim { try pastTokens.plus(newTokens) }
}

extension AttentionOp: Operator {
  public var mnemonic: String {
    switch self {
    case .standard, .packedProjection: "Attention"
    case .multiHead: "MultiHeadAttention"
    }
  }
  public var domain: String { if case .standard = self { "" } else { "com.microsoft" } }
  public var arity: Arity {
    switch self {
    case .standard: Arity(3...7, results: 1...4)
    case .packedProjection: Arity(2...6)
    case .multiHead: Arity(1...6)
    }
  }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let query = try operands.required(0).type
    try checkFloat(query.element)
    let element = query.element
    let valueElement: ElementType
    if case .standard = self { valueElement = try operands.required(2).type.element } else { valueElement = element }
    try checkFloat(valueElement)
    func results(_ shapes: [Shape?]) -> [Fact] {
      shapes.prefix(resultCount).enumerated().map { Fact(TensorType($0.offset == 2 ? valueElement : element, $0.element)) }
    }
    guard let sizes = try sizes(operands.map { $0?.type }) else { return results([nil, nil, nil, nil]) }
    let keys = try sizes.keyTokens()
    let merged = Shape([sizes.batch, sizes.queryTokens, try sizes.queryHeads.times(sizes.valueDim)])
    let presentKey = Shape([sizes.batch, sizes.keyHeads, keys, sizes.headDim])
    let presentValue = Shape([sizes.batch, sizes.keyHeads, keys, sizes.valueDim])
    try checkOperands(operands.map { $0?.type }, sizes, keys)
    switch self {
    case .standard:
      let separate = query.shape?.rank == 4
      let scores = Shape([sizes.batch, sizes.queryHeads, sizes.queryTokens, keys])
      return results([separate ? Shape([sizes.batch, sizes.queryHeads, sizes.queryTokens, sizes.valueDim]) : merged, presentKey, presentValue, scores])
    case .packedProjection, .multiHead: return results([merged])
    }
  }

  /// Every operand has the shape that the sizes demand.
  func checkOperands(_ types: [TensorType?], _ sizes: AttentionSizes, _ keys: Dim) throws(Failure) {
    func check(_ index: Int, _ dims: [Dim]) throws(Failure) {
      guard index < types.count, let shape = types[index]?.shape else { return }
      guard shape.rank == dims.count else { throw mismatch("operand \(index) has shape \(shape)") }
      for (own, size) in zip(shape.dims, dims) { try checkAgree(own, size, "operand \(index) of shape \(shape), expected \(Shape(dims))") }
    }
    func rank(_ index: Int) -> Int { index < types.count ? types[index]?.shape?.rank ?? 0 : 0 }
    let (batch, heads, new) = (sizes.batch, sizes.keyHeads, sizes.newTokens)
    let width = try heads.times(sizes.headDim)
    let valueWidth = try heads.times(sizes.valueDim)
    let past = [[batch, heads, sizes.pastTokens, sizes.headDim], [batch, heads, sizes.pastTokens, sizes.valueDim]]
    let separate = [[batch, heads, new, sizes.headDim], [batch, heads, new, sizes.valueDim]]
    let merged = [[batch, new, width], [batch, new, valueWidth]]
    switch self {
    case .standard:
      for side in 0..<2 {
        try check(1 + side, rank(0) == 4 ? separate[side] : merged[side])
        try check(4 + side, past[side])
      }
      if types.count > 6, let lengths = types[6] {
        guard lengths.element == .int64 else { throw Failure(.typeMismatch, "\(mnemonic) has lengths of \(lengths.element.name)") }
        guard types[4] == nil, types[5] == nil else { throw Failure(.operandCount, "\(mnemonic) has lengths of keys and a past") }
        try check(6, [batch])
      }
      guard (rank(4) == 0) == (rank(5) == 0) else { throw Failure(.operandCount, "\(mnemonic) has only one of past key and past value") }
      try checkMask(types.count > 3 ? types[3] : nil, sizes, keys, mayBeShorter: true)
    case .packedProjection:
      try check(2, [try width.plus(width).plus(valueWidth)])
      guard types.count < 5 || types[4] == nil else { throw Failure(.operandCount, "\(mnemonic) with a cache of keys and values") }
      try checkMask(types.count > 5 ? types[5] : nil, sizes, keys, mayBeShorter: false)
    case .multiHead:
      switch rank(1) {
      case 3: for side in 0..<2 { try check(1 + side, merged[side]) }
      case 4: for side in 0..<2 { try check(1 + side, separate[side]) }
      case 5: try check(1, [batch, new, heads, 2, sizes.headDim])
      default: break
      }
      try checkMask(types.count > 5 ? types[5] : nil, sizes, keys, mayBeShorter: false)
    }
  }

  /// A mask or bias broadcasts to the scores; where it may be shorter, keys past its end are hidden.
  private func checkMask(_ mask: TensorType?, _ sizes: AttentionSizes, _ keys: Dim, mayBeShorter: Bool) throws(Failure) {
    guard let mask, let shape = mask.shape else { return }
    guard mask.element == .bool || mask.element.isFloatingPoint || mayBeShorter && mask.element.isInteger else {
      throw Failure(.typeMismatch, "\(mnemonic) has a mask of \(mask.element.name)")
    }
    let target = [sizes.batch, sizes.queryHeads, sizes.queryTokens, keys]
    guard shape.rank <= 4, !mayBeShorter || shape.rank > 0 else { throw mismatch("a mask of shape \(shape)") }
    for (index, (dim, size)) in zip(shape.dims.reversed(), target.reversed()).enumerated() where dim.value != 1 {
      if index == 0, mayBeShorter, let given = dim.value, let all = size.value, given <= all { continue }
      try checkAgree(dim, size, "mask \(shape) for scores \(Shape(target))")
    }
  }

  /// nil while a shape that matters is unknown.
  func sizes(_ types: [TensorType?]) throws(Failure) -> AttentionSizes? {
    func shape(_ index: Int) -> Shape? { index < types.count ? types[index]?.shape : nil }
    func given(_ index: Int) -> Bool { index < types.count && types[index] != nil }
    guard let query = shape(0) else { return nil }
    switch self {
    case .standard(let form):
      guard let key = shape(1), let value = shape(2) else { return nil }
      guard query.rank == key.rank, key.rank == value.rank, query.rank == 3 || query.rank == 4 else { throw mismatch("operands \(query), \(key), \(value)") }
      var past = Dim(0)
      if given(4) {
        guard let pastKey = shape(4) else { return nil }
        try checkRank(pastKey, 4...4, "the past key")
        past = pastKey[2]
      }
      let sizes: AttentionSizes
      if query.rank == 4 {
        sizes = AttentionSizes(
          batch: query[0], queryHeads: query[1], keyHeads: key[1], queryTokens: query[2], newTokens: key[2], pastTokens: past, headDim: query[3],
          valueDim: value[3])
        try checkAgree(key[3], query[3], "head sizes of query and key")
      } else {
        guard form.queryHeads > 0, form.keyHeads > 0 else { throw mismatch("3-D operands need the numbers of heads") }
        sizes = AttentionSizes(
          batch: query[0], queryHeads: Dim(form.queryHeads), keyHeads: Dim(form.keyHeads), queryTokens: query[1], newTokens: key[1], pastTokens: past,
          headDim: try heads(query[2], form.queryHeads), valueDim: try heads(value[2], form.keyHeads))
        try checkAgree(try heads(key[2], form.keyHeads), sizes.headDim, "head sizes of query and key")
      }
      if let many = sizes.queryHeads.value, let few = sizes.keyHeads.value, few == 0 || many % few != 0 {
        throw mismatch("\(many) query heads share \(few) key heads")
      }
      try checkAgree(key[query.rank - 2], value[query.rank - 2], "numbers of keys and values")
      return sizes
    case .packedProjection(let count, _, let hidden, _):
      guard let weights = shape(1) else { return nil }
      try checkRank(query, 3...3, "the input")
      try checkRank(weights, 2...2, "the weight")
      try checkAgree(query[2], weights[0], "input channels and weight")
      let parts = try packedSizes(weights[1], hidden)
      return AttentionSizes(
        batch: query[0], queryHeads: Dim(count), keyHeads: Dim(count), queryTokens: query[1], newTokens: query[1], pastTokens: 0,
        headDim: try heads(parts[0], count), valueDim: try heads(parts[2], count))
    case .multiHead(let count, _, _):
      func sizes(_ new: Dim, _ headDim: Dim, _ valueDim: Dim) -> AttentionSizes {
        AttentionSizes(
          batch: query[0], queryHeads: Dim(count), keyHeads: Dim(count), queryTokens: query[1], newTokens: new, pastTokens: 0, headDim: headDim,
          valueDim: valueDim)
      }
      if query.rank == 5 {
        try checkAgree(query[2], Dim(count), "heads of the packed query")
        try checkAgree(query[3], 3, "parts of the packed query")
        return sizes(query[1], query[4], query[4])
      }
      try checkRank(query, 3...3, "the query")
      let headDim = try heads(query[2], count)
      guard given(1) else { throw Failure(.operandCount, "\(mnemonic) has a query and no key") }
      guard let key = shape(1) else { return nil }
      if key.rank == 5 { return sizes(key[1], headDim, key[4]) }
      guard given(2) else { throw Failure(.operandCount, "\(mnemonic) has a key and no value") }
      guard let value = shape(2) else { return nil }
      if key.rank == 4 {
        try checkRank(value, 4...4, "the value")
        return sizes(key[2], headDim, value[3])
      }
      try checkRank(key, 3...3, "the key")
      try checkRank(value, 3...3, "the value")
      try checkAgree(key[2], query[2], "channels of query and key")
      try checkAgree(key[1], value[1], "numbers of keys and values")
      return sizes(key[1], headDim, try heads(value[2], count))
    }
  }

  /// Channels per head, or per part of a packed weight.
  private func heads(_ channels: Dim, _ count: Int) throws(Failure) -> Dim {
    guard count > 0, let size = channels.dividedExactly(by: Dim(count)) ?? (channels.value == nil ? channels.floorDivided(by: Dim(count)) : nil) else {
      throw mismatch("\(channels) channels in \(count) parts")
    }
    return size
  }

  /// Columns of the packed weight that make queries, keys and values.
  func packedSizes(_ columns: Dim, _ hidden: [Int]) throws(Failure) -> [Dim] {
    if hidden.isEmpty {
      let part = try heads(columns, 3)
      return [part, part, part]
    }
    guard hidden.count == 3, hidden.allSatisfy({ $0 > 0 }), hidden[0] == hidden[1] else { throw mismatch("hidden sizes \(hidden)") }
    let parts = hidden.map { Dim($0) }
    try checkAgree(columns, try Split.sum(parts), "columns of the packed weight and hidden sizes")
    return parts
  }

  /// The two products with the attention map, and the packed projection; five steps of softmax for every score.
  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    guard let sizes = try? sizes(operands), let keys = try? sizes.keyTokens().value, let batch = sizes.batch.value, let heads = sizes.queryHeads.value,
      let queries = sizes.queryTokens.value, let headDim = sizes.headDim.value, let valueDim = sizes.valueDim.value
    else { return Cost() }
    let scores = [batch, heads, queries, keys].reduce(1, &*)
    var macs = scores &* (headDim &+ valueDim)
    if case .packedProjection = self, operands.count > 1, let weights = operands[1]?.shape?.concrete, weights.count == 2 {
      macs = macs &+ [batch, queries, weights[0], weights[1]].reduce(1, &*)
    }
    return Cost(macs: macs, elementwise: scores &* 5)
  }
}
