internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// A global context that is added: one vector of channels from pooled places, weighed by one number for each place. Where
/// those numbers are the places' likeness to their own mean, standardized, it is FCViT's global context (Li et al. 2022).
enum ContextProducts {
  static func recognize(_ id: NodeID, _ view: GraphView) -> Finding? {
    let node = view.graph[id]
    guard node.op == .binary(.multiply), let a = node.input(0), let b = node.input(1), view.isActivation(a), view.isActivation(b), let output = node.output(0),
      let whole = view.shape(output), view.shape(a) != whole, view.shape(b) != whole
    else { return nil }
    for (map, vector) in [(a, b), (b, a)] {
      guard !view.labels.factors(map, .token).isEmpty, view.labels.factors(vector, .token).isEmpty, !view.labels.factors(vector, .channel).isEmpty else {
        continue
      }
      let descriptor = Descriptor(view, of: vector)
      guard !descriptor.pools.isEmpty, !descriptor.linears.isEmpty else { continue }
      let tokens = view.labels.factors(map, .token).size ?? 1
      var block = AttentionBlock(
        family: .globalContext, queryTokens: tokens, keyTokens: tokens, input: descriptor.sources.sorted().first.flatMap { view.original(of: $0) },
        output: view.original(of: output), anchor: view.original(of: id) ?? id, nodes: [])
      var sources = Array(descriptor.sources) + [view.operandTrace(map).source]
      var nodes = descriptor.nodes + [id] + view.operandTrace(map).nodes
      if let pooled = pooled(vector, view), let own = view.closed(between: [pooled], and: output, limit: 128) {
        (nodes, sources) = (own, [pooled])
        block.input = view.original(of: pooled)
        if isStandardized(map, from: pooled, view) { block.mechanism = "fcvit" }
      }
      let linears = nodes.filter { view.linearOperand($0) != nil }.sorted()
      block.nodes = view.originals(of: nodes)
      block.weights = linears.compactMap { view.weight($0, as: "context") }
      block.parameters = view.constantElements(nodes)
      block.cost = view.cost(nodes.filter { view.graph[$0].op.isProduct })
      block.formulas = [BlockFormula(view, sources: sources, output: output)]
      return .block(block)
    }
    return nil
  }

  /// The tensor with places whose mean the vector is made from.
  private static func pooled(_ vector: ValueID, _ view: GraphView) -> ValueID? {
    for id in view.upstream(vector, stoppingAt: [], limit: 64) {
      guard let input = view.graph[id].input(0), let output = view.graph[id].output(0), !view.labels.factors(input, .token).isEmpty,
        view.labels.factors(output, .token).isEmpty
      else { continue }
      switch view.graph[id].op {
      case .reduction, .pooling: return view.trace(input).root
      default: return nil
      }
    }
    return nil
  }

  /// Whether the numbers are a product of the places with their mean, less its own mean and divided by its deviation.
  private static func isStandardized(_ map: ValueID, from x: ValueID, _ view: GraphView) -> Bool {
    let above = view.upstream(map, stoppingAt: [x], limit: 64)
    var (means, hasRoot, hasDifference, compares) = (0, false, false, false)
    for id in above {
      let node = view.graph[id]
      let operands = node.inputs.compactMap { $0 }.filter { view.isActivation($0) }
      switch node.op {
      case .unary(.sqrt): hasRoot = true
      case .binary(.power): hasRoot = hasRoot || node.input(1).flatMap { view.scalar($0) } == 0.5
      case .binary(.subtract) where operands.count == 2: hasDifference = true
      case .matrix where operands.count == 2: compares = true
      case .binary(.multiply) where Set(operands).count == 2: compares = true
      case .reduction(let reduction) where reduction.kind == .mean || reduction.kind == .sum: means += 1
      default: break
      }
    }
    return compares && hasRoot && hasDifference && means >= 2
  }
}

extension GraphView {
  /// The nodes between some values and another that is made from them alone; nil where there are more than `limit`, or
  /// anything else takes part.
  func closed(between starts: Set<ValueID>, and end: ValueID, limit: Int) -> [NodeID]? {
    let above = upstream(end, stoppingAt: starts, limit: limit)
    let made = Set(above)
    guard made.count < limit, !above.isEmpty else { return nil }
    let isClosed = above.allSatisfy { id in
      graph[id].inputs.allSatisfy { value in
        guard let value, isActivation(value), !starts.contains(value) else { return true }
        return graph.producer(of: value).map(made.contains) ?? false
      }
    }
    return isClosed ? above : nil
  }
}
