internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Attention with a softmax, of any family: contraction, normalization, contraction over labelled axes.
///
/// The first product's operands tell by the kinds of their axes what is contracted (channels: tokens attend to tokens;
/// tokens: channels to channels), where heads and windows lie (batch axes), and which tokens ask which. Where no product
/// stands before the softmax, `ProjectedScores` decides.
enum SoftmaxAttention {
  static func recognize(_ anchor: NodeID, _ view: GraphView) -> Finding? {
    guard case .softmax(.softmax(let axis)) = view.graph[anchor].op, let scores = view.graph[anchor].input(0), let probabilities = view.graph[anchor].output(0),
      view.isActivation(scores)
    else { return nil }
    // A softmax over probabilities: the first of the two says what is wrong.
    if let (_, above) = view.producer(view.trace(scores).root), case .softmax = above.op { return nil }
    let plain = MultiHeadAttention.recognize(anchor, view)
    do throws(Refusal) {
      switch view.scoreSource(scores) {
      case .product(let product, let chain):
        guard let meeting = view.valueMeeting(probabilities) else {
          guard let obstacle = view.obstacle(behind: probabilities) else { throw Refusal(anchor, "the probabilities weigh no values") }
          throw Refusal(obstacle.node, obstacle.reason, isCertain: true)
        }
        let attention = try ProductAttention(view, anchor: anchor, axis: axis, product: product, chain: chain, meeting: meeting)
        var block = try attention.block()
        if case .projected(let projected)? = plain, [.selfAttention, .causal].contains(block.family), block.mechanism == "softmax" {
          block = refined(projected, by: block)
        }
        return .block(block)
      case .joined(let products, let chain):
        return try JoinedScores.recognize(anchor, products, chain, view).map { .block($0) }
      case .projection(_, let chain):
        return try ProjectedScores.recognize(anchor, axis: axis, chain: chain, view).map { .block($0) } ?? miss(plain)
      case .other:
        return try ProjectedScores.recognize(anchor, axis: axis, chain: ScoreChain(), view).map { .block($0) } ?? miss(plain)
      }
    } catch {
      if !error.isCertain, case .projected(let projected)? = plain {
        return .block(AttentionBlock(projected, anchor: view.original(of: anchor) ?? anchor))
      }
      return view.nearMiss(error, anchor: anchor)
    }
  }

  /// A softmax with the products before and behind it.
  static func nodes(around id: NodeID, _ view: GraphView) -> [NodeID] {
    guard case .softmax = view.graph[id].op, let scores = view.graph[id].input(0), let probabilities = view.graph[id].output(0) else { return [id] }
    var result = [id]
    switch view.scoreSource(scores) {
    case .product(let product, _): result.append(product)
    case .joined(let products, _): result += products
    case .projection, .other: break
    }
    if let meeting = view.valueMeeting(probabilities) { result.append(meeting.node) }
    return result
  }

  private static func miss(_ plain: PlainFinding?) -> Finding? {
    if case .nearMiss(let miss)? = plain { .nearMiss(miss) } else { nil }
  }

  /// The plain block, with what the general view adds.
  private static func refined(_ projected: ProjectedAttention, by general: AttentionBlock) -> AttentionBlock {
    var block = AttentionBlock(projected, anchor: general.anchor)
    block.geometry = general.geometry
    block.traits = general.traits
    (block.operands, block.claims) = (general.operands, general.claims)
    block.weights += general.weights.filter { $0.role == "bias" }
    block.formulas = general.formulas
    block.remarks = general.remarks
    block.width = projected.query.weight.rows
    return block
  }
}

extension GraphView {
  func nearMiss(_ refusal: Refusal, anchor: NodeID) -> Finding? {
    guard let at = original(of: refusal.at) ?? original(of: anchor) else { return nil }
    return .nearMiss(NearMiss(at: at, lookedLike: refusal.family, reason: refusal.reason))
  }

