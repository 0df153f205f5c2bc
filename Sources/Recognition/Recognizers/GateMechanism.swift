internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Names the catalogue's mechanisms among gates, by how the gate or what it multiplies is made.
struct GateMechanism {
  var name: String?
  /// What belongs to the block besides its descriptor.
  var nodes: [NodeID] = []
  /// Linear layers and constants besides those of the descriptor.
  var linears: [NodeID] = []

  init(_ view: GraphView, _ family: AttentionFamily, x: ValueID, _ descriptor: Descriptor) {
    if GateMechanism.isRecurrent(descriptor, view) {
      name = "dia"
    } else if family == .channelGate, let compared = GateMechanism.comparedDistributions(descriptor, x, view) {
      name = "fan"
      nodes = compared
      linears = compared.filter { view.linearOperand($0) != nil }
    } else if family == .channelGate, !descriptor.linears.isEmpty, let path = GateMechanism.convolvedHidden(x, view) {
      name = "fan"
      nodes = path
    }
  }

  /// Three sigmoids and a tanh: the cell of dense-and-implicit attention (Huang et al. 2020), or an LSTM.
  static func isRecurrent(_ descriptor: Descriptor, _ view: GraphView) -> Bool {
    var sigmoids = 0
    var hasTanh = false
    for id in descriptor.nodes {
      switch view.graph[id].op {
      case .unary(.sigmoid): sigmoids += 1
      case .unary(.tanh): hasTanh = true
      default: if view.mnemonic(id) == "LSTM" { return true }
      }
    }
    return hasTanh && sigmoids >= 3
  }

  /// The nodes of a product of two distributions over tokens under a sigmoid: channel processing of fully attentional
  /// networks (Zhou et al. 2022). nil where the descriptor is none.
  private static func comparedDistributions(_ descriptor: Descriptor, _ x: ValueID, _ view: GraphView) -> [NodeID]? {
    guard descriptor.nodes.contains(where: { view.graph[$0].op == .unary(.sigmoid) }) else { return nil }
    for id in descriptor.pools {
      guard view.graph[id].op == .matrix(.matMul) else { continue }
      var nodes: [NodeID] = []
      let areDistributions = view.graph[id].inputs.compactMap { $0 }.allSatisfy { operand in
        let above = view.upstream(operand, stoppingAt: [x], limit: 8)
        guard let place = above.firstIndex(where: { if case .softmax = view.graph[$0].op { true } else { false } }) else { return false }
        nodes += above[...place]
        // The projection of the one that asks.
        if let scores = view.graph[above[place]].input(0) {
          let trace = view.operandTrace(scores)
          if let linear = trace.linear, trace.norm == nil, trace.featureMap == nil { nodes += trace.nodes.filter { $0 == linear || view.isPlainStep($0) } }
        }
        return true
      }
      if areDistributions { return nodes }
    }
    return nil
  }

  /// The nodes from what is gated up to `h + g f(h)`, where f is two depth-wise convolutions with a function between and h
  /// a linear layer: the value path of fully attentional networks, here under squeeze-and-excitation.
  private static func convolvedHidden(_ x: ValueID, _ view: GraphView) -> [NodeID]? {
    let outer = view.trace(x)
    guard let (last, _) = view.producer(view.withoutBias(outer.root)), let hidden = view.linearOperand(last) else { return nil }
    let sum = view.trace(hidden)
    guard let (add, node) = view.producer(sum.root), node.op == .binary(.add), let a = node.input(0), let b = node.input(1), view.isActivation(a),
      view.isActivation(b)
    else { return nil }
    for (branch, skip) in [(a, b), (b, a)] {
      guard let above = view.closed(between: [skip], and: branch, limit: 24) else { continue }
      func isDepthwise(_ id: NodeID) -> Bool {
        guard case .convolution(.conv(_, let groups)) = view.graph[id].op, groups > 1, let image = view.graph[id].input(0) else { return false }
        return view.shape(image)?.dims.dropFirst().first?.value == groups
      }
      if above.count(where: isDepthwise) == 2, view.producer(view.withoutBias(skip)).map({ view.linearOperand($0.id) != nil }) ?? false {
        return outer.nodes + [last] + sum.nodes + [add] + above
      }
    }
    return nil
  }
}

extension GraphView {
  /// The value before the constant that was added to it, if one was.
  func withoutBias(_ value: ValueID) -> ValueID {
    guard let (_, node) = producer(value), node.op == .binary(.add), let a = node.input(0), let b = node.input(1), isActivation(a) != isActivation(b) else {
      return value
    }
    return isActivation(a) ? a : b
  }

  /// A rearrangement, or the addition of a constant.
  func isPlainStep(_ id: NodeID) -> Bool {
    let node = graph[id]
    if Rearrangement.isRearrangement(node) || isFloatCast(node) { return true }
    return node.op == .binary(.add) && node.inputs.contains { $0.map { !isActivation($0) } ?? false }
  }
}
