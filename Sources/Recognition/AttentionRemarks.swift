internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// What is unusual about a block that does attend: facts that a reader of the report should see, though they refuse nothing.
extension ProductAttention {
  func remarks(_ branch: BranchTrace?) -> [String] {
    var result: [String] = []
    if let words = scaleRemark { result.append(words) }
    if chain.scalesBias, !chain.biases.isEmpty, chain.mixes.isEmpty, chain.factors.isEmpty, abs(chain.scale - 1) > 1e-6 {
      result.append("what is added to the scores is scaled with them")
    }
    for (bias, isMask) in chain.biases where !isMask {
      if let words = maskRemark(bias) { result.append(words) }
    }
    if let words = branch.flatMap(mergeRemark) { result.append(words) }
    if let residual = branch?.residual, view.isActivation(query.source), query.linear != nil, isForeign(residual) {
      result.append("the residual joins another tensor than the one that the block reads")
    }
    return result
  }

  /// Whether a tensor that the result is added to is made of none that the block reads: neither as a residual connection
  /// does it, nor as the end of a perceptron beside the attention (Dehghani et al. 2023).
  private func isForeign(_ residual: ValueID) -> Bool {
    // Queries that come from elsewhere join what the keys are made of (Hatamizadeh et al. 2023).
    let read = view.neighbors(query.source).union(view.isActivation(key.source) ? view.neighbors(key.source) : [])
    guard view.neighbors(residual, passingFunctions: false).isDisjoint(with: read) else { return false }
    guard let hidden = linearOperand(residual) else { return true }
    return view.neighbors(hidden).isDisjoint(with: read)
  }

  /// What a linear layer is applied to, where a value is its result, or that with its bias.
  private func linearOperand(_ value: ValueID) -> ValueID? {
    var product = value
    if let (_, node) = view.producer(value), node.op == .binary(.add), let a = node.input(0), let b = node.input(1),
      view.isActivation(a) != view.isActivation(b)
    {
      product = view.isActivation(a) ? a : b
    }
    guard let (_, node) = view.producer(product), node.op == .matrix(.matMul), let x = node.input(0), let weight = node.input(1) else { return nil }
    return view.isActivation(weight) ? nil : x
  }

  /// Scores of length-1 queries, of channels and of convolved features have scales of their own.
  private var scaleRemark: String? {
    guard !contractsTokens, normName != "l2", let scale, let d = headDim, d > 1, query.linear != nil, key.linear != nil else { return nil }
    let usual = 1 / Double(d).squareRoot()
    func isNear(_ value: Double) -> Bool { abs(scale - value) <= 1e-3 * abs(value) }
    if isNear(usual) { return nil }
    let said = "scale \(Float(scale))"
    if isNear(1) { return isConvolved ? nil : "scores are not scaled: head_dim^-1/2 would be \(Float(usual))" }
    if scale < 0 { return "\(said) is negative, so that a query attends to what is least like it" }
    if isNear(1 / Double(d)) { return "\(said) is 1 / head_dim, not head_dim^-1/2 = \(Float(usual))" }
    if isNear(Double(d).squareRoot()) { return "\(said) is head_dim^1/2, not head_dim^-1/2 = \(Float(usual))" }
    let width = Double(d) * Double(max(heads, 1))
    if heads > 1, isNear(1 / width.squareRoot()) { return "\(said) is that of all heads together, not head_dim^-1/2 = \(Float(usual))" }
    return "\(said) is not head_dim^-1/2 = \(Float(usual))"
  }

  private var isConvolved: Bool {
    if let linear = query.linear, case .convolution = view.graph[linear].op { true } else { false }
  }

  /// Masks that hide the wrong side, all keys of a query, or nothing.
  private func maskRemark(_ bias: ValueID) -> String? {
    guard !view.isActivation(bias), let tensor = BatchlessConstants.evaluate(bias, view), let elements = tensor.doubles(), let columns = tensor.dims.last else {
      return nil
    }
    if elements.allSatisfy({ $0 == 0 }) { return nil }
    if columns == 1, keyCount != 1 { return "what is added to the scores is the same for all keys of a query, so it changes nothing" }
    guard tensor.dims.count >= 2, elements.allSatisfy({ $0 == 0 || $0 <= -1e4 }) else { return nil }
    let rows = tensor.dims[tensor.dims.count - 2]
    var (after, before, isEmpty) = (rows == columns && rows > 1, rows == columns && rows > 1, false)
    for row in 0..<(elements.count / max(columns, 1)) {
      var open = 0
      for column in 0..<columns {
        let isOpen = elements[row * columns + column] == 0
        if isOpen { open += 1 }
        let place = row % max(rows, 1)
        if isOpen != (column >= place) { after = false }
        if isOpen != (column < place) { before = false }
      }
      if open == 0 { isEmpty = true }
    }
    if after { return "the mask is the wrong way round for a causal one: each query sees itself and what comes after it" }
    if before { return "the mask hides each query from itself: the first one sees nothing" }
    return isEmpty ? "the mask leaves some query no key" : nil
  }
}
