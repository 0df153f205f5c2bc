internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Plain multi-head self-attention (Vaswani et al. 2017): softmax(scale Q K^T + bias) V over all tokens, in any spelling.
///
/// Anchored on the softmax. The product of two activations above it and the one below it are found; then the layouts of
/// queries, keys and values over the projected tokens tell the roles. Everything else that a softmax between two
/// products can be is refused with its reason.
enum MultiHeadAttention {
  static func recognize(_ anchor: NodeID, _ view: GraphView) -> PlainFinding? {
    guard case .softmax(.softmax(let axis)) = view.graph[anchor].op, let scores = view.graph[anchor].input(0), let probabilities = view.graph[anchor].output(0)
    else { return nil }
    do throws(Refusal) {
      guard let path = try scorePath(scores, probabilities, view) else { return nil }
      guard let product = try view.valueProduct(probabilities) else { throw Refusal(anchor, "the probabilities multiply no values") }
      let attention = try Attention(view, softmax: anchor, axis: axis, path: path, product: product)
      return .projected(try attention.block())
    } catch {
      guard let at = view.original(of: error.at) ?? view.original(of: anchor) else { return nil }
      return .nearMiss(NearMiss(at: at, lookedLike: error.family, reason: error.reason))
    }
  }

  /// A refusal counts only where the probabilities meet values: a gate's softmax is none of attention's business.
  private static func scorePath(_ scores: ValueID, _ probabilities: ValueID, _ view: GraphView) throws(Refusal) -> ScorePath? {
    do throws(Refusal) {
      return try view.scorePath(scores)
    } catch {
      do throws(Refusal) {
        if try view.valueProduct(probabilities) == nil { return nil }
      } catch {}
      throw error
    }
  }
}

/// Plain attention, or the first fact that it lacks.
enum PlainFinding {
  case projected(ProjectedAttention)
  case nearMiss(NearMiss)
}

/// One attention under examination.
private struct Attention {
  let view: GraphView
  let softmax: NodeID
  let path: ScorePath
  let product: (product: NodeID, operand: Int, steps: [NodeID], nodes: [NodeID])
  let query, key, value: TracedProjection
  let roles: HeadRoles

  init(_ view: GraphView, softmax: NodeID, axis: Int, path: ScorePath, product: (product: NodeID, operand: Int, steps: [NodeID], nodes: [NodeID]))
    throws(Refusal)
  {
    self.view = view
    self.softmax = softmax
    self.path = path
    self.product = product
    let scoreNode = view.graph[path.product]
    guard let a = scoreNode.input(0), let b = scoreNode.input(1), let v = view.graph[product.product].input(1 - product.operand) else {
      throw Refusal(path.product, "a product has no operands")
    }
    let left = try view.projection(of: a, "queries", at: path.product)
    let right = try view.projection(of: b, "keys", at: path.product)
    value = try view.projection(of: v, "values", at: product.product)
    (query, key, roles) = try Attention.solve(view, left, right, value, softmax: softmax, axis: axis, path: path, product: product)
    try checkTokens()
  }

