internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Whether operands fit together beyond their shapes. Axes may play the right roles while heads of one operand meet other
/// heads of the next, values belong to other tokens than keys, or a mask comes too late; what is computed then is no
/// attention that a report may name, and the refusal says the fact by which it differs.
extension ProductAttention {
  /// - Throws: a certain refusal, as the family that the block would be of.
  func checkConsistency(_ branch: BranchTrace?, as family: AttentionFamily) throws(Refusal) {
    do throws(Refusal) {
      try checkRoles(branch)
    } catch {
      throw Refusal(error.at, error.reason, as: family, isCertain: true)
    }
  }

  private func checkRoles(_ branch: BranchTrace?) throws(Refusal) {
    try checkCuts()
    try checkPermutations(branch)
    try checkSources()
    try checkExchange()
    try checkAfterSoftmax()
    if let branch { try checkMerge(branch) }
  }

  private func refused(_ at: NodeID, _ reason: String) -> Refusal { Refusal(at, reason, isCertain: true) }

  // MARK: Heads

  /// How channels are cut into heads.
  private enum Cut { case headsOutermost, elementsOutermost }

  /// nil where the factors do not tell.
  private func cut(heads: [AxisFactor], elements: [AxisFactor]) -> Cut? {
    let outer = heads.filter { view.labels.kind($0) == .channel }
    guard outer.count == 1, elements.count == 1, let h = outer.first, let e = elements.first, h.source == e.source, let step = h.stride.value,
      let inner = e.stride.value, step != inner
    else { return nil }
    return step > inner ? .headsOutermost : .elementsOutermost
  }

  private var queryCut: Cut? { cut(heads: Array(q.batch.joined()), elements: contractsTokens ? q.free : q.contracted) }
  private var keyCut: Cut? { cut(heads: Array(k.batch.joined()), elements: contractsTokens ? k.free : k.contracted) }
  private var valueCut: Cut? { v.flatMap { cut(heads: Array($0.batch.joined()), elements: contractsTokens ? $0.contracted : $0.free) } }

  private func checkCuts() throws(Refusal) {
    if let a = queryCut, let b = keyCut, a != b {
      throw refused(product, "heads are permuted: queries and keys are cut into heads in different orders, heads outermost in one, elements in the other")
    }
    if let a = keyCut ?? queryCut, let b = valueCut, a != b {
      throw refused(meeting.node, "heads are permuted: values are cut into heads in another order than queries and keys")
    }
    for (trace, operand, name) in [(query, q, "queries"), (key, k, "keys")] where trace.linear != nil && isRearranged(trace) {
      // One head of keys may meet all heads of queries as rows.
      let hasHeadsAmongRows = keyHeads == 1 && name == "queries"
      if mixesTokensAndChannels(operand.free) && !hasHeadsAmongRows || mixesTokensAndChannels(operand.contracted) {
        throw refused(trace.nodes.first ?? product, "\(name) are cut into heads across tokens: heads and tokens are not transposed")
      }
    }
  }

  /// Nothing but rearrangements, factors and biases between the linear layer and the product.
  private func isRearranged(_ trace: OperandTrace) -> Bool {
    trace.nodes.allSatisfy { id in
      let node = view.graph[id]
      return id == trace.linear || Rearrangement.isRearrangement(node) || view.isFloatCast(node) || view.scalarFactor(node) != nil || node.op == .binary(.add)
    }
  }

  private func mixesTokensAndChannels(_ factors: [AxisFactor]) -> Bool {
    let kinds = Set(factors.map { view.labels.kind($0) })
    return kinds.contains(.token) && kinds.contains(.channel)
  }

  /// The output projection reads channels of one token.
  private func checkMerge(_ branch: BranchTrace) throws(Refusal) {
    guard let linear = branch.linear, heads > 1, meeting.mixes.isEmpty, branch.spatial.isEmpty, let (input, _) = Mixing.contraction(linear, view),
      let layout = view.labels.layout(input), let before = branch.nodes.firstIndex(of: linear)
    else { return }
    let between = branch.nodes[..<before].map { view.graph[$0] }
    guard between.allSatisfy({ Rearrangement.isRearrangement($0) || view.isFloatCast($0) || view.scalarFactor($0) != nil }) else { return }
    let axis: Int
    if case .convolution = view.graph[linear].op { axis = 1 } else { axis = layout.axes.count - 1 }
    guard layout.axes.indices.contains(axis) else { return }
    let factors = layout.axes[axis]
    // Evolving attention's own code does so.
    let isTold = view.graph[meeting.node].output(0).map { view.labels.kinds($0).allSatisfy { $0 != .other } } ?? false
    if mixesTokensAndChannels(factors) || view.labels.kind(factors) == .other && isTold, !between.isEmpty, chain.mixes.isEmpty, chain.factors.isEmpty {
      throw refused(linear, "heads and tokens are mixed where heads are merged: no transpose brings heads beside their elements")
    }
  }

