internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Attention without a softmax over scores: kernel feature maps and their like (Katharopoulos et al. 2020), where keys
/// meet values first; the dot-product form of non-local blocks (Wang et al. 2018); additive attention.
enum LinearAttention {
  static func recognize(_ id: NodeID, _ view: GraphView) -> Finding? {
    let node = view.graph[id]
    if case .reduction(let reduction) = node.op, reduction.kind == .sum { return additive(id, view) }
    guard node.op == .matrix(.matMul), let a = node.input(0), let b = node.input(1), view.isActivation(a), view.isActivation(b), let output = node.output(0),
      let left = view.labels.layout(a), let right = view.labels.layout(b), let l = ProductOperand(left, isLeft: true),
      let r = ProductOperand(right, isLeft: false)
    else { return nil }
    let contracted = view.labels.kind(l.contracted) ?? view.labels.kind(r.contracted)
    let free = [view.labels.kind(l.free), view.labels.kind(r.free)]
    if contracted == .token, free == [.channel, .channel] { return keysMeetValues(id, a, b, l, r, output, view) }
    if contracted == .channel, free == [.token, .token] { return averaged(id, a, b, l, output, view) }
    return nil
  }

  private static func keysMeetValues(
    _ id: NodeID, _ a: ValueID, _ b: ValueID, _ l: ProductOperand, _ r: ProductOperand, _ output: ValueID, _ view: GraphView
  ) -> Finding? {
    guard let second = view.nextProduct(output), let position = view.graph[second.node].inputs.firstIndex(of: second.other),
      let query = view.labels.layout(second.other), let q = ProductOperand(query, isLeft: position == 0), view.labels.kind(q.contracted) == .channel
    else { return nil }
    let (ta, tb, tq) = (view.operandTrace(a), view.operandTrace(b), view.operandTrace(second.other))
    // A softmax on keys is its own anchor.
    if [ta, tb].contains(where: { $0.featureMap == "softmax" }) { return nil }
    let heads = l.batch.joined().filter { view.labels.kind($0) == .channel }.compactMap(\.size.value).checkedProduct ?? 1
    let branch = view.graph[second.node].output(0).map { view.branch(from: $0, own: Set([ta, tb, tq].compactMap(\.linear))) }
    let linears = Set([ta.linear, tb.linear, tq.linear, branch?.linear].compactMap { $0 })
    let nodes = [id] + second.nodes + ta.nodes + tb.nodes + tq.nodes + (branch?.nodes ?? [])
    var parameters = view.parameterCount(branch?.linear, bias: branch?.bias)
    var counted = Set<NodeID>()
    for traced in [ta, tb, tq] {
      if let linear = traced.linear, counted.insert(linear).inserted { parameters = parameters &+ view.parameterCount(linear, bias: traced.bias) }
    }
    var block = AttentionBlock(
      family: .linear, heads: heads, headDim: q.contracted.size?.value, valueDim: q.contracted.size?.value, queryTokens: q.free.size ?? 1,
      keyTokens: l.contracted.size ?? 1, scale: nil, qkNorm: tq.norm?.name ?? "none", input: view.original(of: tq.source),
      output: branch.flatMap { view.original(of: $0.output) }, residualAdd: branch?.residualAdd, residualSum: branch?.residualSum,
      anchor: view.original(of: id) ?? id, nodes: view.originals(of: nodes), parameters: parameters, cost: view.cost(linears.union([id, second.node])))
    if let output = branch?.output ?? view.graph[second.node].output(0) {
      block.formulas = [BlockFormula(view, sources: [ta.source, tb.source, tq.source], output: output)]
    }
    if let map = tq.featureMap { block.traits = ["feature map \(map)"] }
    return .block(block)
  }

