internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// A global context that is added: one vector of channels from pooled places, weighed by one number for each place
/// (FCViT's global context, Li et al. 2022).
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
      let competes = descriptor.nodes.contains { if case .reduction(let reduction) = view.graph[$0].op { reduction.kind == .max } else { false } }
      let tokens = view.labels.factors(map, .token).size ?? 1
      var block = AttentionBlock(
        family: .globalContext, mechanism: competes ? "fcvit" : "softmax", queryTokens: tokens, keyTokens: tokens,
        input: descriptor.sources.sorted().first.flatMap { view.original(of: $0) }, output: view.original(of: output), anchor: view.original(of: id) ?? id,
        weights: descriptor.linears.reversed().compactMap { linear in
          view.graph[linear].inputs.compactMap { $0 }.first { !view.isActivation($0) }.flatMap { view.original(of: $0) }.map {
            BlockWeight(role: "context", value: $0)
          }
        },
        nodes: view.originals(of: descriptor.nodes + [id] + view.operandTrace(map).nodes), cost: view.cost(descriptor.linears))
      block.parameters = descriptor.linears.reduce(0) { $0 &+ view.parameterCount($1, bias: view.graph[$1].input(2) ?? view.addedBias($1)) }
      block.formulas = [BlockFormula(view, sources: Array(descriptor.sources) + [view.operandTrace(map).source], output: output)]
      return .block(block)
    }
    return nil
  }
}
