internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Softmax over what a linear layer says, with no product of queries and keys before it: factorized attention, global
/// context, separable attention, outlook attention, sampled points, selective kernels, external memory.
enum ProjectedScores {
  static func recognize(_ anchor: NodeID, axis: Int, chain: ScoreChain, _ view: GraphView) throws(Refusal) -> AttentionBlock? {
    guard let scores = view.graph[anchor].input(0), let probabilities = view.graph[anchor].output(0), let layout = view.axes(scores),
      let meeting = view.valueMeeting(probabilities)
    else { return nil }
    let index = axis < 0 ? axis + layout.axes.count : axis
    guard layout.axes.indices.contains(index) else { return nil }
    let site = Site(
      view: view, anchor: anchor, scores: scores, layout: layout, axis: index, kind: view.labels.kind(layout.axes[index]), chain: chain, meeting: meeting)
    switch meeting.form {
    case .product(let operand): return site.product(operand)
    case .weightedSum(let sum, let axes, let values): return site.weightedSum(sum, axes, values)
    case .learned: return site.learned()
    }
  }

  private struct Site {
    let view: GraphView
    let anchor: NodeID
    let scores: ValueID
    let layout: AxisLayout
    let axis: Int
    let kind: AxisKind?
    let chain: ScoreChain
    let meeting: ValueMeeting

    func product(_ operand: Int) -> AttentionBlock? {
      let node = view.graph[meeting.node]
      guard let weighing = node.input(operand), let values = node.input(1 - operand), let own = view.axes(weighing), let other = view.axes(values),
        let p = ProductOperand(own, isLeft: operand == 0), let v = ProductOperand(other, isLeft: operand == 1)
      else { return nil }
      let contracted = view.labels.kind(p.contracted)
      let heads = size(p.batch, .channel)
      // A number for each pair of places, of what was added to each other there: Bahdanau et al. 2015.
      if kind == .token, contracted == .token, view.labels.kind(p.free) == .token, view.labels.kind(v.free) == .channel,
        !view.reaches(scores, limit: 24, { view.isProductOfActivations($0) })
      {
        return make(.additive, heads: nil, dim: v.free.size?.value, values, tokens: p.free.size ?? 1, extra: [])
      }
      if kind == .token, contracted == .token {
        let free = p.free.size?.value ?? 1
        if free == 1, view.labels.kind(v.free) == .channel {
          return make(.globalContext, heads: nil, dim: nil, values, tokens: p.contracted.size ?? 1, extra: [])
        }
        guard view.labels.kind(p.free) == .channel, let output = node.output(0) else { return nil }
        guard let second = view.nextProduct(output) else {
          // Several vectors gathered by a map each, and nobody asks for them (Ryoo et al. 2021).
          guard view.labels.kind(v.free) == .channel, heads == 1 else { return nil }
          var block = make(.globalContext, heads: nil, dim: nil, values, tokens: p.contracted.size ?? 1, extra: [])
          block.traits = ["\(free) maps"]
          return block
        }
        let asking = view.labels.factors(second.other, .channel).count > 1 ? Self.heads(view, second.node, second.other) : 1
        return make(
          .factorized, heads: max(heads, asking), dim: free, values, tokens: p.contracted.size ?? 1, extra: [second.node], nodes: second.nodes,
          asking: second.other)
      }
      if view.isSampled(values) { return make(.deformable, heads: max(heads, 1), dim: v.free.size?.value, values, tokens: p.free.size ?? 1, extra: []) }
      // A small map for every place, made by a projection: Yuan et al. 2021.
      if kind != .token, p.free.size == p.contracted.size, (p.contracted.size?.value ?? 1) > 1,
        p.batch.joined().contains(where: { view.labels.kind($0) == .token })
      {
        return make(.outlook, heads: heads, dim: v.free.size?.value, values, tokens: p.contracted.size ?? 1, extra: [])
      }
      return nil
    }

    /// Heads of the queries that ask for the summed values.
    private static func heads(_ view: GraphView, _ node: NodeID, _ query: ValueID) -> Int {
      guard let position = view.graph[node].inputs.firstIndex(of: query), let layout = view.labels.layout(query),
        let q = ProductOperand(layout, isLeft: position == 0)
      else { return 1 }
      return q.batch.joined().filter { view.labels.kind($0) == .channel }.compactMap(\.size.value).checkedProduct ?? 1
    }