  /// `(q k') / N v` without a softmax.
  private static func averaged(_ id: NodeID, _ a: ValueID, _ b: ValueID, _ l: ProductOperand, _ output: ValueID, _ view: GraphView) -> Finding? {
    var value = output
    var nodes = [id]
    for _ in 0..<6 {
      guard let reader = view.uses.onlyReader(of: value), let next = view.graph[reader].output(0) else { return nil }
      let node = view.graph[reader]
      if node.op == .matrix(.matMul), let other = node.input(0) == value ? node.input(1) : node.input(0), view.isActivation(other) {
        let (q, k, v) = (view.operandTrace(a), view.operandTrace(b), view.operandTrace(other))
        guard let linear = q.linear, case .convolution = view.graph[linear].op, k.linear != nil, v.linear != nil else { return nil }
        let branch = view.branch(from: next, own: Set([q, k, v].compactMap(\.linear)))
        let linears = Set([q.linear, k.linear, v.linear, branch.linear].compactMap { $0 })
        nodes += [reader] + q.nodes + k.nodes + v.nodes + branch.nodes
        var parameters = view.parameterCount(branch.linear, bias: branch.bias)
        for traced in [q, k, v] { parameters = parameters &+ view.parameterCount(traced.linear, bias: traced.bias) }
        var block = AttentionBlock(
          family: .nonLocal, heads: 1, headDim: l.contracted.size?.value, valueDim: l.contracted.size?.value, queryTokens: l.free.size ?? 1,
          keyTokens: view.shape(output)?.dims.last ?? 1, scale: nil, traits: ["no softmax"], input: view.original(of: q.source),
          output: view.original(of: branch.output), residualAdd: branch.residualAdd, residualSum: branch.residualSum, anchor: view.original(of: id) ?? id,
          nodes: view.originals(of: nodes), parameters: parameters, cost: view.cost(linears.union([id, reader])))
        block.formulas = [BlockFormula(view, sources: [q.source, k.source, v.source], output: branch.output)]
        return .block(block)
      }
      guard Rearrangement.isRearrangement(node) || view.isFloatCast(node) || view.scalarFactor(node) != nil else { return nil }
      nodes.append(reader)
      value = next
    }
    return nil
  }

  /// One number for each token, of length 1 over all, weighs the tokens' sum, which multiplies every token (Shaker et al. 2023).
  private static func additive(_ id: NodeID, _ view: GraphView) -> Finding? {
    guard let input = view.graph[id].input(0), let (product, node) = view.producer(input), node.op == .binary(.multiply), let a = node.input(0),
      let b = node.input(1), view.isActivation(a), view.isActivation(b), let result = view.graph[id].output(0)
    else { return nil }
    for (scores, values) in [(a, b), (b, a)] {
      guard view.labels.factors(scores, .channel).isEmpty, !view.labels.factors(scores, .token).isEmpty, !view.labels.factors(values, .channel).isEmpty,
        view.labels.factors(result, .token).isEmpty, view.multipliesPlaces(result)
      else { continue }
      let traced = view.operandTrace(scores)
      guard traced.featureMap != "softmax", traced.linear != nil else { continue }
      let value = view.operandTrace(values)
      var block = AttentionBlock(
        family: .additive, queryTokens: view.labels.factors(scores, .token).size ?? 1, keyTokens: view.labels.factors(scores, .token).size ?? 1,
        qkNorm: traced.norm?.name ?? "none", input: view.original(of: value.source), anchor: view.original(of: id) ?? id,
        nodes: view.originals(of: [id, product] + traced.nodes + value.nodes),
        parameters: view.parameterCount(traced.linear, bias: traced.bias) &+ view.parameterCount(value.linear, bias: value.bias),
        cost: view.cost([traced.linear, value.linear, product, id].compactMap { $0 }))
      block.formulas = [BlockFormula(view, sources: [traced.source, value.source], output: result)]
      return .block(block)
    }
    return channelByChannel(id, product, a, b, result, view)
  }

  /// `q sum(k v)` with as many heads as channels: sums of products over tokens in place of matrix products (Bolya et al. 2022).
  private static func channelByChannel(_ id: NodeID, _ product: NodeID, _ a: ValueID, _ b: ValueID, _ result: ValueID, _ view: GraphView) -> Finding? {
    guard view.shape(a) == view.shape(b), [a, b].allSatisfy({ !view.labels.factors($0, .token).isEmpty && !view.labels.factors($0, .channel).isEmpty }),
      view.labels.factors(result, .token).isEmpty, view.multipliesPlaces(result), !view.isSameProjection(a, b)
    else { return nil }
    let (key, value) = (view.operandTrace(a), view.operandTrace(b))
    // A softmax on keys is its own anchor.
    guard key.linear != nil, value.linear != nil, key.featureMap != "softmax", value.featureMap != "softmax" else { return nil }
    let tokens = view.labels.factors(a, .token).size ?? 1
    var block = AttentionBlock(
      family: .linear, queryTokens: tokens, keyTokens: tokens, qkNorm: (key.norm ?? value.norm)?.name ?? "none", traits: ["as many heads as channels"],
      input: view.original(of: key.source), anchor: view.original(of: id) ?? id, nodes: view.originals(of: [id, product] + key.nodes + value.nodes),
      parameters: view.parameterCount(key.linear, bias: key.bias) &+ (key.linear == value.linear ? 0 : view.parameterCount(value.linear, bias: value.bias)),
      cost: view.cost(Array(Set([key.linear, value.linear, product, id].compactMap { $0 }))))
    block.formulas = [BlockFormula(view, sources: [key.source, value.source], output: result)]
    return .block(block)
  }
}