  /// Which operand holds the queries, and what each axis is.
  private static func solve(
    _ view: GraphView, _ left: TracedProjection, _ right: TracedProjection, _ value: TracedProjection, softmax: NodeID, axis: Int, path: ScorePath,
    product: (product: NodeID, operand: Int, steps: [NodeID], nodes: [NodeID])
  ) throws(Refusal) -> (query: TracedProjection, key: TracedProjection, HeadRoles) {
    guard let l = ProductOperand(left.layout, isLeft: true), let r = ProductOperand(right.layout, isLeft: false) else {
      throw Refusal(path.product, "scores are no product of matrices")
    }
    if (l.contracted + r.contracted).contains(where: { $0.source != .channel }) {
      throw Refusal(path.product, "the product contracts tokens, so channels attend to channels", as: .crossCovariance)
    }
    guard (l.free + r.free).allSatisfy({ $0.source != .channel }) else { throw Refusal(path.product, "channels stand where tokens would") }
    let rank = max(l.batch.count, r.batch.count)
    let (lb, rb) = (l.batch(rank: rank), r.batch(rank: rank))
    let heads = (left: lb.joined().filter { $0.source == .channel }, right: rb.joined().filter { $0.source == .channel })
    if heads.left.map(\.size) != heads.right.map(\.size) { throw Refusal(path.product, "queries have other heads than keys", as: .gqa) }
    guard zip(lb, rb).allSatisfy({ $0.role(AxisSource.base) == $1.role(AxisSource.base) }) else {
      throw Refusal(path.product, "queries and keys lie differently in batch and heads")
    }

    // Scores in roles: the axis that softmax normalizes is the keys'.
    let root = AxisLayout(lb.map { $0.role(AxisSource.base) } + [l.free.role(AxisSource.query), r.free.role(AxisSource.key)])
    guard let atSoftmax = view.push(root, through: path.steps) else { throw Refusal(softmax, "scores are rearranged in a way that strides do not say") }
    let index = axis < 0 ? axis + atSoftmax.axes.count : axis
    guard atSoftmax.axes.indices.contains(index) else { throw Refusal(softmax, "the softmax has no such axis") }
    let normalized = atSoftmax.axes[index]
    let queriesAreLeft: Bool
    if normalized == AxisLayout.normalized(r.free.role(AxisSource.key)) {
      queriesAreLeft = true
    } else if normalized == AxisLayout.normalized(l.free.role(AxisSource.query)) {
      queriesAreLeft = false
    } else {
      throw Refusal(softmax, "the softmax does not run over all keys of a query")
    }
    let (query, key) = queriesAreLeft ? (left, right) : (right, left)
    let (q, k) = queriesAreLeft ? (l, r) : (r, l)
    func renamed(_ layout: AxisLayout) -> AxisLayout {
      guard !queriesAreLeft else { return layout }
      return layout.mapping { factor in
        switch factor.source {
        case .query(let axis): AxisFactor(.key(axis), stride: factor.stride, size: factor.size)
        case .key(let axis): AxisFactor(.query(axis), stride: factor.stride, size: factor.size)
        default: nil
        }
      }
    }

    // Probabilities times values.
    guard let atProduct = view.push(atSoftmax, through: product.steps).map(renamed),
      let p = ProductOperand(atProduct, isLeft: product.operand == 0), let v = ProductOperand(value.layout, isLeft: product.operand == 1)
    else { throw Refusal(product.product, "probabilities are rearranged in a way that strides do not say") }
    let keys = AxisLayout.normalized(k.free.role(AxisSource.key))
    guard p.contracted == keys else { throw Refusal(product.product, "the product with values does not run over the normalized axis") }
    guard AxisLayout.normalized(v.contracted.role(AxisSource.key)) == keys else { throw Refusal(product.product, "values are other tokens than keys") }
    guard v.free.allSatisfy({ $0.source == .channel }) else { throw Refusal(product.product, "values are contracted over channels") }
    let valueRank = max(p.batch.count, v.batch.count)
    let pb = p.batch(rank: valueRank)
    guard zip(pb, v.batch(rank: valueRank)).allSatisfy({ $0 == AxisLayout.normalized($1.role(AxisSource.base)) }) else {
      throw Refusal(product.product, "values lie differently in batch and heads than probabilities")
    }

    let queryChannels = try query.headChannels(batch: q.batch, dims: q.contracted, "queries", at: path.product)
    let keyChannels = try key.headChannels(batch: k.batch, dims: k.contracted, "keys", at: path.product)
    let valueChannels = try value.headChannels(batch: v.batch, dims: v.free, "values", at: product.product)
    let dim = AxisLayout.normalized(v.free.map { AxisFactor(.dim, size: $0.size) })
    let result = AxisLayout(pb + (product.operand == 0 ? [p.free, dim] : [dim, p.free]))
    return (
      query, key,
      HeadRoles(
        heads: queryChannels.heads, headDim: queryChannels.dims, valueDim: valueChannels.dims, queryTokens: q.free, keyTokens: k.free,
        batch: q.batch.joined().filter { $0.source != .channel }, query: queryChannels, key: keyChannels, value: valueChannels, scores: renamed(atSoftmax),
        result: result)
    )
  }

