internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// What stands between the product of queries and keys and the softmax.
struct ScorePath {
  /// The product of two activations.
  var product: NodeID
  /// Rearrangements from the product down to the softmax.
  var steps: [NodeID] = []
  var scale = 1.0
  var biases: [(value: ValueID, isMask: Bool)] = []
  var nodes: [NodeID] = []
}

extension GraphView {
  /// Follows scores up from the softmax's operand; nil where no product of activations feeds it.
  func scorePath(_ scores: ValueID, depth: Int = 0) throws(Refusal) -> ScorePath? {
    var path = ScorePath(product: NodeID(raw: 0))
    var value = scores
    var length = 0
    while depth < 4, length < 64, let (id, node) = producer(value), let input = node.input(0) {
      length += 1
      if Rearrangement.isRearrangement(node) {
        path.steps.append(id)
        path.nodes.append(id)
        value = input
        continue
      }
      if isFloatCast(node) {
        path.nodes.append(id)
        value = input
        continue
      }
      switch node.op {
      case .matrix(.matMul):
        guard let other = node.input(1) else { return nil }
        if isActivation(input) && isActivation(other) {
          path.product = id
          path.nodes.append(id)
          path.steps.reverse()
          return path
        }
        if shape(isActivation(input) ? other : input)?.rank ?? 0 >= 3 {
          throw Refusal(id, "queries are learned constants, the same for every input", as: .cross)
        }
        // Heads (or tokens) are mixed by a constant matrix.
        let inner = isActivation(input) ? input : other
        if isScores(inner), try scorePath(inner, depth: depth + 1) != nil {
          throw Refusal(id, "scores are mixed by a constant matrix before the softmax", as: .talkingHeads)
        }
        return nil
      case .convolution:
        if isScores(input), try scorePath(input, depth: depth + 1) != nil {
          throw Refusal(id, "scores pass a convolution before the softmax", as: .talkingHeads)
        }
        return nil
      case .binary(.multiply):
        guard let other = node.input(1) else { return nil }
        if let (factor, _) = scalarFactor(node) {
          path.scale *= factor
          path.nodes.append(id)
          value = input
          continue
        }
        if !isActivation(other), try scorePath(input, depth: depth + 1) != nil { throw Refusal(id, "scores are scaled by other than one number") }
        return nil
      case .binary(.add):
        guard let other = node.input(1) else { return nil }
        let bias: ValueID
        if !isActivation(other) {
          (value, bias) = (input, other)
        } else if !isActivation(input) {
          (value, bias) = (other, input)
        } else if try scorePath(input, depth: depth + 1) != nil {
          (value, bias) = (input, other)
        } else {
          (value, bias) = (other, input)
        }
        if path.scale != 1, !isZero(bias), try scorePath(value, depth: depth + 1) != nil { throw Refusal(id, "the bias is scaled with the scores") }
        path.biases.append((bias, false))
        path.nodes.append(id)
      case .select:
        guard let a = node.input(1), let b = node.input(2) else { return nil }
        if let fill = scalar(a), fill <= -1e4 {
          value = b
        } else if let fill = scalar(b), fill <= -1e4 {
          value = a
        } else {
          return nil
        }
        path.biases.append((input, true))
        path.nodes.append(id)
      default:
        return nil
      }
    }
    return nil
  }

  /// Whether a value has the rank that scores of heads have.
  private func isScores(_ value: ValueID) -> Bool { (shape(value)?.rank ?? 0) >= 3 && isActivation(value) }

  func isZero(_ value: ValueID) -> Bool { scalar(value) == 0 }

  /// Where probabilities multiply an activation: the product, which operand they are, and rearrangements on the way.
  func valueProduct(_ probabilities: ValueID) throws(Refusal) -> (product: NodeID, operand: Int, steps: [NodeID], nodes: [NodeID])? {
    var mixed: NodeID?
    var pending: [(value: ValueID, steps: [NodeID], nodes: [NodeID])] = [(probabilities, [], [])]
    var visited = 0
    while let (value, steps, nodes) = pending.popLast(), visited < 64 {
      visited += 1
      for id in uses.readers(of: value) {
        let node = graph[id]
        guard let output = node.output(0) else { continue }
        if Rearrangement.isRearrangement(node), node.input(0) == value {
          pending.append((output, steps + [id], nodes + [id]))
        } else if isFloatCast(node) || scalarFactor(node)?.0 == 1 {
          pending.append((output, steps, nodes + [id]))
        } else if node.op == .matrix(.matMul), let a = node.input(0), let b = node.input(1) {
          let other = a == value ? b : a
          if isActivation(other) { return (id, a == value ? 0 : 1, steps, nodes + [id]) }
          mixed = id
        } else if case .convolution = node.op {
          mixed = id
        }
      }
    }
    if let mixed { throw Refusal(mixed, "probabilities are mixed by constants before they meet values", as: .talkingHeads) }
    return nil
  }
}
