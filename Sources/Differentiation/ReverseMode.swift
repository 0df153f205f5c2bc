public import Diagnostics
public import GraphIR
internal import Tensors

/// Derivatives of one value of a graph with respect to others, as a graph: reverse-mode accumulation (Griewank and
/// Walther, "Evaluating Derivatives", chapter 3) over the nodes between them.
///
/// The meaning is that of ONNX's Gradient (ai.onnx.preview.training 1): a body whose formal inputs take the place of the
/// independent values and of those held fixed, and whose results are the derivatives of the sum of `dependent`'s elements.
public struct ReverseMode {
  public var body: Graph
  /// What the body reads of the graph around it: its last inputs, in this order.
  public var captures: [ValueID]

  /// - Parameters:
  ///   - independent: derivatives are with respect to these; the body's results, in this order.
  ///   - fixed: given anew as the independent values are, but without a derivative.
  /// - Throws: `operatorNotRunnable` where an operator on the way has no derivative here.
  public init(of dependent: ValueID, in graph: Graph, independent: [ValueID], fixed: [ValueID] = []) throws(Failure) {
    var backward = Backward(graph, dependent, given: independent + fixed)
    body = try backward.body(independent)
    captures = backward.captures
  }
}

/// The body under construction.
private struct Backward {
  private let graph: Graph
  private let dependent: ValueID
  private let given: [ValueID]
  /// The nodes between the given values and the dependent one, in order.
  private var nodes: [NodeID] = []
  private var isBetween: Set<NodeID> = []
  private(set) var captures: [ValueID] = []
  private var writer = DerivativeWriter(opsets: [:])
  /// What each value of the graph is in the body.
  private var copies: [ValueID: ValueID] = [:]
  private var derivatives: [ValueID: ValueID] = [:]

  init(_ graph: Graph, _ dependent: ValueID, given: [ValueID]) {
    self.graph = graph
    self.dependent = dependent
    self.given = given
    writer = DerivativeWriter(opsets: graph.opsets)
    let cut = Set(given)
    var reached = cut
    for (_, node) in graph.liveNodes where node.reads.contains(where: { reached.contains($0) }) { reached.formUnion(node.outputs.compactMap { $0 }) }
    var (wanted, pending) = (Set<NodeID>(), [dependent])
    while let value = pending.popLast() {
      guard reached.contains(value), !cut.contains(value), let node = graph.producer(of: value), wanted.insert(node).inserted else { continue }
      pending += graph[node].reads
    }
    isBetween = wanted
    nodes = graph.order.filter { wanted.contains($0) }
  }

  mutating func body(_ independent: [ValueID]) throws(Failure) -> Graph {
    for value in given { copies[value] = writer.input(graph[value].name, graph[value].declaredType) }
    for id in nodes {
      for value in graph[id].reads where copies[value] == nil && graph.constant(value) == nil && !isComputed(value) {
        captures.append(value)
        copies[value] = writer.input(graph[value].name, graph[value].declaredType)
      }
    }
    for id in nodes { try copy(id) }
    if let end = copies[dependent] { derivatives[dependent] = writer.filled(like: end, with: 1) }
    for id in nodes.reversed() { try accumulate(id) }
    var results: [ValueID] = []
    for value in independent {
      guard let copy = copies[value] else { throw Failure(.internalError, "an independent value has no copy") }
      let made = derivatives[value] ?? writer.filled(like: copy, with: 0)
      // A result has a name and a place of its own.
      results.append(writer.add(.unary(.identity), [made]))
    }
    return try writer.finish(results)
  }

  private func isComputed(_ value: ValueID) -> Bool { graph.producer(of: value).map { isBetween.contains($0) } ?? false }

  private mutating func copy(_ id: NodeID) throws(Failure) {
    let node = graph[id]
    guard node.captures.isEmpty, node.op.bodies.isEmpty else { throw noDerivative(node) }
    var inputs: [ValueID?] = []
    for input in node.inputs {
      guard let input else {
        inputs.append(nil)
        continue
      }
      if copies[input] == nil, let tensor = graph.constant(input) { copies[input] = writer.constant(tensor) }
      inputs.append(copies[input])
    }
    for (output, made) in zip(node.outputs, writer.node(node.op, inputs, results: node.outputs.count)) { if let output { copies[output] = made } }
  }

  /// Adds what reaches the node's operands through it.
  private mutating func accumulate(_ id: NodeID) throws(Failure) {
    let node = graph[id]
    guard let result = node.outputs.first.flatMap({ $0 }), let incoming = derivatives[result] else { return }
    guard !node.outputs.dropFirst().contains(where: { $0.map { derivatives[$0] != nil } ?? false }), let output = copies[result] else {
      throw noDerivative(node)
    }
    let operands = node.inputs.map { $0.flatMap { copies[$0] } }
    guard let rule = DerivativeRule(node.op) else { throw noDerivative(node) }
    for (index, input) in node.inputs.enumerated() {
      guard let input, graph.constant(input) == nil, given.contains(input) || isComputed(input),
        let made = try rule.derivative(index, operands, output: output, incoming: incoming, &writer)
      else { continue }
      derivatives[input] = derivatives[input].map { writer.add(.binary(.add), [$0, made]) } ?? made
    }
  }

  private func noDerivative(_ node: Node) -> Failure {
    Failure(.operatorNotRunnable, "the gradient goes through '\(node.name)', for whose operator no derivative is known", at: .element(node.name))
  }
}
