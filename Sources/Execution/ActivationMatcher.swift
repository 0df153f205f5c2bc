internal import GraphIR
internal import Kernels

/// Finds activation functions that exporters spell out in several nodes:
/// exact GELU as `x * (1 + erf(x / sqrt 2)) / 2` in any order, and Swish as `x * sigmoid(a x)`.
struct ActivationMatcher {
  struct Match {
    var function: Pointwise.Function
    var input: ValueID
    var output: ValueID
    /// In graph order.
    var nodes: [NodeID]
  }

  let builder: PlanBuilder
  init(_ builder: PlanBuilder) { self.builder = builder }

  /// The function that node `id` belongs to, if none of its nodes is planned yet.
  func match(at id: NodeID) -> Match? {
    for input in builder.graph[id].inputs.compactMap({ $0 }) where builder.scalar(input) == nil {
      if let match = match(on: input), match.nodes.contains(id) { return match }
    }
    return nil
  }

  /// The function of `x`, if that is what all readers of `x` compute.
  func match(on x: ValueID) -> Match? {
    for reader in builder.allReaders(x) {
      if let match = exactGelu(x, scaling: reader) ?? swish(x, gate: reader) { return match }
    }
    return nil
  }

  /// The output and only reader's other operand, when `value` has one reader, a binary operator of that kind.
  private func next(_ value: ValueID, _ op: BinaryOp) -> (node: NodeID, other: ValueID, output: ValueID)? {
    guard let reader = builder.onlyReader(value), case .binary(op) = builder.graph[reader].op, let a = builder.graph[reader].input(0),
      let b = builder.graph[reader].input(1), let output = builder.graph[reader].output(0), a != b
    else { return nil }
    return (reader, a == value ? b : a, output)
  }

  private func isNear(_ value: Float?, _ expected: Double) -> Bool {
    guard let value else { return false }
    return abs(Double(value) - expected) <= 1e-6 * abs(expected)
  }

  private func exactGelu(_ x: ValueID, scaling first: NodeID) -> Match? {
    let graph = builder.graph
    let start = graph[first]
    guard let a = start.input(0), let b = start.input(1), let scaled = start.output(0) else { return nil }
    switch start.op {
    case .binary(.divide): guard a == x, isNear(builder.scalar(b), 2.0.squareRoot()) else { return nil }
    case .binary(.multiply): guard isNear(builder.scalar(a == x ? b : a), 0.5.squareRoot()) else { return nil }
    default: return nil
    }
    guard let erf = builder.onlyReader(scaled), case .unary(.erf) = graph[erf].op, let gate = graph[erf].output(0),
      let sum = next(gate, .add), isNear(builder.scalar(sum.other), 1), let product = next(sum.output, .multiply)
    else { return nil }
    var nodes = [first, erf, sum.node, product.node]
    if product.other == x {
      // x * (1 + erf) * 0.5
      guard let half = next(product.output, .multiply), isNear(builder.scalar(half.other), 0.5) else { return nil }
      nodes.append(half.node)
      return finished(.gelu, x, half.output, nodes)
    }
    if isNear(builder.scalar(product.other), 0.5) {
      // (1 + erf) * 0.5 * x
      guard let last = next(product.output, .multiply), last.other == x else { return nil }
      nodes.append(last.node)
      return finished(.gelu, x, last.output, nodes)
    }
    // (x * 0.5) * (1 + erf)
    guard let half = graph.producer(of: product.other), case .binary(.multiply) = graph[half].op, let p = graph[half].input(0), let q = graph[half].input(1),
      builder.onlyReader(product.other) == product.node, p == x && isNear(builder.scalar(q), 0.5) || q == x && isNear(builder.scalar(p), 0.5)
    else { return nil }
    nodes.append(half)
    return finished(.gelu, x, product.output, nodes)
  }

  private func swish(_ x: ValueID, gate first: NodeID) -> Match? {
    let graph = builder.graph
    var (nodes, alpha, sigmoid) = ([first], Float(1), first)
    if case .binary(.multiply) = graph[first].op, let a = graph[first].input(0), let b = graph[first].input(1), let output = graph[first].output(0) {
      guard let factor = builder.scalar(a == x ? b : a), let reader = builder.onlyReader(output) else { return nil }
      alpha = factor
      sigmoid = reader
      nodes.append(reader)
    }
    guard case .unary(.sigmoid) = graph[sigmoid].op, let gate = graph[sigmoid].output(0), let product = next(gate, .multiply), product.other == x else {
      return nil
    }
    return finished(.swish(alpha), x, product.output, nodes + [product.node])
  }

  private func finished(_ function: Pointwise.Function, _ x: ValueID, _ output: ValueID, _ nodes: [NodeID]) -> Match? {
    // Somebody else may read x (a residual), but not the nodes' inner values; `next` has seen to that.
    let order = nodes.sorted()
    return Match(function: function, input: x, output: output, nodes: order)
  }
}
