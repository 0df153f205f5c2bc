public import Diagnostics
public import GraphIR
internal import Glibc
public import Tensors

/// A tensor of heads: (batch, head, token, channel), row-major.
struct Heads {
  var values: [Double]
  var dims: [Int]

  /// From channels of all heads side by side: (batch, token, head * channel), of which `columns` are taken.
  init(merged values: [Double], batch: Int, tokens: Int, heads: Int, channels: Int, columns: Int, from first: Int = 0) {
    dims = [batch, heads, tokens, channels]
    self.values = offsets(dims: dims, strides: [tokens * columns, channels, columns, 1], from: first).map { values[$0] }
  }
  init(_ values: [Double], _ dims: [Int]) {
    self.values = values
    self.dims = dims
  }

  /// (batch, token, head * channel)
  var merged: [Double] {
    offsets(dims: [dims[0], dims[2], dims[1], dims[3]], strides: [dims[1] * dims[2] * dims[3], dims[3], dims[2] * dims[3], 1]).map { values[$0] }
  }

  /// Earlier tokens, then these.
  func appended(to past: Heads) -> Heads {
    var result = Heads([], [dims[0], dims[1], past.dims[2] + dims[2], dims[3]])
    let (old, new) = (past.dims[2] * dims[3], dims[2] * dims[3])
    for row in 0..<dims[0] * dims[1] {
      result.values += past.values[row * old..<(row + 1) * old]
      result.values += values[row * new..<(row + 1) * new]
    }
    return result
  }
}

/// What is added to the scores: a tensor that broadcasts to (batch, head, query, key).
struct ScoreBias {
  var values: [Double]
  var strides: [Int]
  init(_ values: [Double], _ dims: [Int], scores: [Int]) {
    self.values = values
    strides = Broadcasting.strides(of: dims, in: scores)
  }
  func at(_ batch: Int, _ head: Int, _ query: Int, _ key: Int) -> Double {
    values[batch * strides[0] + head * strides[1] + query * strides[2] + key * strides[3]]
  }
}

/// What happens to scores on their way to softmax.
struct ScoreRules {
  /// The position of each sample's first query among the keys.
  var firstPositions: [Int]
  var scale = 1.0
  var softcap = 0.0
  /// How many keys before and after its own position a query sees; nil: all.
  var before, after: Int?
  /// How many keys of each sample are no padding.
  var lengths: [Int]?
  var precision: ElementType?
  var wanted: AttentionScores?

  init(firstPositions: [Int]) { self.firstPositions = firstPositions }

  func hides(key: Int, from query: Int, batch: Int) -> Bool {
    let distance = key &- (firstPositions[batch] &+ query)
    if let after, distance > after { return true }
    if let before, distance < -before { return true }
    return lengths.map { key >= $0[batch] } ?? false
  }

  func rounded(_ score: Double) -> Double {
    switch precision {
    case .float32: Double(Float(score))
    case .float16: Double(Float16(score))
    case .bfloat16: Double(Float(bitPattern: UInt32(Tensor.bfloat16Bits(score)) << 16))
    default: score
    }
  }
}

/// `softmax(softcap(scale * Q K^T) + bias) V`; key heads are shared by groups of query heads. A row with every key
/// hidden gives zeros. Also gives the scores of the stage that the rules want, or nothing.
func attended(
  _ query: Heads, _ key: Heads, _ value: Heads, _ scores: [Int], _ rules: ScoreRules, _ biases: [ScoreBias]
) -> (Heads, [Double]) {
  let (heads, queries, keys) = (scores[1], scores[2], scores[3])
  let (headDim, valueDim) = (query.dims[3], value.dims[3])
  let sharing = key.dims[1] == 0 ? 1 : heads / key.dims[1]
  var result = Heads([Double](repeating: 0, count: scores[0] * heads * queries * valueDim), [scores[0], heads, queries, valueDim])
  var shown: [Double] = []
  var row = [Double](repeating: 0, count: keys)
  for batch in 0..<scores[0] {
    for head in 0..<heads {
      let keyHead = batch * key.dims[1] + head / sharing
      for i in 0..<queries {
        let queryStart = ((batch * heads + head) * queries + i) * headDim
        var isHidden = true
        for j in 0..<keys {
          let keyStart = (keyHead * keys + j) * headDim
          var score = 0.0
          for channel in 0..<headDim { score += query.values[queryStart + channel] * key.values[keyStart + channel] }
          score *= rules.scale
          if rules.wanted == .raw { shown.append(score) }
          if rules.softcap > 0 { score = rules.softcap * tanh(score / rules.softcap) }
          if rules.wanted == .capped { shown.append(score) }
          var bias = rules.hides(key: j, from: i, batch: batch) ? -Double.infinity : 0
          for item in biases { bias += item.at(batch, head, i, j) }
          if bias != -.infinity { isHidden = false }
          row[j] = rules.rounded(score + bias)
          if rules.wanted == .biased { shown.append(score + bias) }
        }
        guard !isHidden else {
          if rules.wanted == .probabilities { shown += [Double](repeating: 0, count: keys) }
          continue
        }
        let weights = softmaxRow(row)
        if rules.wanted == .probabilities { shown += weights }
        let target = ((batch * heads + head) * queries + i) * valueDim
        for j in 0..<keys {
          let start = (keyHead * keys + j) * valueDim
          for channel in 0..<valueDim { result.values[target + channel] += weights[j] * value.values[start + channel] }
        }
      }
    }
  }
  return (result, shown)
}