  /// Queries, keys and values must be all tokens of one tensor.
  private func checkTokens() throws(Refusal) {
    guard query.base == key.base, key.base == value.base else {
      throw Refusal(
        path.product,
        query.base == key.base ? "values are projected from other tokens than queries and keys" : "queries and keys are projected from different tokens",
        as: .cross)
    }
    let offsets = [query, key, value].map { traced in traced.layout.offsets.filter { $0.key != .channel } }
    if roles.queryTokens != roles.keyTokens || offsets.contains(where: { $0 != offsets[0] }) {
      if (roles.queryTokens.size?.value ?? 2) == 1 { throw Refusal(path.product, "one token attends to all", as: .classAttention) }
      throw Refusal(path.product, "queries are other tokens than keys", as: .cross)
    }
    guard offsets[0].isEmpty else { throw Refusal(path.product, "only a part of the tokens attends") }
    let shape = query.baseShape
    func isWhole(_ factor: AxisFactor) -> Bool {
      guard case .base(let axis) = factor.source else { return false }
      return factor.stride == 1 && factor.size == shape[axis]
    }
    guard roles.queryTokens.allSatisfy(isWhole), roles.batch.allSatisfy(isWhole) else {
      throw Refusal(path.product, "tokens attend inside windows", as: .window)
    }
    // As many groups of tokens as samples: images have them on the first axis, token tensors on either of the first two.
    guard let batch = roles.batch.size, let input = view.graph.inputs.first(where: { (view.shape($0)?.rank ?? 0) > 0 }), let sizes = view.shape(input) else {
      return
    }
    if batch != 1, !sizes.dims.prefix(sizes.rank == 3 ? 2 : 1).contains(batch) {
      throw Refusal(path.product, "tokens attend in \(batch) groups, the input holds \(sizes[0]) samples", as: roles.batch.count > 1 ? .axial : .window)
    }
  }

  func block() throws(Refusal) -> ProjectedAttention {
    let branch = try OutputBranch(view, from: product.product, roles: roles)
    let core = try core()
    let bias = ScoreBiasReading.read(path.biases, view, map: map(core) ?? query.base)
    var nodes = Set(path.nodes + product.nodes + [softmax, product.product] + branch.nodes)
    for traced in [query, key, value] { nodes.formUnion(traced.nodes) }
    guard let q = projection(query, roles.query), var k = projection(key, roles.key), let v = projection(value, roles.value) else {
      throw Refusal(path.product, "the weights of the projections are not constants")
    }
    // Where keys have no bias, packing fills it with zeros beside those of queries and values.
    if Attention.isZero(k.bias), !Attention.isZero(q.bias) || !Attention.isZero(v.bias) { k.bias = nil }
    guard let input = view.original(of: query.base), let inputLayout = inputLayout() else {
      throw Refusal(path.product, "the tokens that are projected do not stand in the graph as batch, token and channel")
    }
    let norm = view.producer(query.base).flatMap { id, node -> (NodeID, ValueID?)? in
      guard case .normalization = node.op, let original = view.original(of: id) else { return nil }
      return (original, node.input(0).flatMap { view.original(of: $0) })
    }
    let tokens = roles.queryTokens.size ?? 1
    let keys = roles.keyTokens.size ?? 1
    let (parameters, cost) = figures(q, k, v, branch.projection, tokens: tokens, keys: keys)
    return ProjectedAttention(
      name: "", family: bias.causal ? .causal : .selfAttention, heads: roles.heads, headDim: roles.headDim, valueDim: roles.valueDim, queryTokens: tokens,
      keyTokens: keys, scale: scale(), bias: bias.bias, qkNorm: query.norm ?? key.norm ?? "none", rotary: query.rotary || key.rotary, causal: bias.causal,
      input: input, inputLayout: inputLayout,
      keyInput: input, query: q, key: k, value: v, outputProjection: branch.projection, core: core, merged: branch.merged?.value,
      mergedLayout: branch.merged?.layout, output: branch.output,
      outputLayout: branch.layout, outputHasBias: branch.hasBias, norm: norm?.0, normInput: norm?.1, residualAdd: branch.residualAdd,
      residualSum: branch.residualSum,
      nodes: view.originals(of: nodes), parameters: parameters, cost: cost)
  }

  private func projection(_ traced: TracedProjection, _ channels: HeadChannels) -> Projection? {
    guard let weight = view.weightView(traced.weight, rows: traced.weightAxes.input, columns: traced.weightAxes.output, take: channels) else { return nil }
    guard let bias = traced.bias else { return Projection(weight: weight, bias: nil) }
    guard let row = view.biasView(bias, take: channels) else { return nil }
    return Projection(weight: weight, bias: row)
  }