  /// A value's labelled axes; those of a constant are its own.
  func axes(_ value: ValueID) -> AxisLayout? { labels.layout(value) ?? shape(value).map { AxisLayout(identity: $0) } }
}

/// Softmax over a product of queries and keys, under examination.
struct ProductAttention {
  let view: GraphView
  let anchor: NodeID
  let product: NodeID
  let chain: ScoreChain
  let meeting: ValueMeeting
  let queryValue, keyValue, valueValue: ValueID
  let query, key, value: OperandTrace
  let q, k: ProductOperand
  let v: ProductOperand?
  let contractsTokens: Bool

  init(_ view: GraphView, anchor: NodeID, axis: Int, product: NodeID, chain: ScoreChain, meeting: ValueMeeting) throws(Refusal) {
    self.view = view
    self.anchor = anchor
    self.product = product
    self.chain = chain
    self.meeting = meeting
    guard let a = view.graph[product].input(0), let b = view.graph[product].input(1), let left = view.axes(a), let right = view.axes(b),
      let l = ProductOperand(left, isLeft: true), let r = ProductOperand(right, isLeft: false), let output = view.graph[product].output(0),
      let shape = view.shape(output), shape.rank >= 2
    else { throw Refusal(product, "the axes of the product before the softmax are not known") }
    let queriesAreLeft = try ProductAttention.queriesAreLeft(view, shape, anchor: anchor, axis: axis, chain: chain)
    (queryValue, keyValue) = queriesAreLeft ? (a, b) : (b, a)
    (q, k) = queriesAreLeft ? (l, r) : (r, l)

    let kind = view.labels.kind(l.contracted) ?? view.labels.kind(r.contracted)
    let free = [view.labels.kind(l.free), view.labels.kind(r.free)]
    if kind == .token, free.allSatisfy({ $0 == .channel || $0 == nil }), free.contains(.channel) {
      contractsTokens = true
    } else if kind == .token, !free.contains(.token) {
      throw Refusal(product, "the product contracts tokens with axes that are neither tokens nor channels")
    } else {
      contractsTokens = false
    }
    try ProductAttention.checkMeeting(view, shape, queriesAreLeft: queriesAreLeft, chain: chain, meeting: meeting)
    switch meeting.form {
    case .product(let operand):
      guard let values = view.graph[meeting.node].input(1 - operand), let layout = view.axes(values) else {
        throw Refusal(meeting.node, "the axes of the values are not known")
      }
      valueValue = values
      v = ProductOperand(layout, isLeft: operand == 1)
    case .weightedSum(_, _, let values):
      valueValue = values
      v = nil
    case .learned:
      throw Refusal(meeting.node, "probabilities of a product meet learned values", as: .talkingHeads)
    }
    query = view.operandTrace(queryValue)
    key = view.operandTrace(keyValue)
    value = view.operandTrace(valueValue)
  }

  /// Scores with roles for axes: those of the batch, then queries and keys by operand.
  private static func roleLayout(_ shape: Shape) -> AxisLayout {
    var axes = shape.dims.dropLast(2).enumerated().map { [AxisFactor(.base($0.offset), size: $0.element)] }
    axes.append([AxisFactor(.query(0), size: shape[shape.rank - 2])])
    axes.append([AxisFactor(.key(0), size: shape[shape.rank - 1])])
    return AxisLayout(axes)
  }

  /// The axis that is normalized belongs to the keys.
  private static func queriesAreLeft(_ view: GraphView, _ shape: Shape, anchor: NodeID, axis: Int, chain: ScoreChain) throws(Refusal) -> Bool {
    guard let layout = view.push(roleLayout(shape), through: chain.steps) else {
      // Where strides do not say, the last axis is taken to be what it was.
      return true
    }
    let index = axis < 0 ? axis + layout.axes.count : axis
    guard layout.axes.indices.contains(index) else { throw Refusal(anchor, "the softmax has no such axis") }
    let normalized = layout.axes[index]
    if normalized == [AxisFactor(.key(0), size: shape[shape.rank - 1])] { return true }
    if normalized == [AxisFactor(.query(0), size: shape[shape.rank - 2])] { return false }
    if shape[shape.rank - 1] == 1 || shape[shape.rank - 2] == 1, normalized.isEmpty { return shape[shape.rank - 1] == 1 }
    throw Refusal(anchor, "the softmax does not run over all keys of a query")
  }

