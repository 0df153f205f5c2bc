internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Every softmax, product of two activations and gate that is part of no block, each with the family it comes nearest to
/// and the fact that is missing.
enum Unexplained {
  static func nearMisses(_ view: GraphView, covered: Set<NodeID>, named: Set<NodeID>) -> [NearMiss] {
    var result: [NearMiss] = []
    var seen = named
    for (id, node) in view.graph.liveNodes {
      guard let (family, reason) = reason(id, node, view), let at = view.original(of: id) else { continue }
      let origins = view.originals(of: [id])
      guard covered.isDisjoint(with: origins), seen.isDisjoint(with: origins), seen.insert(at).inserted else { continue }
      result.append(NearMiss(at: at, lookedLike: family, reason: reason))
    }
    return result
  }

  private static func reason(_ id: NodeID, _ node: Node, _ view: GraphView) -> (AttentionFamily, String)? {
    switch node.op {
    case .softmax(.softmax): return softmax(node, view)
    case .matrix(.matMul): return product(node, view)
    case .binary(.multiply): return gate(node, view)
    default: return nil
    }
  }

  private static func softmax(_ node: Node, _ view: GraphView) -> (AttentionFamily, String)? {
    guard let scores = node.input(0), let probabilities = node.output(0), view.isActivation(scores) else { return nil }
    let meets = view.valueMeeting(probabilities).map { if case .learned = $0.form { false } else { true } } ?? false
    switch view.scoreSource(scores) {
    case .product, .joined: return (.selfAttention, meets ? "its product's axes play no roles of attention" : "the probabilities weigh no values")
    case .projection:
      return (
        .selfAttention,
        meets
          ? "what it weighs are no tokens: no product of queries and keys comes before it" : "it normalizes a linear layer's results, and they weigh nothing"
      )
    case .other: return (.selfAttention, meets ? "its operand is no product of queries and keys" : "its operand is no product, and its result weighs nothing")
    }
  }

  private static func product(_ node: Node, _ view: GraphView) -> (AttentionFamily, String)? {
    guard let a = node.input(0), let b = node.input(1), view.isActivation(a), view.isActivation(b), let layout = view.labels.layout(a),
      let operand = ProductOperand(layout, isLeft: true)
    else { return nil }
    switch view.labels.kind(operand.contracted) {
    case .token: return (.linear, "places are contracted, but no product with queries follows")
    case .channel: return (.selfAttention, "no softmax comes between it and a product with values")
    default: return (.selfAttention, "the axis that it contracts is neither places nor channels")
    }
  }

  private static func gate(_ node: Node, _ view: GraphView) -> (AttentionFamily, String)? {
    guard let a = node.input(0), let b = node.input(1), view.isActivation(a), view.isActivation(b), let output = node.output(0),
      (view.shape(output)?.rank ?? 0) >= 3
    else { return nil }
    for (x, gate) in [(a, b), (b, a)] where x != gate {
      guard let (_, made) = view.producer(view.trace(gate).root), Descriptor.isSquash(made.op) else { continue }
      if case .softmax = made.op { continue }
      if view.shape(x) == view.shape(gate) { return (.spatialGate, "the gate has all places and all channels of what it multiplies") }
      return (.channelGate, "the gate is made from no pooled descriptor")
    }
    return nil
  }
}