    func weightedSum(_ sum: NodeID, _ axes: [Int], _ values: ValueID) -> AttentionBlock? {
      guard let output = view.graph[meeting.node].output(0), let whole = view.axes(output), let result = view.graph[sum].output(0) else { return nil }
      let summed = axes.compactMap { whole.axes.indices.contains($0) ? view.labels.kind(whole.axes[$0]) : nil }
      let channels = layout.axes.joined().filter { view.labels.kind($0) == .channel }.compactMap(\.size.value).checkedProduct ?? 1
      if view.isSampled(values) {
        let heads = layout.axes.indices.filter { $0 != axis }.flatMap { layout.axes[$0] }.filter { view.labels.kind($0) == .channel }
        return make(.deformable, heads: heads.compactMap(\.size.value).checkedProduct ?? 1, dim: nil, values, tokens: 1, extra: [sum])
      }
      // Numbers for places that are normalized each by itself, and so are all 1.
      if layout.axes[axis].isEmpty, channels == 1, summed.contains(.token), view.multipliesPlaces(result) {
        return make(.additive, heads: nil, dim: nil, values, tokens: view.labels.factors(scores, .token).size ?? 1, extra: [sum])
      }
      if kind == .token, summed.contains(.token) {
        let multiplies = view.multipliesPlaces(result)
        // Each channel weighs the tokens by itself, and what asks multiplies the sum: Zhai et al. 2021.
        guard channels == 1 || multiplies else { return nil }
        let family: AttentionFamily = multiplies ? .linear : .globalContext
        let tokens = layout.axes[axis].size ?? 1
        return make(family, heads: nil, dim: nil, values, tokens: tokens, extra: [sum])
      }
      // A choice among branches by a pooled descriptor: Li et al. 2019.
      let scored = layout.axes.joined().contains { view.labels.kind($0) == .token }
      let spread = view.labels.layout(values)?.axes.joined().contains { view.labels.kind($0) == .token } ?? false
      if kind != .token, !scored, spread, (layout.axes[axis].size?.value ?? 99) <= 8, view.isPooled(scores) {
        var block = make(.channelGate, heads: nil, dim: nil, values, tokens: 1, extra: [sum])
        block.traits = ["a softmax over \(layout.axes[axis].size?.value ?? 0) branches"]
        return block
      }
      return nil
    }

    func learned() -> AttentionBlock? {
      // Expected places, which constants under places would give, are no memory.
      guard kind == .token, case .matrix = view.graph[meeting.node].op, let (weighing, contracted) = Mixing.contraction(meeting.node, view),
        view.isActivation(weighing), contracted != .token
      else { return nil }
      var block = make(.cross, heads: max(size(layout.axes, .channel, before: 2), 1), dim: nil, scores, tokens: layout.axes[axis].size ?? 1, extra: [])
      block.traits = ["learned keys and values"]
      return block
    }

    private func size(_ axes: [[AxisFactor]], _ kind: AxisKind, before end: Int? = nil) -> Int {
      axes.prefix(end.map { max(axes.count - $0, 0) } ?? axes.count).joined().filter { view.labels.kind($0) == kind }.compactMap(\.size.value).checkedProduct
        ?? 1
    }

    private func make(
      _ family: AttentionFamily, heads: Int?, dim: Int?, _ values: ValueID, tokens: Dim, extra: [NodeID], nodes: [NodeID] = [], asking: ValueID? = nil
    ) -> AttentionBlock {
      let keys = view.operandTrace(scores)
      let value = view.operandTrace(values)
      let start = extra.last.flatMap { view.graph[$0].output(0) } ?? view.graph[meeting.node].output(0)
      let branch = start.map { view.branch(from: $0, own: Set([keys.linear, value.linear].compactMap { $0 })) }
      var all = Set(chain.nodes + meeting.nodes + [anchor, meeting.node] + keys.nodes + value.nodes + extra + nodes)
      if let asking { all.formUnion(view.operandTrace(asking).nodes) }
      all.formUnion(branch?.nodes ?? [])
      let linears = Set([keys.linear, value.linear, branch?.linear].compactMap { $0 })
      var parameters = view.parameterCount(branch?.linear, bias: branch?.bias)
      for traced in keys.linear == value.linear ? [keys] : [keys, value] { parameters = parameters &+ view.parameterCount(traced.linear, bias: traced.bias) }
      let weights: [BlockWeight] = [("key", keys.weight), ("value", value.weight)].compactMap { (role, weight) in
        weight.flatMap { view.original(of: $0) }.map { BlockWeight(role: role, value: $0) }
      }
      var block = AttentionBlock(
        family: family, heads: heads, headDim: dim, valueDim: dim, queryTokens: tokens, keyTokens: tokens, scale: nil, input: view.original(of: keys.source),
        output: branch.flatMap { view.original(of: $0.output) }, residualAdd: branch?.residualAdd, residualSum: branch?.residualSum,
        anchor: view.original(of: anchor) ?? anchor, weights: weights, nodes: view.originals(of: all), parameters: parameters,
        cost: view.cost(linears.union([meeting.node]).union(extra)))
      if let output = branch?.output ?? start {
        let sources = [keys.source, value.source] + (asking.map { [view.operandTrace($0).source] } ?? [])
        block.formulas = [BlockFormula(view, sources: sources, output: output)]
      }
      return block
    }
  }
}