  /// The product with values runs over what was normalized.
  private static func checkMeeting(_ view: GraphView, _ shape: Shape, queriesAreLeft: Bool, chain: ScoreChain, meeting: ValueMeeting) throws(Refusal) {
    guard let layout = view.push(roleLayout(shape), through: chain.steps + meeting.steps) else { return }
    let keys = AxisLayout.normalized([
      queriesAreLeft ? AxisFactor(.key(0), size: shape[shape.rank - 1]) : AxisFactor(.query(0), size: shape[shape.rank - 2])
    ])
    switch meeting.form {
    case .product(let operand):
      guard let p = ProductOperand(layout, isLeft: operand == 0) else { return }
      guard p.contracted == keys else {
        throw Refusal(meeting.node, "the product with values runs over queries, not over the keys that the softmax normalized")
      }
    case .weightedSum(_, let axes, _):
      guard axes.contains(where: { layout.axes.indices.contains($0) && layout.axes[$0] == keys }) else {
        throw Refusal(meeting.node, "the weighted sum does not run over the keys that the softmax normalized")
      }
    case .learned: return
    }
  }

  // MARK: Roles

  func size(_ factors: [AxisFactor], _ kind: AxisKind) -> Int {
    factors.filter { view.labels.kind($0) == kind }.compactMap(\.size.value).checkedProduct ?? 1
  }

  /// One head of keys for all leaves the queries' heads among their rows.
  var queryHeads: Int {
    let among = holdsHeads(q.free) ? size(q.free, .channel) : 1
    return size(Array(q.batch.joined()), .channel).multipliedReportingOverflow(by: among).partialValue
  }
  func holdsHeads(_ rows: [AxisFactor]) -> Bool {
    !contractsTokens && rows.contains { view.labels.kind($0) == .channel } && rows.contains { view.labels.kind($0) == .token }
  }
  var keyHeads: Int { size(Array(k.batch.joined()), .channel) }
  private var valueHeads: Int { v.map { size(Array($0.batch.joined()), .channel) } ?? 1 }

  var heads: Int {
    // Two maps for each head of values, one taken from the other (Ye et al. 2024).
    if takesDifference { return valueHeads }
    let told = max(queryHeads, keyHeads, valueHeads)
    guard told == 1, let output = view.graph[product].output(0), let layout = view.labels.layout(output), layout.axes.count == 4 else { return told }
    // Heads that were copied or learned: the batch axis that is neither samples nor places.
    return view.labels.kind(layout.axes[1]) == .other ? size(layout.axes[1], .other) : told
  }

  var queryCount: Dim { queryTokens }
  var keyCount: Dim { keyTokens }
  private var queryTokens: Dim { (holdsHeads(q.free) ? q.free.filter { view.labels.kind($0) != .channel } : q.free).size ?? 1 }
  private var keyTokens: Dim { k.free.size ?? 1 }

  var isGrouped: Bool {
    guard view.isActivation(queryValue), view.isActivation(keyValue) else { return false }
    return queryHeads > keyHeads && keyHeads == valueHeads
  }

  var takesDifference: Bool {
    guard queryHeads == keyHeads, valueHeads.multipliedReportingOverflow(by: 2).partialValue == queryHeads else { return false }
    return meeting.nodes.contains { view.graph[$0].op == .binary(.subtract) }
  }

  /// Whether queries and keys are made from one tensor.
  var hasOneSource: Bool {
    guard view.isActivation(queryValue) else { return false }
    let above = Set(view.ancestry(query.source))
    return view.ancestry(key.source).contains { above.contains($0) }
  }

