internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// A mechanism of the catalogue that changes scores or probabilities between the two products, or what follows them.
struct ScoreMechanism {
  /// The catalogue's id; nil for plain attention.
  var name: String?
  /// What the name alone does not say.
  var traits: [String] = []
  /// Whether what was divided by in the queries is their deviation over tokens, and so no norm of single queries.
  var normalizesOverTokens = false
  /// Linear layers besides those of queries, keys, values and output.
  var linears: [(role: String, node: NodeID)] = []
  var nodes: [NodeID] = []

  /// - Parameter branch: what follows the product with values.
  init(_ attention: ProductAttention, _ branch: BranchTrace?) {
    let view = attention.view
    if let statistics = ScoreMechanism.tokenStatistics(attention.query, view) {
      normalizesOverTokens = true
      nodes = statistics
      traits = ["queries without mean and deviation over tokens"]
      name = "nsa"
    }
    if let layers = ScoreMechanism.geometry(attention) {
      name = "gsa"
      linears = layers.map { ("geometry", $0) }
    } else if let distance = ScoreMechanism.objectDistance(attention) {
      name = "oamixer"
      nodes += distance.nodes
    } else if ScoreMechanism.isEvolving(attention) {
      name = "evolving-attention"
    } else if let branch, let chosen = ScoreMechanism.projectedResidual(attention, branch) {
      name = "discrete-choice"
      linears = [("residual", chosen.linear)]
      nodes += chosen.nodes
    }
  }

  /// Object-aware mixing: probabilities times a mask made of distances and divided by their sum, or the mask's logarithm
  /// added to the scores.
  private static func objectDistance(_ attention: ProductAttention) -> ObjectDistance? {
    let view = attention.view
    if attention.meeting.isRenormalized || attention.meeting.nodes.contains(where: { view.graph[$0].op == .binary(.divide) }) {
      for gate in attention.meeting.gates where view.isActivation(gate) {
        if let distance = ObjectDistance(view, behind: gate) { return distance }
      }
    }
    for case (let bias, false) in attention.chain.biases where view.isActivation(bias) {
      if let distance = ObjectDistance(view, behind: bias) { return distance }
    }
    return nil
  }

  /// Score maps that pass a convolution over queries and keys: evolving attention (Wang et al. 2021).
  private static func isEvolving(_ attention: ProductAttention) -> Bool {
    let view = attention.view
    func isMapConvolution(_ node: Node) -> Bool {
      guard case .convolution(.conv(_, groups: 1)) = node.op, let w = node.input(1), let dims = view.shape(w)?.concrete, dims.count == 4,
        let x = node.input(0), let whole = view.shape(x), whole.rank == 4
      else { return false }
      guard dims[0] == dims[1], dims[0] == attention.heads else { return false }
      return (dims[2] > 1 || dims[3] > 1) && whole[2] == attention.queryCount && whole[3] == attention.keyCount
    }
    if attention.chain.mixes.contains(where: { isMapConvolution(view.graph[$0]) }) { return true }
    let sources = Set([attention.query.source, attention.key.source, attention.value.source])
    return attention.chain.biases.contains { bias, _ in
      view.isActivation(bias) && view.upstream(bias, stoppingAt: sources, limit: 16).contains { isMapConvolution(view.graph[$0]) }
    }
  }

  /// Linear layers on logarithms of the proportions of boxes, from which a bias is made: geometry-aware attention (Guo et
  /// al. 2020). nil where no bias is.
  private static func geometry(_ attention: ProductAttention) -> [NodeID]? {
    let view = attention.view
    for case (let bias, false) in attention.chain.biases where view.isActivation(bias) {
      let above = view.upstream(bias, stoppingAt: [attention.query.source, attention.key.source], limit: 64)
      let layers = above.filter { view.linearOperand($0) != nil }
      // The first layer reads the logarithms; others stand behind it or make queries and keys of their own.
      let embeds = layers.contains { layer in
        view.linearOperand(layer).map { view.reaches($0, limit: 12) { $0.op == .unary(.log) } } ?? false
      }
      if embeds { return layers }
    }
    return nil
  }

