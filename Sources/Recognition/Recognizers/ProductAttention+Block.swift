internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

extension GraphView {
  /// Products of an attention map with constants, positions of values say, beside the product with the values.
  fileprivate func tables(weighedBy map: ValueID?) -> [NodeID] {
    var pending = [map].compactMap { $0 }
    var passed: [NodeID] = []
    var found: [NodeID] = []
    while let value = pending.popLast(), passed.count < 16 {
      for id in uses.readers(of: value) {
        let node = graph[id]
        if node.op == .matrix(.matMul), let a = node.input(0), let b = node.input(1), !isActivation(a == value ? b : a) {
          found.append(id)
        } else if Rearrangement.isRearrangement(node), let output = node.output(0) {
          passed.append(id)
          pending.append(output)
        }
      }
    }
    return found.isEmpty ? [] : passed + found
  }
}

/// What a product of queries and keys under a softmax says as a block.
extension ProductAttention {
  /// - Throws: where operands do not fit together.
  func block() throws(Refusal) -> AttentionBlock {
    let bias = ScoreBiasReading.read(chain.biases, view, map: view.original(of: anchor).flatMap { view.original[$0].output(0) } ?? query.source)
    let batch = Array(q.batch.joined()) + (view.isActivation(queryValue) ? [] : Array(k.batch.joined()))
    var grouping = TokenGrouping(view, query: queryValue, batch: batch, tokens: q.free, source: query.source)
    if grouping.form == .all {
      // Queries that all windows share: the keys tell.
      let other = TokenGrouping(view, query: keyValue, batch: Array(k.batch.joined()), tokens: k.free, source: key.source)
      if other.form == .window || other.form == .grid { grouping = other }
    }
    if (tokenCounts.key == 1 && tokenCounts.query == 1) || isUnfolded(grouping, bias.bias) {
      grouping.form = .units
      grouping.geometry.window = []
      grouping.geometry.shift = []
    }
    let start = outputStart
    let own = Set([query.linear, key.linear, value.linear].compactMap { $0 })
    let branch = start.map { view.branch(from: $0, own: own) }
    let family = family(grouping, bias)
    try checkConsistency(branch, as: family)

    var nodes = Set(chain.nodes + meeting.nodes + [anchor, product, meeting.node] + query.nodes + key.nodes + value.nodes)
    nodes.formUnion(branch?.nodes ?? [])
    nodes.formUnion(view.tables(weighedBy: view.graph[anchor].output(0)))
    // What is computed to be added to the scores, or to multiply probabilities, belongs to the block.
    let inner: Set<ValueID> = [queryValue, keyValue, valueValue, query.source, key.source, value.source]
    for extra in chain.biases.map(\.value) + meeting.gates where view.isActivation(extra) {
      nodes.formUnion(view.upstream(extra, stoppingAt: inner, limit: 32))
    }
    let mechanism = ScoreMechanism(self, branch)
    nodes.formUnion(mechanism.nodes)
    nodes.formUnion(mechanism.linears.map(\.node))
    let linears = Set(own).union([branch?.linear].compactMap { $0 })
    let products = linears.union([product, meeting.node]).union(query.spatial + key.spatial + value.spatial + chain.mixes + meeting.mixes).union(
      mechanism.linears.map(\.node))
    var parameters = 0
    for linear in linears {
      let traced = [query, key, value].first { $0.linear == linear }
      parameters = parameters &+ view.parameterCount(linear, bias: traced?.bias ?? (branch?.linear == linear ? branch?.bias : nil))
    }
    for (_, linear) in mechanism.linears where !linears.contains(linear) {
      parameters = parameters &+ view.parameterCount(linear, bias: view.graph[linear].input(2) ?? view.addedBias(linear))
    }
    var block = AttentionBlock(
      family: family, heads: heads, headDim: headDim, valueDim: valueDim, queryTokens: tokenCounts.query,
      keyTokens: tokenCounts.key,
      scale: scale, bias: bias.bias, qkNorm: mechanism.normalizesOverTokens ? "none" : normName, rotary: query.rotary || key.rotary, causal: bias.causal,
      geometry: grouping.geometry,
      traits: traits(grouping) + mechanism.traits, input: view.original(of: query.source), output: branch.flatMap { view.original(of: $0.output) },
      residualAdd: branch?.residualAdd, residualSum: branch?.residualSum, anchor: view.original(of: anchor) ?? anchor,
      weights: weights(branch) + mechanism.linears.compactMap { view.weight($0.node, as: $0.role) }, nodes: view.originals(of: nodes),
      parameters: parameters, cost: view.cost(products))
    block.mechanism = mechanism.name ?? "softmax"
    block.operands = (queryValue, keyValue, valueValue)
    block.claims = claimed(block, branch).map { [$0] } ?? []
    if let output = branch?.output ?? start {
      let gathered = Set(query.factors + key.factors + chain.scales)
      // A factor that values pass as well is none of the scale's alone; one behind another step than the product scales that too.
      let isShared = !gathered.isDisjoint(with: value.nodes) || !chain.mixes.isEmpty || chain.scalesBias || chain.isCapped || block.mechanism != "softmax"
      block.formulas = [
        BlockFormula(
          view, sources: [query.source, key.source, value.source], output: output,
          scaling: isShared ? nil : scale.map { BlockFormula.Scaling(product: product, scale: $0, gathered: gathered) })
      ]
    }
    // The multinomial logit over fields has no scale by design, and evolving maps have shares of several.
    block.remarks = ["discrete-choice", "evolving-attention"].contains(mechanism.name) ? [] : remarks(branch)
    block.width = view.labels.factors(query.source, .channel).compactMap(\.size.value).checkedProduct
    if block.family == .pooled, let pool = (key.spatial + query.spatial).first { block.geometry.kernel = view.kernel(of: pool) }
    if block.family == .spatialReduction, let n = queryTokens.value, let m = keyTokens.value, m > 0, n % m == 0 { block.geometry.reduction = n / m }
    return block
  }