  private var mixesHeads: Bool {
    (chain.mixes + meeting.mixes).contains { id in
      if case .convolution = view.graph[id].op, let w = view.graph[id].input(1), let dims = view.shape(w)?.dims {
        return dims.dropFirst(2).allSatisfy { $0 == 1 }
      }
      return true
    }
  }

  // MARK: The block

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
    // What is computed to be added to the scores, or to multiply probabilities, belongs to the block.
    let inner: Set<ValueID> = [queryValue, keyValue, valueValue, query.source, key.source, value.source]
    for extra in chain.biases.map(\.value) + meeting.gates where view.isActivation(extra) {
      nodes.formUnion(view.upstream(extra, stoppingAt: inner, limit: 32))
    }
    let linears = Set(own).union([branch?.linear].compactMap { $0 })
    let products = linears.union([product, meeting.node]).union(query.spatial + key.spatial + value.spatial + chain.mixes + meeting.mixes)
    var parameters = 0
    for linear in linears {
      let traced = [query, key, value].first { $0.linear == linear }
      parameters = parameters &+ view.parameterCount(linear, bias: traced?.bias ?? (branch?.linear == linear ? branch?.bias : nil))
    }
    var block = AttentionBlock(
      family: family, heads: heads, headDim: headDim, valueDim: valueDim, queryTokens: tokenCounts.query,
      keyTokens: tokenCounts.key,
      scale: scale, bias: bias.bias, qkNorm: normName, rotary: query.rotary || key.rotary, causal: bias.causal, geometry: grouping.geometry,
      traits: traits(grouping), input: view.original(of: query.source), output: branch.flatMap { view.original(of: $0.output) },
      residualAdd: branch?.residualAdd, residualSum: branch?.residualSum, anchor: view.original(of: anchor) ?? anchor,
      weights: weights(branch), nodes: view.originals(of: nodes), parameters: parameters, cost: view.cost(products))
    block.mechanism = ScoreMechanism.name(self) ?? (branch.map(resamples) == true ? "fcvit" : "softmax")
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
    block.remarks = remarks(branch)
    block.width = view.labels.factors(query.source, .channel).compactMap(\.size.value).checkedProduct
    if block.family == .pooled, let pool = (key.spatial + query.spatial).first { block.geometry.kernel = view.kernel(of: pool) }
    if block.family == .spatialReduction, let n = queryTokens.value, let m = keyTokens.value, m > 0, n % m == 0 { block.geometry.reduction = n / m }
    return block
  }

  /// Whether what a few pooled queries gather is laid out over all places again by a constant matrix.
  private func resamples(_ branch: BranchTrace) -> Bool {
    guard let linear = branch.linear, let n = queryTokens.value, let m = keyTokens.value, n < m, let (input, kind) = Mixing.contraction(linear, view) else {
      return false
    }
    return kind == .token && view.isActivation(input)
  }

  private var outputStart: ValueID? {
    switch meeting.form {
    case .product, .learned: view.graph[meeting.node].output(0)
    case .weightedSum(let sum, _, _): view.graph[sum].output(0)
    }
  }

  var headDim: Int? { contractsTokens ? q.free.size?.value : q.contracted.size?.value }
  var valueDim: Int? { contractsTokens ? v?.contracted.size?.value ?? headDim : v?.free.size?.value ?? headDim }
  private var tokenCounts: (query: Dim, key: Dim) {
    contractsTokens ? (q.contracted.size ?? 1, q.contracted.size ?? 1) : (queryTokens, keyTokens)
  }

  var scale: Double? {
    if chain.hasTemperature { return nil }
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

  // MARK: Family

  private func family(_ grouping: TokenGrouping, _ bias: ScoreBiasReading.Reading) -> AttentionFamily {
    if contractsTokens { return .crossCovariance }
    if mixesHeads { return .talkingHeads }
    if isGrouped { return .gqa }
    if bias.causal { return .causal }
    if view.isSampled(key.source, limit: 8), view.isSampled(value.source, limit: 8) { return .deformable }
    let selection = selection
    if queryTokens == 1, keyTokens != 1, grouping.form == .all, selection != .thinned {
      return view.isActivation(queryValue) ? .classAttention : .cross
    }
    switch grouping.form {
    case .window: return .window
    case .grid: return .grid
    case .axial: return .axial
    case .all, .units: break
    }
    if !hasOneSource { return .cross }
    if bias.isBanded { return .window }
    if seesBeyondWindow { return .window }
    if isNonLocal { return .nonLocal }
    if queryTokens != keyTokens {
      switch selection {
      case .thinned where query.spatial.isEmpty && key.spatial.isEmpty: return .selfAttention
      case .part: return .selfAttention
      case .apart: return .cross
      default: break
      }
      if !query.spatial.isEmpty || !key.spatial.isEmpty { return .pooled }
      if reduces(key, otherThan: query), !reduces(query, otherThan: key) { return .spatialReduction }
      if let n = queryTokens.value, let m = keyTokens.value, n < m { return .pooled }
      return .spatialReduction
    }
    return key.spatial.isEmpty || query.spatial.isEmpty ? .selfAttention : .pooled
  }

  /// Keys are the queries' places and some around them: one window with a halo (Vaswani et al. 2021).
  private var seesBeyondWindow: Bool {
    guard let n = queryTokens.value, let m = keyTokens.value, n < m else { return false }
    return (key.nodes + query.nodes).contains { if case .layout(.pad) = view.graph[$0].op { true } else { false } }
  }

  /// A dilated grid of which the residual stream itself is made, and no table that knows places: sequences of unfolded
  /// patches (Mehta and Rastegari 2022).
  private func isUnfolded(_ grouping: TokenGrouping, _ bias: ScoreBias) -> Bool {
    guard grouping.form == .grid, case .none = bias, let start = outputStart else { return false }
    let branch = view.branch(from: start, own: Set([query.linear, key.linear, value.linear].compactMap { $0 }))
    guard branch.residualAdd != nil, let first = view.labels.layout(branch.output)?.axes.first else { return false }
    return first.contains { view.labels.kind($0) == .token }
  }

  /// One head, convolutions as projections, no scale by the size of the head: Wang et al. 2018.
  private var isNonLocal: Bool {
    guard heads == 1, chain.biases.isEmpty, let scale, scale == 1 || abs(scale * Double(headDim ?? 1).squareRoot() - 1) > 1e-3 else { return false }
    func isConvolution(_ id: NodeID?) -> Bool { if let id, case .convolution = view.graph[id].op { true } else { false } }
    return isConvolution(query.linear) && isConvolution(key.linear)
  }

  private func traits(_ grouping: TokenGrouping) -> [String] {
    var result: [String] = []
    if contractsTokens, query.norm?.axis == .token { result.append("queries and keys of length 1 along tokens") }
    if chain.hasTemperature { result.append("a temperature for each head") }
    if chain.isCapped { result.append("scores capped by a tanh") }
    if chain.hasSink { result.append("a sink beside the keys") }
    if takesDifference { result.append("the difference of two maps") }
    if selection == .thinned || selection == .part, queryTokens != keyTokens, queryTokens != 1 { result.append("a part of the tokens asks") }
    if !view.isActivation(queryValue) { result.append("learned queries") }
    if !chain.factors.isEmpty { result.append("scores multiplied by an activation") }
    if meeting.gates.contains(where: { !view.isActivation($0) && (view.shape($0)?.rank ?? 0) >= 2 }) {
      result.append("a positional map joins the probabilities")
    }
    if isGrouped { result.append("\(keyHeads) heads of keys") }
    if queryValue == keyValue || view.isSameProjection(queryValue, keyValue) {
      result.append("one projection for queries and keys")
    } else if view.isSameProjection(keyValue, valueValue) {
      result.append("one projection for keys and values")
    }
    if seesBeyondWindow || grouping.form == .window, queryTokens != keyTokens { result.append("keys beyond the window") }
    return result
  }
}
