internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Mixing of tokens by constants: linear layers over the token axis (Mixer, gMLP, ResMLP), pooling (PoolFormer),
/// depth-wise convolutions inside a residual (ConvMixer).
enum Mixing {
  static func recognize(_ id: NodeID, _ view: GraphView) -> Finding? {
    switch view.graph[id].op {
    case .matrix(.matMul): tokenProduct(id, view)
    case .convolution(.conv(_, let groups)): groups == 1 ? tokenProduct(id, view) : depthwise(id, groups, view)
    case .binary(.subtract), .binary(.add): pooled(id, view)
    default: nil
    }
  }

  /// The activation and the kind of the axis that a linear layer contracts.
  static func contraction(_ id: NodeID, _ view: GraphView) -> (input: ValueID, kind: AxisKind?)? {
    let node = view.graph[id]
    guard let a = node.input(0), let b = node.input(1) else { return nil }
    switch node.op {
    case .matrix(.matMul):
      if view.isActivation(a), !view.isActivation(b), let layout = view.labels.layout(a) { return (a, view.labels.kind(layout.axes.last ?? [])) }
      if view.isActivation(b), !view.isActivation(a), let layout = view.labels.layout(b), layout.axes.count >= 2 {
        return (b, view.labels.kind(layout.axes[layout.axes.count - 2]))
      }
      return nil
    case .convolution(.conv(_, groups: 1)):
      guard view.isActivation(a), let dims = view.shape(b)?.dims, dims.dropFirst(2).allSatisfy({ $0 == 1 }), let layout = view.labels.layout(a),
        layout.axes.count >= 2
      else { return nil }
      return (a, view.labels.kind(layout.axes[1]))
    default: return nil
    }
  }

  private static func tokenProduct(_ id: NodeID, _ view: GraphView) -> Finding? {
    guard let (input, kind) = contraction(id, view), kind == .token, !view.labels.factors(input, .channel).isEmpty, let output = view.graph[id].output(0) else {
      return nil
    }
    // The second layer of a token MLP belongs to the first.
    var above = input
    for _ in 0..<8 {
      guard let (made, node) = view.producer(above) else { break }
      if contraction(made, view)?.kind == .token { return nil }
      guard passes(node, view), let next = node.inputs.lazy.compactMap({ $0 }).first(where: { view.isActivation($0) }) else { break }
      above = next
    }
    var linears = [id]
    var nodes = [id]
    var value = output
    walk: for _ in 0..<16 {
      for reader in view.uses.readers(of: value) {
        let node = view.graph[reader]
        guard let next = node.output(0) else { continue }
        if contraction(reader, view)?.kind == .token {
          linears.append(reader)
        } else if !passes(node, view) {
          continue
        }
        nodes.append(reader)
        value = next
        continue walk
      }
      break
    }
    let tokens = view.labels.factors(input, .token).size ?? 1
    var block = AttentionBlock(
      family: .tokenMixing, queryTokens: tokens, keyTokens: tokens, input: view.original(of: input) ?? view.original(of: view.trace(input).root),
      output: view.original(of: value),
      anchor: view.original(of: id) ?? id,
      weights: linears.compactMap { linear in
        view.graph[linear].inputs.compactMap { $0 }.first { !view.isActivation($0) }.flatMap { view.original(of: $0) }.map {
          BlockWeight(role: "mix", value: $0)
        }
      },
      nodes: view.originals(of: nodes),
      parameters: linears.reduce(0) { $0 &+ view.parameterCount($1, bias: view.graph[$1].input(2) ?? view.addedBias($1)) }, cost: view.cost(linears))
    block.formulas = [BlockFormula(view, sources: [input], output: value, law: BlockLaw.mixing(view, input, value))]
    if let rank = view.shape(input)?.rank {
      let axis = if case .convolution = view.graph[id].op { 1 } else { rank - (view.graph[id].input(0) == input ? 1 : 2) }
      block.claims = ClaimedMixing(view, input: input, tokenAxis: axis, nodes: nodes, output: value).map { [$0] } ?? []
    }
    if let reader = view.uses.readers(of: value).first(where: { view.graph[$0].op == .binary(.multiply) }),
      view.graph[reader].inputs.allSatisfy({ $0.map { view.isActivation($0) } ?? false })
    {
      block.traits = ["gates the other half of the channels"]
    }
    if let reader = view.uses.readers(of: value).first(where: { view.graph[$0].op == .binary(.add) }) {
      block.residualAdd = view.original(of: reader)
      block.residualSum = view.graph[reader].output(0).flatMap { view.original(of: $0) }
    }
    return .block(block)
  }