extension GraphView {
  func mnemonic(_ id: NodeID) -> String {
    if case .foreign(let foreign) = graph[id].op { return foreign.name }
    return graph[id].op.semantics?.mnemonic ?? ""
  }

  func isProductOfActivations(_ node: Node) -> Bool {
    guard node.op == .matrix(.matMul), let a = node.input(0), let b = node.input(1) else { return false }
    return isActivation(a) && isActivation(b)
  }

  /// Whether values were sampled at places that the input chooses.
  func isSampled(_ value: ValueID, limit: Int = 24) -> Bool {
    ancestry(value, limit: limit).contains { producer($0).map { mnemonic($0.id) == "GridSample" } ?? false }
  }

  /// The next product with another activation, through rearrangements and scalings.
  func nextProduct(_ start: ValueID) -> (node: NodeID, other: ValueID, nodes: [NodeID])? {
    var pending: [(ValueID, [NodeID])] = [(start, [])]
    var steps = 0
    while steps < 32, !pending.isEmpty {
      steps += 1
      let (value, nodes) = pending.removeFirst()
      for id in uses.readers(of: value) {
        let node = graph[id]
        guard let output = node.output(0) else { continue }
        switch node.op {
        case .matrix(.matMul):
          guard let a = node.input(0), let b = node.input(1) else { continue }
          let other = a == value ? b : a
          if isActivation(other), other != value { return (id, other, nodes + [id]) }
        case .cast, .clip, .unary(.identity): pending.append((output, nodes + [id]))
        case .layout where node.input(0) == value: pending.append((output, nodes + [id]))
        case .binary(.multiply), .binary(.divide), .binary(.add):
          if shape(output) == shape(value) { pending.append((output, nodes + [id])) }
        default: continue
        }
      }
    }
    return nil
  }

  /// Whether a pooled value directly multiplies one that has places.
  func multipliesPlaces(_ start: ValueID) -> Bool {
    var value = start
    for _ in 0..<6 {
      for id in uses.readers(of: value) {
        let node = graph[id]
        if node.op == .binary(.multiply), let other = node.input(0) == value ? node.input(1) : node.input(0), isActivation(other),
          !labels.factors(other, .token).isEmpty
        {
          return true
        }
      }
      guard let next = uses.readers(of: value).first(where: { if case .layout = graph[$0].op { true } else { false } }), let output = graph[next].output(0)
      else {
        return false
      }
      value = output
    }
    return false
  }

  /// Whether a value without places comes from a mean or maximum over places.
  func isPooled(_ value: ValueID) -> Bool { Descriptor(self, of: value).pools.isEmpty == false }
}

/// What makes a value that has no places: the nodes back to where places were pooled.
struct Descriptor {
  var nodes: [NodeID] = []
  /// Reductions, pools and weighted sums that took places away.
  var pools: [NodeID] = []
  /// The values that were pooled.
  var sources: Set<ValueID> = []
  var linears: [NodeID] = []
  /// Sigmoids and their like, nearest first.
  var squashes: [NodeID] = []
  /// Constants that scale or shift the descriptor.
  var tables: [ValueID] = []
  /// Whether one token was picked out of many.
  var picksToken = false

  init(_ view: GraphView, of value: ValueID, limit: Int = 160) {
    // Nearest first, so that what is far away does not crowd out the descriptor's own nodes.
    var pending = [value]
    var index = 0
    var seen: Set<ValueID> = [value]
    while index < pending.count, nodes.count < limit {
      let next = pending[index]
      index += 1
      guard let (id, node) = view.producer(next), view.isActivation(next) else { continue }
      let inputs = node.inputs.compactMap { $0 }.filter { view.isActivation($0) }
      nodes.append(id)
      if Descriptor.isSquash(node.op) { squashes.append(id) }
      switch node.op {
      case .reduction, .pooling:
        let spread = inputs.contains { !view.labels.factors($0, .token).isEmpty || (view.shape($0)?.rank ?? 0) >= 3 }
        if spread {
          pools.append(id)
          sources.formUnion(inputs)
          continue
        }
      case .matrix, .convolution:
        if inputs.count == 1 { linears.append(id) }
      default: break
      }
      let spread = inputs.filter { !view.labels.factors($0, .token).isEmpty }
      if !spread.isEmpty, view.labels.factors(next, .token).isEmpty {
        // Places went away without a pool: a token picked, or a weighted sum.
        if case .matrix = node.op { pools.append(id) } else { picksToken = true }
        sources.formUnion(spread)
        continue
      }
      for input in inputs where seen.insert(input).inserted { pending.append(input) }
    }
  }

  static func isSquash(_ op: Op) -> Bool {
    switch op {
    case .unary(.sigmoid), .unary(.hardSigmoid), .unary(.tanh), .softmax, .clip: true
    default: false
    }
  }
}
