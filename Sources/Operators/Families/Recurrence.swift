public import Diagnostics
public import GraphIR
internal import Glibc
public import Tensors

extension RecurrenceOp: Operator {
  public var mnemonic: String {
    switch self {
    case .linearAttention: "LinearAttention"
    case .causalConvolution: "CausalConvWithState"
    }
  }
  public var domain: String { "" }
  public var arity: Arity {
    switch self {
    case .linearAttention: Arity(3...6, results: 1...2)
    case .causalConvolution: Arity(2...4, results: 1...2)
    }
  }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let element = try operands.required(0).type.element
    try checkFloat(element)
    for operand in operands { if let operand { try checkFloat(operand.type.element) } }
    func shape(_ index: Int) throws(Failure) -> Shape? { operands.fact(index)?.type.shape }
    func check(_ index: Int, _ dims: [Dim]) throws(Failure) {
      guard let own = try shape(index) else { return }
      guard own.rank == dims.count else { throw mismatch("operand \(index) has shape \(own)") }
      for (dim, size) in zip(own.dims, dims) { try checkAgree(dim, size, "operand \(index) of shape \(own), expected \(Shape(dims))") }
    }
    switch self {
    case .linearAttention(let form):
      let stateElement = operands.fact(3)?.type.element ?? element
      guard form.queryHeads > 0, form.keyHeads > 0, form.queryHeads % form.keyHeads == 0 else {
        throw mismatch("\(form.queryHeads) query heads share \(form.keyHeads) key heads")
      }
      guard form.rule == .linear || form.rule == .delta || operands.fact(4) != nil else { throw Failure(.operandCount, "\(mnemonic) has no decay") }
      guard form.rule == .linear || form.rule == .gated || operands.fact(5) != nil else { throw Failure(.operandCount, "\(mnemonic) has no update rate") }
      guard let query = try shape(0), let key = try shape(1), let value = try shape(2) else {
        return Array([Fact(TensorType(element, .unknown(rank: 3))), Fact(TensorType(stateElement, .unknown(rank: 4)))].prefix(resultCount))
      }
      for own in [query, key, value] { try checkRank(own, 3...3, "an operand") }
      func part(_ dim: Dim, _ heads: Int) throws(Failure) -> Dim {
        guard let size = dim.value else { return try dim.floored(by: Dim(heads)) }
        guard size % heads == 0 else { throw mismatch("\(size) channels in \(heads) heads") }
        return Dim(size / heads)
      }
      let keyDim = try part(key[2], form.keyHeads)
      let valueDim = try part(value[2], form.keyHeads)
      try checkAgree(try part(query[2], form.queryHeads), keyDim, "head sizes of query and key")
      for own in [key, value] { for axis in 0..<2 { try checkAgree(own[axis], query[axis], "batch and tokens") } }
      let state = [query[0], Dim(form.keyHeads), keyDim, valueDim]
      try check(3, state)
      if let decay = try shape(4) {
        try checkRank(decay, 3...3, "the decay")
        if let width = decay[2].value, width != form.keyHeads { try checkAgree(decay[2], key[2], "channels of the decay") }
        for axis in 0..<2 { try checkAgree(decay[axis], query[axis], "batch and tokens of the decay") }
      }
      if let beta = try shape(5) {
        try checkRank(beta, 3...3, "the update rate")
        if let width = beta[2].value, width != 1 { try checkAgree(beta[2], Dim(form.keyHeads), "channels of the update rate") }
        for axis in 0..<2 { try checkAgree(beta[axis], query[axis], "batch and tokens of the update rate") }
      }
      let made = Shape([query[0], query[1], try valueDim.times(Dim(form.queryHeads))])
      return Array([Fact(TensorType(element, made)), Fact(TensorType(stateElement, Shape(state)))].prefix(resultCount))
    case .causalConvolution:
      _ = try operands.sharedElement([0, 1, 2, 3], of: mnemonic)
      guard let x = try shape(0), let weight = try shape(1) else {
        return Array([Fact(TensorType(element, .unknown(rank: 3))), Fact(TensorType(element, .unknown(rank: 3)))].prefix(resultCount))
      }
      try checkRank(x, 3...3, "the input")
      try checkRank(weight, 3...3, "the weight")
      try checkAgree(weight[0], x[1], "channels of input and weight")
      try checkAgree(weight[1], 1, "the weight's second axis")
      if let size = weight[2].value, size < 1 { throw mismatch("a kernel of \(size)") }
      let state = [x[0], x[1], try weight[2].minus(1)]
      try check(2, [x[1]])
      try check(3, state)
      return Array([Fact(TensorType(element, x)), Fact(TensorType(element, Shape(state)))].prefix(resultCount))
    }
  }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    switch self {
    case .linearAttention(let form):
      // Each token updates and reads the whole state.
      guard let key = operands.count > 1 ? operands[1]?.shape?.concrete : nil, key.count == 3,
        let value = operands.count > 2 ? operands[2]?.shape?.concrete : nil,
        value.count == 3, form.keyHeads > 0
      else { return Cost() }
      let state = [key[0], key[1], key[2] / form.keyHeads, value[2]].reduce(1, &*)
      let delta = form.rule == .delta || form.rule == .gatedDelta
      return Cost(macs: state &* (delta ? 3 : 2))
    case .causalConvolution:
      let kernel = operands.count > 1 ? operands[1]?.shape?.concrete?.last ?? 0 : 0
      return Cost(macs: (results.first?.elementCount ?? 0) &* kernel)
    }
  }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let types = try resultTypes(operands, 2)
    var values: [[Double]?] = []
    for index in 0..<6 { values.append(try operands.tensor(index)?.reals(for: mnemonic)) }
    let results: (output: [Double], state: [Double])
    switch self {
    case .linearAttention(let form): results = try attended(form, operands, values, types[1].dims)
    case .causalConvolution(let swish): results = try convolved(operands, values, types[1].dims, swish: swish)
    }
    let made = [
      try Tensor(types[0].element, dims: types[0].dims, reals: results.output), try Tensor(types[1].element, dims: types[1].dims, reals: results.state),
    ]
    return Array(made.prefix(resultCount))
  }

  /// `S = g S + b k (v - g S^T k)^T` (or without gate and delta), `o = scale S^T q`, token by token.
  private func attended(
    _ form: LinearAttention, _ operands: [Tensor?], _ values: [[Double]?], _ stateDims: [Int]
  ) throws(Failure) -> (output: [Double], state: [Double]) {
    guard let query = values[0], let key = values[1], let value = values[2], let dims = operands.tensor(0)?.dims else {
      throw Failure(.operandCount, mnemonic)
    }
    let (batch, tokens) = (dims[0], dims[1])
    let (heads, keyDim, valueDim) = (form.keyHeads, stateDims[2], stateDims[3])
    let sharing = form.queryHeads / heads
    let gated = form.rule == .gated || form.rule == .gatedDelta
    let delta = form.rule == .delta || form.rule == .gatedDelta
    let decayWidth = operands.tensor(4)?.dims[2] ?? 0
    let betaWidth = operands.tensor(5)?.dims[2] ?? 0
    let scale = form.scale == 0 ? 1 / Double(keyDim).squareRoot() : Double(form.scale)
    var state = values[3] ?? [Double](repeating: 0, count: stateDims.reduce(1, *))
    var output = [Double](repeating: 0, count: batch * tokens * form.queryHeads * valueDim)
    var error = [Double](repeating: 0, count: valueDim)
    for sample in 0..<batch {
      for head in 0..<heads {
        let base = (sample * heads + head) * keyDim * valueDim
        for token in 0..<tokens {
          let row = sample * tokens + token
          let keyStart = (row * heads + head) * keyDim
          let valueStart = (row * heads + head) * valueDim
          if gated, let decay = values[4] {
            for k in 0..<keyDim {
              let gate = exp(decay[row * decayWidth + (decayWidth == heads ? head : head * keyDim + k)])
              for v in 0..<valueDim { state[base + k * valueDim + v] *= gate }
            }
          }
          for v in 0..<valueDim { error[v] = value[valueStart + v] }
          if delta, let beta = values[5] {
            for k in 0..<keyDim { for v in 0..<valueDim { error[v] -= state[base + k * valueDim + v] * key[keyStart + k] } }
            let rate = beta[row * betaWidth + (betaWidth == 1 ? 0 : head)]
            for v in 0..<valueDim { error[v] *= rate }
          }
          for k in 0..<keyDim { for v in 0..<valueDim { state[base + k * valueDim + v] += key[keyStart + k] * error[v] } }
          for shared in 0..<sharing {
            let place = row * form.queryHeads + head * sharing + shared
            for k in 0..<keyDim {
              let factor = scale * query[place * keyDim + k]
              for v in 0..<valueDim { output[place * valueDim + v] += factor * state[base + k * valueDim + v] }
            }
          }
        }
      }
    }
    return (output, state)
  }

  private func convolved(
    _ operands: [Tensor?], _ values: [[Double]?], _ stateDims: [Int], swish: Bool
  ) throws(Failure) -> (output: [Double], state: [Double]) {
    guard let x = values[0], let weight = values[1], let dims = operands.tensor(0)?.dims else { throw Failure(.operandCount, mnemonic) }
    let (channels, length, past) = (dims[1], dims[2], stateDims[2])
    var output: [Double] = []
    output.reserveCapacity(x.count)
    var state: [Double] = []
    for row in 0..<dims[0] * channels {
      let channel = row % channels
      let earlier = values[3].map { Array($0[row * past..<(row + 1) * past]) } ?? [Double](repeating: 0, count: past)
      let line = earlier + x[row * length..<(row + 1) * length]
      for place in 0..<length {
        var sum = values[2]?[channel] ?? 0
        for tap in 0...past { sum += line[place + tap] * weight[channel * (past + 1) + tap] }
        output.append(swish ? sum * logistic(sum) : sum)
      }
      state += line.suffix(past)
    }
    return (output, state)
  }
}