  /// NesT's own code does so (Zhang et al. 2022), so it refuses nothing.
  func mergeRemark(_ branch: BranchTrace) -> String? {
    guard let linear = branch.linear, heads > 1, meeting.mixes.isEmpty, branch.spatial.isEmpty, valueCut != .elementsOutermost,
      let (input, _) = Mixing.contraction(linear, view), let layout = view.labels.layout(input)
    else { return nil }
    let axis = if case .convolution = view.graph[linear].op { 1 } else { layout.axes.count - 1 }
    guard layout.axes.indices.contains(axis) else { return nil }
    let factors = layout.axes[axis]
    let elements = contractsTokens ? q.free : v?.free ?? []
    let headSources = Set((q.batch + k.batch + (v?.batch ?? [])).joined().filter { view.labels.kind($0) == .channel })
    guard let e = factors.firstIndex(where: { elements.contains($0) }),
      let h = factors.firstIndex(where: { headSources.contains($0) && !elements.contains($0) }), e < h
    else { return nil }
    return "heads are permuted: they are merged with their elements outermost, but were cut with heads outermost"
  }

  private func checkPermutations(_ branch: BranchTrace?) throws(Refusal) {
    func orders(_ list: [AxisPermutation], _ isToken: Bool) -> [[Int]] { list.filter { ($0.kind == .token) == isToken }.map(\.order) }
    func at(_ lists: [AxisPermutation]...) -> NodeID { lists.lazy.compactMap(\.first?.node).first ?? product }
    let (a, b, c) = (query.permutations, key.permutations, value.permutations)
    if orders(a, false) != orders(b, false) { throw refused(at(b, a), "heads of keys are permuted against those of queries") }
    if orders(b, true) != orders(c, true) { throw refused(at(c, b), "tokens of values are permuted against those of keys") }
    if orders(a, true) != orders(b, true), hasOneSource { throw refused(at(a, b), "tokens of queries are permuted against those of keys") }
    if orders(c, false) != orders(b, false) { throw refused(at(c, b), "heads of values are permuted against those of queries and keys") }
    if let first = (chain.permutations + meeting.permutations).first {
      throw refused(
        first.node, first.kind == .token ? "tokens of the attention map are permuted before it meets values" : "heads of the attention map are permuted")
    }
    if let first = branch?.permutations.first {
      throw refused(first.node, first.kind == .token ? "tokens are permuted behind the attention map" : "heads are permuted before they are merged")
    }
  }

  // MARK: Sources

  /// Values belong to the tokens that keys were made from.
  private func checkSources() throws(Refusal) {
    guard key.linear != nil, value.linear != nil, view.isActivation(key.source), view.isActivation(value.source) else { return }
    if view.neighbors(key.source).isDisjoint(with: view.neighbors(value.source)) {
      throw refused(meeting.node, "values are made from other tokens than keys")
    }
  }

  /// Whether what is named or packed as keys asks, and what is named or packed as queries is asked.
  ///
  /// Channels that attend to channels have no such order: both ways of their product are published.
  private func checkExchange() throws(Refusal) {
    guard !contractsTokens, let a = view.channelStart(queryValue), let b = view.channelStart(keyValue) else { return }
    if view.names(ofQuery: [a.weight, a.bias], query.linear, ofKey: [b.weight, b.bias], key.linear) == .exchanged {
      throw refused(product, "queries and keys are exchanged: the softmax normalizes over what is named queries")
    }
    if a.weight == b.weight, b.offset < a.offset, hasOneSource, queryHeads == keyHeads {
      let place = view.channelStart(valueValue).map { $0.weight == a.weight ? $0.offset : .max } ?? .max
      // A weight packed as key, query, value; other orders with values between are some model's own.
      if a.offset < place {
        throw refused(product, "queries and keys are exchanged: the softmax normalizes over queries, as the weight is packed in the order query, key, value")
      }
    }
  }

  // MARK: The map

  /// What is multiplied or added behind the softmax leaves rows that do not sum to 1, unless they are normalized again.
  private func checkAfterSoftmax() throws(Refusal) {
    guard !meeting.isRenormalized else { return }
    func isMap(_ value: ValueID) -> Bool {
      guard !view.isActivation(value), let dims = view.shape(value)?.dims, dims.count >= 2 else { return false }
      return dims[dims.count - 1] != 1 && dims[dims.count - 2] != 1
    }
    let maps = meeting.multipliers.filter { isMap($0.value) }
    let addends = meeting.addends.filter { isMap($0.value) }
    if let first = maps.first, addends.isEmpty {
      let elements = BatchlessConstants.evaluate(first.value, view)?.doubles() ?? []
      let isMask = !elements.isEmpty && elements.allSatisfy { $0 == 0 || $0 == 1 }
      throw refused(
        first.node,
        isMask
          ? "a mask is applied after the softmax, so the probabilities of a query no longer sum to 1"
          : "the probabilities are multiplied by a constant map after the softmax")
    }
    if let first = addends.first, meeting.multipliers.isEmpty { throw refused(first.node, "a bias is added after the softmax instead of before it") }
  }
}