  /// Biases, activations, rearrangements: what may stand between two layers of a token MLP.
  private static func passes(_ node: Node, _ view: GraphView) -> Bool {
    switch node.op {
    case .unary, .cast, .clip: return true
    case .layout: return Rearrangement.isRearrangement(node)
    case .binary: return node.inputs.contains { $0.map { !view.isActivation($0) } ?? false }
    default: return false
    }
  }

  /// `x + f(dwconv(x))`, f element by element with a nonlinearity or scale (Trockman and Kolter 2022).
  private static func depthwise(_ id: NodeID, _ groups: Int, _ view: GraphView) -> Finding? {
    let node = view.graph[id]
    guard let x = node.input(0), let w = node.input(1), let output = node.output(0), view.shape(x) == view.shape(output),
      view.shape(x)?.dims.dropFirst().first?.value == groups, let dims = view.shape(w)?.concrete, dims.dropFirst(2).contains(where: { $0 > 1 })
    else { return nil }
    var value = output
    var nodes = [id]
    var hasActivation = false
    for _ in 0..<8 {
      let readers = view.uses.readers(of: value)
      if let add = readers.first(where: { view.graph[$0].op == .binary(.add) && view.graph[$0].inputs.contains(x) }), hasActivation {
        var block = AttentionBlock(
          family: .convMixing, queryTokens: view.labels.factors(x, .token).size ?? 1, keyTokens: view.labels.factors(x, .token).size ?? 1,
          geometry: kernel(Array(dims[2...])), input: view.original(of: x), output: view.original(of: value), residualAdd: view.original(of: add),
          residualSum: view.graph[add].output(0).flatMap { view.original(of: $0) }, anchor: view.original(of: id) ?? id,
          weights: view.original(of: w).map { [BlockWeight(role: "kernel", value: $0)] } ?? [], nodes: view.originals(of: nodes),
          parameters: view.parameterCount(id, bias: node.input(2)), cost: view.cost([id]))
        block.formulas = [BlockFormula(view, sources: [x], output: value, law: BlockLaw.mixing(view, x, value))]
        return .block(block)
      }
      guard let next = readers.first(where: { step(view.graph[$0], value, view) }), let made = view.graph[next].output(0) else { return nil }
      if case .unary = view.graph[next].op { hasActivation = true }
      nodes.append(next)
      value = made
    }
    return nil
  }

  private static func step(_ node: Node, _ value: ValueID, _ view: GraphView) -> Bool {
    switch node.op {
    case .unary, .clip, .cast: return true
    case .normalization(.batch): return node.input(0) == value
    case .binary(.multiply), .binary(.add): return node.inputs.contains { $0.map { !view.isActivation($0) } ?? false }
    default: return false
    }
  }

  private static func kernel(_ sizes: [Int]) -> BlockGeometry {
    var geometry = BlockGeometry()
    geometry.kernel = sizes
    return geometry
  }

  /// `pool(x) - x` (Yu et al. 2022).
  private static func pooled(_ id: NodeID, _ view: GraphView) -> Finding? {
    let node = view.graph[id]
    guard let a = node.input(0), let b = node.input(1), node.op == .binary(.subtract) else { return nil }
    for (pool, x) in [(a, b), (b, a)] {
      guard let (made, source) = view.producer(pool), case .pooling(.average(let window, _, _)) = source.op, source.input(0) == x,
        view.shape(pool) == view.shape(x)
      else { continue }
      var block = AttentionBlock(
        family: .tokenMixing, queryTokens: view.labels.factors(x, .token).size ?? 1, keyTokens: view.labels.factors(x, .token).size ?? 1,
        geometry: kernel(window.kernel), traits: ["pooling"], input: view.original(of: x), output: node.output(0).flatMap { view.original(of: $0) },
        anchor: view.original(of: id) ?? id, nodes: view.originals(of: [id, made]))
      if let output = node.output(0) { block.formulas = [BlockFormula(view, sources: [x], output: output, law: BlockLaw.mixing(view, x, output))] }
      return .block(block)
    }
    return nil
  }
}