  /// What takes mean and deviation over tokens out of queries (normalized self-attention, Guo et al. 2020).
  private static func tokenStatistics(_ query: OperandTrace, _ view: GraphView) -> [NodeID]? {
    var centered: [NodeID]?
    var scaled: [NodeID]?
    for id in query.nodes {
      let node = view.graph[id]
      if case .normalization(.instance) = node.op { return [id] }
      guard let a = node.input(0), let b = node.input(1) else { continue }
      // The operand that is a statistic has lost the tokens.
      let statistic = [b, a].first { view.isActivation($0) && view.labels.factors($0, .token).isEmpty && !view.labels.factors($0, .channel).isEmpty }
      guard let statistic, let above = view.meanOverTokens(statistic) else { continue }
      switch node.op {
      case .binary(.subtract): centered = above
      case .binary(.divide), .binary(.multiply): scaled = above
      default: continue
      }
    }
    guard let scaled else { return nil }
    return scaled + (centered ?? [])
  }

  /// AutoInt's layer (Song et al. 2019), the multinomial logit over fields of Cheng and Xue 2021: what the heads gather
  /// has no projection behind it, is added to a projection of the layer's input, and the sum is rectified.
  private static func projectedResidual(_ attention: ProductAttention, _ branch: BranchTrace) -> (linear: NodeID, nodes: [NodeID])? {
    let view = attention.view
    guard branch.linear == nil, let residual = branch.residual, attention.query.linear != nil, attention.value.linear != nil, attention.hasOneSource else {
      return nil
    }
    let traced = view.operandTrace(residual)
    let own = [attention.query.linear, attention.key.linear, attention.value.linear]
    guard let linear = traced.linear, !own.contains(linear), traced.norm == nil, traced.featureMap == nil, !traced.rotary,
      view.trace(traced.source).root == view.trace(attention.query.source).root,
      let add = view.uses.readers(of: residual).first(where: { view.graph[$0].op == .binary(.add) && view.graph[$0].inputs.contains(branch.output) }),
      var value = view.graph[add].output(0)
    else { return nil }
    var nodes = traced.nodes + [add]
    for _ in 0..<4 {
      guard let reader = view.uses.onlyReader(of: value), let next = view.graph[reader].output(0) else { return nil }
      nodes.append(reader)
      if view.graph[reader].op == .unary(.relu) { return (linear, nodes) }
      guard Rearrangement.isRearrangement(view.graph[reader]) else { return nil }
      value = next
    }
    return nil
  }
}

extension GraphView {
  /// The activation that a linear layer with a constant reads; nil for other nodes.
  func linearOperand(_ id: NodeID) -> ValueID? {
    let node = graph[id]
    guard let a = node.input(0), let b = node.input(1) else { return nil }
    switch node.op {
    case .matrix(.matMul): return isActivation(a) == isActivation(b) ? nil : isActivation(a) ? a : b
    case .convolution(.conv): return isActivation(a) && !isActivation(b) ? a : nil
    default: return nil
    }
  }

  /// The nodes that make a mean over tokens, or what is made of one alone; nil where a value is none.
  func meanOverTokens(_ value: ValueID) -> [NodeID]? {
    var pending = [value]
    var nodes: [NodeID] = []
    while !pending.isEmpty, nodes.count < 16 {
      guard let (id, node) = producer(pending.removeFirst()), let x = node.input(0) else { return nil }
      nodes.append(id)
      switch node.op {
      case .reduction(let reduction) where reduction.kind == .mean || reduction.kind == .sum:
        let lost = labels.factors(x, .token).count > labels.factors(node.output(0) ?? x, .token).count
        return lost ? nodes : nil
      case .unary, .clip, .cast, .layout, .binary:
        let operands = node.inputs.compactMap { $0 }.filter { isActivation($0) }
        guard Set(operands).count == 1, let next = operands.first else { return nil }
        pending.append(next)
      default: return nil
      }
    }
    return nil
  }

  /// The nodes before `value` up to some values, `limit` of them at most.
  func upstream(_ value: ValueID, stoppingAt ends: Set<ValueID>, limit: Int) -> [NodeID] {
    var pending = [value]
    var next = 0
    var seen = ends.union([value])
    var result: [NodeID] = []
    while result.count < limit, next < pending.count {
      let value = pending[next]
      next += 1
      guard let (id, node) = producer(value) else { continue }
      result.append(id)
      for case let input? in node.inputs where isActivation(input) && seen.insert(input).inserted { pending.append(input) }
    }
    return result
  }

  /// Whether a node before `value`, at most `limit` of them looked at, is as wanted.
  func reaches(_ value: ValueID, limit: Int, _ isWanted: (Node) -> Bool) -> Bool {
    var pending = [value]
    var seen: Set<ValueID> = [value]
    var count = 0
    while count < limit, count < pending.count {
      let next = pending[count]
      count += 1
      guard let (_, node) = producer(next) else { continue }
      if isWanted(node) { return true }
      for case let input? in node.inputs where seen.insert(input).inserted { pending.append(input) }
    }
    return false
  }
}