  var outputStart: ValueID? {
    switch meeting.form {
    case .product, .learned: view.graph[meeting.node].output(0)
    case .weightedSum(let sum, _, _): view.graph[sum].output(0)
    }
  }

  var headDim: Int? { contractsTokens ? q.free.size?.value : q.contracted.size?.value }
  var valueDim: Int? { contractsTokens ? v?.contracted.size?.value ?? headDim : v?.free.size?.value ?? headDim }
  var tokenCounts: (query: Dim, key: Dim) {
    contractsTokens ? (q.contracted.size ?? 1, q.contracted.size ?? 1) : (queryTokens, keyTokens)
  }

  /// nil where no one number scales the scores, or where it may have gone into learned queries or keys.
  var scale: Double? {
    if chain.hasTemperature || !view.isActivation(queryValue) || !view.isActivation(keyValue) { return nil }
    let product = chain.scale * query.scale * key.scale
    let standard = 1 / Double(max(headDim ?? 1, 1)).squareRoot()
    return abs(product - standard) <= 1e-6 * standard ? standard : abs(product - 1) <= 1e-6 ? 1 : Double(Float(product))
  }

  var normName: String { query.norm?.name ?? key.norm?.name ?? "none" }

  private func weights(_ branch: BranchTrace?) -> [BlockWeight] {
    var result: [BlockWeight] = []
    func add(_ role: String, _ value: ValueID?) {
      if let value, let original = view.original(of: value) { result.append(BlockWeight(role: role, value: original)) }
    }
    add("query", query.weight)
    add("key", key.weight)
    add("value", value.weight)
    for id in chain.mixes + meeting.mixes { add("mix", view.graph[id].inputs.compactMap { $0 }.first { !view.isActivation($0) }) }
    for (bias, isMask) in chain.biases where !isMask && !view.isActivation(bias) { add("bias", bias) }
    if let linear = branch?.linear { add("output", view.graph[linear].inputs.compactMap { $0 }.first { !view.isActivation($0) }) }
    return result
  }
}