extension GraphView {
  /// Where the channels of a projected operand begin in its weight.
  func channelStart(_ operand: ValueID) -> (weight: ValueID, bias: ValueID?, offset: Int)? {
    do throws(Refusal) {
      let traced = try projection(of: operand, "", at: NodeID(raw: 0))
      return (traced.weight, traced.bias, traced.layout.offsets[.channel] ?? 0)
    } catch { return nil }
  }

  /// Whether two operands are the same channels of the same linear layer of the same tokens.
  func isSameProjection(_ a: ValueID, _ b: ValueID) -> Bool {
    guard a != b else { return true }
    do throws(Refusal) {
      let (x, y) = (try projection(of: a, "", at: NodeID(raw: 0)), try projection(of: b, "", at: NodeID(raw: 0)))
      return x.weight == y.weight && x.base == y.base && x.layout.offsets[.channel] ?? 0 == y.layout.offsets[.channel] ?? 0
    } catch { return false }
  }

  /// The tensors that a value is made from by what keeps tokens apart: norms, rearrangements, constants added. A first sum
  /// of two activations counts as either (positions that are computed), one behind a norm is a residual and does not.
  ///
  /// - Parameter passingFunctions: whether element-wise functions are passed too; a residual connection has none.
  func neighbors(_ value: ValueID, passingFunctions: Bool = true) -> Set<ValueID> {
    var result: Set<ValueID> = [value]
    var value = value
    var isNormalized = false
    for _ in 0..<24 {
      guard let (_, node) = producer(value), let input = node.input(0) else { break }
      var next: ValueID?
      switch node.op {
      case .layout(.concat):
        result.formUnion(node.inputs.compactMap { $0 }.filter { isActivation($0) })
        next = largest(node)
      case .layout, .indexing, .cast, .unary(.identity), .convolution, .pooling: next = input
      case .unary, .clip: next = passingFunctions ? input : nil
      case .normalization:
        isNormalized = true
        next = input
      case .matrix(.matMul):
        if let other = node.input(1), isActivation(input) != isActivation(other) { next = isActivation(input) ? input : other }
      case .binary:
        guard let other = node.input(1) else { break }
        if isActivation(input) != isActivation(other) {
          next = isActivation(input) ? input : other
        } else if !isNormalized {
          result.formUnion([input, other])
        }
      default: break
      }
      guard let next, isActivation(next) else { break }
      result.insert(next)
      value = next
    }
    return result
  }

  enum NamedRoles { case asNamed, exchanged }

  /// Whether names of weights, nodes or modules say that what asks is of keys and what is asked is of queries.
  func names(ofQuery query: [ValueID?], _ queryLinear: NodeID?, ofKey key: [ValueID?], _ keyLinear: NodeID?) -> NamedRoles {
    func role(_ values: [ValueID?], _ linear: NodeID?) -> String? {
      // Modules say more than constants, which exporters share where their elements are alike.
      var names: [String] = []
      for id in linear.map({ originals(of: [$0]) }) ?? [] {
        names.append(original[id].name)
        if let record = original[id].record, let noted = original.source?.metadata(ofRecord: record)["pkg.torch.onnx.name_scopes"] { names.append(noted) }
      }
      names += values.compactMap { $0.flatMap(original(of:)).map { original[$0].name } }
      for name in names {
        let words = Set(name.lowercased().split { !$0.isLetter }.map(String.init))
        let isQuery = !words.isDisjoint(with: ["q", "query", "queries", "wq"])
        let isKey = !words.isDisjoint(with: ["k", "key", "keys", "wk"])
        if isQuery != isKey { return isQuery ? "query" : "key" }
      }
      return nil
    }
    return role(query, queryLinear) == "key" && role(key, keyLinear) == "query" ? .exchanged : .asNamed
  }

  /// The first node behind probabilities that keeps them from values, in words.
  func obstacle(behind probabilities: ValueID) -> (node: NodeID, reason: String)? {
    var pending = [probabilities]
    var seen: Set<ValueID> = [probabilities]
    while let value = pending.popLast(), seen.count < 32 {
      for id in uses.readers(of: value) {
        let node = graph[id]
        switch node.op {
        case .random(let op) where op.kind == .dropout: return (id, "dropout is left in training mode between the probabilities and the values")
        case .softmax: return (id, "the probabilities pass a second softmax before they meet values")
        case .layout, .cast, .unary(.identity), .binary, .select:
          if let output = node.output(0), seen.insert(output).inserted { pending.append(output) }
        default: continue
        }
      }
    }
    return nil
  }
}
