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
    let reason: String
    switch view.scoreSource(scores) {
    case .product, .joined:
      reason = meets ? "its product's axes play no roles of attention" : "it normalizes a product of two activations, but \(fate(of: probabilities, view))"
    case .projection:
      reason =
        meets
        ? "what it weighs are no tokens: no product of queries and keys comes before it"
        : "it normalizes a linear layer's results, and \(fate(of: probabilities, view))"
    case .other(let id):
      let source = id.map { "its operand comes from \(view.mnemonic($0))" } ?? "its operand is an input of the model"
      reason = meets ? "\(source), not from a product of queries and keys" : "\(source), not from a product, and \(fate(of: probabilities, view))"
    }
    return (.selfAttention, reason)
  }

  /// What becomes of a softmax's result that weighs no values.
  private static func fate(of probabilities: ValueID, _ view: GraphView) -> String {
    var value = probabilities
    for _ in 0..<8 {
      if view.graph.outputs.contains(value) { return "its result is an output of the model" }
      let readers = view.uses.readers(of: value)
      if let product = readers.first(where: { view.graph[$0].op == .binary(.multiply) }) {
        let weighs = view.graph[product].inputs.allSatisfy { $0.map { view.isActivation($0) } ?? false }
        if weighs { return "its result multiplies a tensor, with no sum over what it normalized" }
      }
      guard let reader = readers.first, let next = view.graph[reader].output(0) else { break }
      switch view.graph[reader].op {
      case .layout, .cast, .unary(.identity), .binary: value = next
      default: return "its result goes to \(view.mnemonic(reader)), not to a product with values"
      }
    }
    return "its result weighs no values"
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