extension AttentionOp {
  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let types = try resultTypes(operands, resultCount)
    guard let sizes = try sizes(operands.map { $0?.type }), let batch = sizes.batch.value, let queryHeads = sizes.queryHeads.value,
      let keyHeads = sizes.keyHeads.value, let queries = sizes.queryTokens.value, let new = sizes.newTokens.value, let past = sizes.pastTokens.value,
      let headDim = sizes.headDim.value, let valueDim = sizes.valueDim.value
    else { throw Failure(.operatorNotRunnable, "\(mnemonic): sizes are not known") }
    let scores = [batch, queryHeads, queries, past + new]
    func reals(_ index: Int) throws(Failure) -> [Double]? { try operands.tensor(index)?.reals(for: mnemonic) }
    func split(_ values: [Double], _ tokens: Int, _ heads: Int, _ channels: Int) -> Heads {
      Heads(merged: values, batch: batch, tokens: tokens, heads: heads, channels: channels, columns: heads * channels)
    }
    let first = try operands.required(0)
    let input = try first.reals(for: mnemonic)
    var query: Heads, key: Heads, value: Heads
    var biases: [ScoreBias] = []
    let scale: Float?
    var rules = ScoreRules(firstPositions: [Int](repeating: past, count: batch))
    switch self {
    case .standard(let form):
      guard let keys = try reals(1), let values = try reals(2) else { throw Failure(.operandCount, mnemonic) }
      if first.dims.count == 4 {
        query = Heads(input, first.dims)
        key = Heads(keys, [batch, keyHeads, new, headDim])
        value = Heads(values, [batch, keyHeads, new, valueDim])
      } else {
        query = split(input, queries, queryHeads, headDim)
        key = split(keys, new, keyHeads, headDim)
        value = split(values, new, keyHeads, valueDim)
      }
      if let pastKey = try reals(4), let pastValue = try reals(5) {
        key = key.appended(to: Heads(pastKey, [batch, keyHeads, past, headDim]))
        value = value.appended(to: Heads(pastValue, [batch, keyHeads, past, valueDim]))
      }
      if let mask = operands.tensor(3) { biases.append(try standardMask(mask, scores)) }
      scale = form.scale
      rules.softcap = Double(form.softcap)
      rules.before = form.leftWindow
      // Causal attention sees no key to the right of its query, whatever the window.
      rules.after = form.causal ? min(0, form.rightWindow ?? 0) : form.rightWindow
      rules.precision = form.softmaxPrecision
      rules.wanted = resultCount > 3 ? form.scores : nil
      if let lengths = try operands.tensor(6)?.wholes(for: mnemonic) {
        rules.lengths = lengths
        rules.firstPositions = lengths.map { $0 &- queries }
      }
    case .packedProjection(_, let given, _, let isCausal):
      (query, key, value) = try projected(operands, sizes, mnemonic)
      if let mask = operands.tensor(3) { biases.append(try ScoreBias.padding(mask, scores, hidden: -10000, mnemonic)) }
      if let bias = operands.tensor(5) { biases.append(ScoreBias(try bias.reals(for: mnemonic), bias.dims, scores: scores)) }
      scale = given
      rules.after = isCausal ? 0 : nil
    case .multiHead(_, let given, let isCausal):
      (query, key, value) = try multiHeadOperands(operands, input, batch, queries, new, keyHeads, headDim, valueDim)
      if let mask = operands.tensor(4) { biases.append(try ScoreBias.padding(mask, scores, hidden: -10000, mnemonic)) }
      if let bias = operands.tensor(5) { biases.append(ScoreBias(try bias.reals(for: mnemonic), bias.dims, scores: scores)) }
      scale = given
      rules.after = isCausal ? 0 : nil
    }
    rules.scale = scale.map { Double($0) } ?? 1 / Double(headDim).squareRoot()
    let (output, shown) = attended(query, key, value, scores, rules, biases)
    let element = types[0].element
    var results = [try Tensor(element, dims: types[0].dims, reals: types[0].dims.count == 4 ? output.values : output.merged)]
    if resultCount > 1 { results.append(try Tensor(types[1].element, dims: types[1].dims, reals: key.values)) }
    if resultCount > 2 { results.append(try Tensor(types[2].element, dims: types[2].dims, reals: value.values)) }
    if resultCount > 3 { results.append(try Tensor(types[3].element, dims: types[3].dims, reals: shown)) }
    return results
  }

  /// A mask of the standard operator: false or -inf hides a key; keys beyond its last axis are hidden.
  private func standardMask(_ mask: Tensor, _ scores: [Int]) throws(Failure) -> ScoreBias {
    let values = mask.elementType == .bool ? mask.truths().map { $0 ? 0 : -Double.infinity } : try mask.reals(for: mnemonic)
    guard let own = mask.dims.last, own != 1, own < scores[3] else { return ScoreBias(values, mask.dims, scores: scores) }
    var wide: [Double] = []
    for row in 0..<mask.dims.dropLast().reduce(1, *) {
      wide += values[row * own..<(row + 1) * own]
      wide += [Double](repeating: -.infinity, count: scores[3] - own)
    }
    return ScoreBias(wide, mask.dims.dropLast() + [scores[3]], scores: scores)
  }

  /// Queries, keys and values that the packed weight of com.microsoft's Attention makes: input, weight, bias?.
  func projected(_ operands: [Tensor?], _ sizes: AttentionSizes, _ mnemonic: String) throws(Failure) -> (Heads, Heads, Heads) {
    let (input, weights) = (try operands.required(0), try operands.required(1))
    let hidden = if case .packedProjection(_, _, let hidden, _) = self { hidden } else { [Int]() }
    guard input.dims.count == 3, weights.dims.count == 2, let heads = sizes.keyHeads.value, let headDim = sizes.headDim.value,
      let valueDim = sizes.valueDim.value
    else { throw Failure(.operatorNotRunnable, "\(mnemonic): sizes are not known") }
    let (batch, tokens, inner, columns) = (input.dims[0], input.dims[1], weights.dims[0], weights.dims[1])
    let widths = try packedSizes(Dim(columns), hidden).compactMap(\.value)
    var values = ReferenceProduct(
      aBatches: [0], bBatches: [0], aRows: steps(batch * tokens, by: inner), aInner: steps(inner, by: 1), bInner: steps(inner, by: columns),
      bColumns: steps(columns, by: 1))(try input.reals(for: mnemonic), try weights.reals(for: mnemonic))
    if let bias = try operands.tensor(2)?.reals(for: mnemonic) {
      guard bias.count == columns else { throw mismatch("a bias of \(bias.count) for \(columns) channels") }
      for index in values.indices { values[index] += bias[index % columns] }
    }
    func part(_ start: Int, _ channels: Int) -> Heads {
      Heads(merged: values, batch: batch, tokens: tokens, heads: heads, channels: channels, columns: columns, from: start)
    }
    return (part(0, headDim), part(widths[0], headDim), part(widths[0] + widths[1], valueDim))
  }

  func multiHeadOperands(
    _ operands: [Tensor?], _ input: [Double], _ batch: Int, _ queries: Int, _ new: Int, _ heads: Int, _ headDim: Int, _ valueDim: Int
  ) throws(Failure) -> (Heads, Heads, Heads) {
    let bias = try operands.tensor(3)?.reals(for: mnemonic) ?? []
    let (width, valueWidth) = (heads * headDim, heads * valueDim)
    guard bias.isEmpty || bias.count == 2 * width + valueWidth else { throw mismatch("a bias of \(bias.count)") }
    func biased(_ values: [Double], _ width: Int, _ start: Int) -> [Double] {
      bias.isEmpty ? values : values.indices.map { values[$0] + bias[start + $0 % width] }
    }
    func split(_ values: [Double], _ tokens: Int, _ channels: Int, _ start: Int) -> Heads {
      Heads(merged: biased(values, heads * channels, start), batch: batch, tokens: tokens, heads: heads, channels: channels, columns: heads * channels)
    }
    /// (batch, token, head, part, channel)
    func unpacked(_ values: [Double], _ tokens: Int, _ parts: Int, _ part: Int, _ channels: Int, _ start: Int) -> Heads {
      let step = heads * parts * channels
      let places = offsets(dims: [batch, tokens, heads, channels], strides: [tokens * step, step, parts * channels, 1], from: part * channels)
      return split(places.map { values[$0] }, tokens, channels, start)
    }
    if operands.tensor(0)?.dims.count == 5 {
      return (
        unpacked(input, queries, 3, 0, headDim, 0), unpacked(input, queries, 3, 1, headDim, width), unpacked(input, queries, 3, 2, headDim, 2 * width)
      )
    }
    let query = split(input, queries, headDim, 0)
    let keyTensor = try operands.required(1)
    let keys = try keyTensor.reals(for: mnemonic)
    if keyTensor.dims.count == 5 { return (query, unpacked(keys, new, 2, 0, headDim, width), unpacked(keys, new, 2, 1, valueDim, 2 * width)) }
    let values = try operands.required(2).reals(for: mnemonic)
    if keyTensor.dims.count == 4 {
      // Keys and values that come as heads were biased before.
      return (query, Heads(keys, [batch, heads, new, headDim]), Heads(values, [batch, heads, new, valueDim]))
    }
    return (query, split(keys, new, headDim, width), split(values, new, valueDim, 2 * width))
  }
}