  private static func isZero(_ bias: WeightView?) -> Bool { bias?.materialized()?.allSatisfy { $0 == 0 } ?? true }

  /// Rounding of exporters (1/sqrt(d) taken twice in single precision) is not part of the scale.
  private func scale() -> Double {
    let product = path.scale * query.scale * key.scale
    let standard = 1 / Double(roles.headDim).squareRoot()
    return abs(product - standard) <= 1e-6 * standard ? standard : abs(product - 1) <= 1e-6 ? 1 : Double(Float(product))
  }

  /// Axes of the projected tokens, when they are three.
  private func inputLayout() -> TokenLayout? {
    guard query.baseShape.rank == 3 else { return nil }
    return TokenLayout(channel: query.baseChannelAxis, tokens: roles.queryTokens.compactMap { if case .base(let axis) = $0.source { axis } else { nil } })
  }

  private func core() throws(Refusal) -> AttentionCore {
    let node = view.graph[softmax]
    if softmax.index < view.original.nodes.count, let scores = view.original[softmax].input(0), let probabilities = view.original[softmax].output(0) {
      let last = roles.scores.axes.suffix(2)
      let isQueryByKey =
        last.first?.allSatisfy { if case .query = $0.source { true } else { false } } == true
        && last.last?.allSatisfy { if case .key = $0.source { true } else { false } } == true
      guard isQueryByKey, 3...4 ~= roles.scores.axes.count else { throw Refusal(softmax, "scores do not lie as batch, head, query and key") }
      return .softmax(node: softmax, scores: scores, probabilities: probabilities, layout: roles.scores.axes.count == 4 ? .separate : .merged)
    }
    let origins = node.origins.filter { $0.index < view.original.nodes.count }
    if let fused = origins.first(where: { if case .attention = view.original[$0].op { true } else { false } }) { return .fused(node: fused) }
    // A softmax in parts: its last node gives the probabilities.
    if let input = node.input(0), let output = node.output(0), let scores = view.original(of: input), let probabilities = view.original(of: output),
      let last = view.original(of: softmax)
    {
      return .softmax(node: last, scores: scores, probabilities: probabilities, layout: roles.scores.axes.count == 4 ? .separate : .merged)
    }
    throw Refusal(softmax, "the attention map is not a value of the graph")
  }

  /// The value that the attention map, or the operator that makes it, gives.
  private func map(_ core: AttentionCore) -> ValueID? {
    switch core {
    case .softmax(_, _, let probabilities, _): probabilities
    case .fused(let node): view.original[node].output(0)
    }
  }

  /// Parameters are those of the four projections; multiply-adds those of the projections and the two
  /// products, for one sample.
  private func figures(_ q: Projection, _ k: Projection, _ v: Projection, _ output: Projection?, tokens: Dim, keys: Dim) -> (Int, Cost) {
    func count(_ projection: Projection?) -> Int {
      guard let projection else { return 0 }
      return (projection.weight.rows &* projection.weight.columns) &+ (projection.bias?.columns ?? 0)
    }
    let parameters = [q, k, v, output].reduce(0) { $0 &+ count($1) }
    guard let n = tokens.value, let m = keys.value else { return (parameters, Cost()) }
    func product(_ factors: Int...) -> Int { factors.checkedProduct ?? 0 }
    let weights =
      [q, v].map { product(n, $0.weight.rows, $0.weight.columns) }.reduce(0, &+) &+ product(m, k.weight.rows, k.weight.columns)
      &+ product(n, output?.weight.rows ?? 0, output?.weight.columns ?? 0)
    let maps = product(roles.heads, n, m, roles.headDim &+ roles.valueDim)
    return (parameters, Cost(macs: weights &+ maps, elementwise: product(roles.heads, n, m)))
  }
}

extension TokenLayout {
  /// The layout of a rank-3 tensor whose channel axis is known; a single token may stand on either of the other axes.
  init?(channel: Int, tokens: [Int]) {
    let others = [0, 1, 2].filter { $0 != channel }
    guard tokens.count <= 1, others.count == 2 else { return nil }
    let token = tokens.first ?? others[1]
    guard let batch = others.first(where: { $0 != token }) else { return nil }
    self.init(batch: batch, token: token, channel: channel)
  }
}
