internal import Diagnostics
internal import Glibc
internal import GraphIR
internal import Tensors

/// LinearAttention (ONNX 27): query, key, value (batch, token, head * channel), past state?, decay?, beta?; results output
/// and present state (batch, key head, key channel, value channel). One step for each token: the state decays, may take
/// back what it would have answered for the key (the delta rule), and takes in `key (x) value`.
struct LinearAttention: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(3...6, results: 1...2) }

  private var decays: Bool { op.word("update_rule").hasPrefix("gated") }
  private var corrects: Bool { op.word("update_rule").hasSuffix("delta") }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let (queryHeads, keyHeads) = (op.int("q_num_heads"), op.int("kv_num_heads"))
    guard queryHeads > 0, keyHeads > 0, queryHeads % keyHeads == 0, queryHeads < 1 << 20 else {
      throw badAttribute("\(queryHeads) query heads share \(keyHeads) key heads")
    }
    let element = try operands.sharedElement([0, 1, 2, 4, 5], of: mnemonic)
    try checkFloat(element)
    guard (operands.fact(4) != nil) == decays, (operands.fact(5) != nil) == corrects else {
      throw Failure(.operandCount, "\(mnemonic) with update rule '\(op.word("update_rule"))' has a decay or beta too few or too many")
    }
    let state = operands.fact(3)?.type.element ?? element
    var shapes: [Shape] = []
    for index in 0..<3 {
      guard let shape = try operands.required(index).type.shape else { return Array([Fact(TensorType(element, nil)), Fact(TensorType(state, nil))].prefix(resultCount)) }
      try checkRank(shape, 3...3, "operand \(index)")
      shapes.append(shape)
    }
    let (query, key, value) = (shapes[0], shapes[1], shapes[2])
    let keySize = try perHead(query[2], queryHeads)
    let valueSize = try perHead(value[2], keyHeads)
    for (axis, what) in [(0, "batches"), (1, "tokens")] {
      try checkAgree(query[axis], key[axis], "\(what) of query and key")
      try checkAgree(query[axis], value[axis], "\(what) of query and value")
    }
    try checkAgree(try perHead(key[2], keyHeads), keySize, "head sizes of query and key")
    let present = Shape([query[0], Dim(keyHeads), keySize, valueSize])
    if let past = operands.fact(3)?.type.shape {
      try checkRank(past, 4...4, "the past state")
      for (a, b) in zip(past.dims, present.dims) { try checkAgree(a, b, "the past state \(past), expected \(present)") }
    }
    for (index, widths) in [(4, [Dim(keyHeads), try keySize.times(Dim(keyHeads))]), (5, [Dim(keyHeads), 1])] {
      guard let shape = operands.fact(index)?.type.shape else { continue }
      try checkRank(shape, 3...3, "operand \(index)")
      guard shape[0].agrees(with: query[0]), shape[1].agrees(with: query[1]), widths.contains(where: { shape[2].agrees(with: $0) }) else {
        throw mismatch("operand \(index) has shape \(shape)")
      }
    }
    let output = Shape([query[0], query[1], try valueSize.times(Dim(queryHeads))])
    return Array([Fact(TensorType(element, output)), Fact(TensorType(state, present))].prefix(resultCount))
  }

  private func perHead(_ channels: Dim, _ heads: Int) throws(Failure) -> Dim {
    if let exact = channels.dividedExactly(by: Dim(heads)) { return exact }
    guard channels.value == nil else { throw mismatch("\(channels) channels in \(heads) heads") }
    return try channels.floored(by: Dim(heads))
  }

  /// Each token writes to and reads from the states of all heads.
  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    guard let key = operands.count > 1 ? operands[1]?.shape?.concrete : nil, let value = results.first?.shape?.concrete, key.count == 3, value.count == 3 else { return Cost() }
    return Cost(macs: 2 &* key[0] &* key[1] &* key[2] &* value[2])
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let types = try resultTypes(operands, 2)
    let (queryHeads, keyHeads) = (op.int("q_num_heads"), op.int("kv_num_heads"))
    let present = types[1].dims
    let (batch, keySize, valueSize) = (present[0], present[2], present[3])
    let tokens = types[0].dims[1]
    let query = try operands.required(0).reals(for: mnemonic)
    let key = try operands.required(1).reals(for: mnemonic)
    let value = try operands.required(2).reals(for: mnemonic)
    let decay = try operands.tensor(4)?.reals(for: mnemonic)
    let beta = try operands.tensor(5)?.reals(for: mnemonic)
    let decayWidth = operands.tensor(4)?.dims[2] ?? 0
    let betaWidth = operands.tensor(5)?.dims[2] ?? 0
    var state = try operands.tensor(3)?.reals(for: mnemonic) ?? [Double](repeating: 0, count: present.reduce(1, *))
    let scale = op.float("scale") == 0 ? 1 / Double(keySize).squareRoot() : op.float("scale")
    let sharing = queryHeads / keyHeads
    var output = [Double](repeating: 0, count: batch * tokens * queryHeads * valueSize)
    for sample in 0..<batch {
      for token in 0..<tokens {
        let row = sample * tokens + token
        for head in 0..<keyHeads {
          let own = (sample * keyHeads + head) * keySize * valueSize
          let keyStart = (row * keyHeads + head) * keySize
          let valueStart = (row * keyHeads + head) * valueSize
          if let decay {
            for channel in 0..<keySize {
              let factor = exp(decay[row * decayWidth + (decayWidth == keyHeads ? head : head * keySize + channel)])
              for column in 0..<valueSize { state[own + channel * valueSize + column] *= factor }
            }
          }
          var written = Array(value[valueStart..<valueStart + valueSize])
          if let beta {
            let rate = beta[row * betaWidth + (betaWidth == 1 ? 0 : head)]
            for channel in 0..<keySize {
              for column in 0..<valueSize { written[column] -= state[own + channel * valueSize + column] * key[keyStart + channel] }
            }
            for column in 0..<valueSize { written[column] *= rate }
          }
          for channel in 0..<keySize {
            for column in 0..<valueSize { state[own + channel * valueSize + column] += key[keyStart + channel] * written[column] }
          }
          for reader in head * sharing..<(head + 1) * sharing {
            let from = (row * queryHeads + reader) * keySize
            let target = (row * queryHeads + reader) * valueSize
            for channel in 0..<keySize {
              let factor = scale * query[from + channel]
              for column in 0..<valueSize { output[target + column] += factor * state[own + channel * valueSize + column] }
            }
          }
        }
      }
    }
    let results = [try Tensor(types[0].element, dims: types[0].dims, reals: output), try Tensor(types[1].element, dims: present, reals: state)]
    return Array(results.prefix(resultCount))
  }
}

/// CausalConvWithState (ONNX 27): input (batch, channel, length), weight (channel, 1, k), bias?, past state?; results
/// output and present state: a depthwise convolution that sees the past only, and the last k - 1 positions.
struct CausalConvWithState: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(2...4, results: 1...2) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0).type
    let element = try operands.sharedElement([0, 1, 2, 3], of: mnemonic)
    try checkFloat(element)
    try checkRank(operands.fact(0), 3, "the input")
    try checkRank(operands.fact(1), 3, "the weight")
    let weight = try operands.required(1).type.shape
    if let weight {
      try checkAgree(weight[1], 1, "channels of a depthwise weight")
      if weight[2].value == 0 { throw mismatch("a kernel of size 0") }
    }
    let kept = try weight.map { (weight) throws(Failure) in try weight[2].minus(1) } ?? .unknown
    let batch = x.shape?[0] ?? .unknown
    let channels = x.shape?[1] ?? weight?[0] ?? .unknown
    if let weight, x.shape != nil { try checkAgree(weight[0], channels, "channels of input and weight") }
    if let bias = operands.fact(2)?.type.shape {
      try checkRank(bias, 1...1, "the bias")
      if channels != .unknown { try checkAgree(bias[0], channels, "channels of the bias") }
    }
    let present = Shape([batch, channels, kept])
    if let past = operands.fact(3)?.type.shape {
      try checkRank(past, 3...3, "the past state")
      for (a, b) in zip(past.dims, present.dims) where b != .unknown { try checkAgree(a, b, "the past state \(past), expected \(present)") }
    }
    return Array([Fact(TensorType(element, x.shape)), Fact(TensorType(element, present))].prefix(resultCount))
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    let width = operands.count > 1 ? operands[1]?.shape?.concrete?.last ?? 0 : 0
    return Cost(macs: (results.first?.elementCount ?? 0) &* width)
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let types = try resultTypes(operands, 2)
    let dims = types[0].dims
    let kept = types[1].dims[2]
    let x = try operands.required(0).reals(for: mnemonic)
    let weight = try operands.required(1).reals(for: mnemonic)
    let bias = try operands.tensor(2)?.reals(for: mnemonic)
    let past = try operands.tensor(3)?.reals(for: mnemonic)
    let (channels, length) = (dims[1], dims[2])
    var output: [Double] = []
    var present: [Double] = []
    let activated = op.word("activation") != "none"
    for row in 0..<dims[0] * channels {
      let padded = (past.map { Array($0[row * kept..<(row + 1) * kept]) } ?? [Double](repeating: 0, count: kept)) + x[row * length..<(row + 1) * length]
      let channel = row % channels
      for position in 0..<length {
        var sum = bias?[channel] ?? 0
        for tap in 0...kept { sum += padded[position + tap] * weight[channel * (kept + 1) + tap] }
        // The convolution's result is rounded to its type before the activation.
        sum = types[0].element.rounding(sum)
        output.append(activated ? sum / (1 + exp(-sum)) : sum)
      }
      present += padded[length...]
    }
    let results = [try Tensor(types[0].element, dims: dims, reals: output), try Tensor(types[1].element, dims: types[1].dims, reals: present)]
    return Array(results.prefix(resultCount))
  }
}
