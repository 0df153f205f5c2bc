internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// A canonical graph with the side tables that recognizers share.
struct GraphView {
  let typed: TypedGraph
  let original: Graph
  let uses: Uses
  /// Whether a value's elements depend on an input of the graph (its sizes do not count).
  private let dependent: HandleMap<ValueTag, Bool>
  /// Where in the order of execution each value is made; 0 for what no node makes.
  private let positions: HandleMap<ValueTag, Int>
  /// What each axis of each activation means.
  let labels: AxisLabels

  init(_ typed: TypedGraph, original: Graph) {
    self.typed = typed
    self.original = original
    uses = Uses(typed.graph)
    var dependent = HandleMap<ValueTag, Bool>(count: typed.graph.values.count, initial: false)
    for input in typed.graph.inputs { dependent[input] = true }
    var positions = HandleMap<ValueTag, Int>(count: typed.graph.values.count, initial: 0)
    var position = 0
    for (_, node) in typed.graph.liveNodes {
      position += 1
      for case let output? in node.outputs { positions[output] = position }
      if case .generator(let generator) = node.op {
        switch generator {
        case .shape, .size: continue
        case .constantOfShape, .range, .eyeLike: break
        }
      }
      let depends = node.inputs.contains { $0.map { dependent[$0] } ?? false } || node.captures.contains { dependent[$0] }
      if depends { for output in node.outputs { if let output { dependent[output] = true } } }
    }
    self.dependent = dependent
    self.positions = positions
    labels = AxisLabels(typed) { dependent[$0] && typed.constant($0) == nil }
  }

  var graph: Graph { typed.graph }
  func isActivation(_ value: ValueID) -> Bool { dependent[value] && typed.constant(value) == nil }
  func shape(_ value: ValueID) -> Shape? { typed.shape(of: value) }

  func producer(_ value: ValueID) -> (id: NodeID, node: Node)? { graph.producer(of: value).map { ($0, graph[$0]) } }

  /// The value from which branches part that meet again in `value`; nil where they do not within `limit` nodes, or where
  /// one of them holds a product of two activations.
  func parting(_ value: ValueID, limit: Int = 64) -> ValueID? {
    var frontier: Set<ValueID> = [value]
    for _ in 0..<limit {
      // What is made last is opened first, so that nothing is opened before all that reads it.
      guard let last = frontier.max(by: { positions[$0] < positions[$1] }), let (_, node) = producer(last) else { return nil }
      let operands = node.inputs.compactMap { $0 }.filter { isActivation($0) }
      if case .matrix = node.op, operands.count > 1 { return nil }
      frontier.remove(last)
      frontier.formUnion(operands)
      if frontier.count == 1 { return frontier.first }
      if frontier.isEmpty { return nil }
    }
    return nil
  }

  /// The element of a constant that has one, or whose elements are all alike.
  func scalar(_ value: ValueID) -> Double? {
    guard let tensor = typed.constant(value), tensor.count >= 1, tensor.count <= Inference.foldingLimit else { return nil }
    if tensor.count == 1 { return tensor.scalar }
    guard let all = tensor.doubles(), let first = all.first, all.allSatisfy({ $0 == first }) else { return nil }
    return first
  }

  /// The value of the original graph that a canonical one equals.
  func original(of value: ValueID) -> ValueID? {
    var value = value
    while value.index >= original.values.count {
      guard let origin = graph[value].origin else { return nil }
      value = origin
    }
    return value
  }

  /// The nodes of the original graph that canonical ones stand for.
  func originals(of nodes: some Sequence<NodeID>) -> [NodeID] {
    var result = Set<NodeID>()
    for id in nodes {
      if id.index < original.nodes.count { result.insert(id) } else { result.formUnion(graph[id].origins.filter { $0.index < original.nodes.count }) }
    }
    return result.sorted()
  }

  func original(of node: NodeID) -> NodeID? {
    if node.index < original.nodes.count { return node }
    let candidates = graph[node].origins.filter { $0.index < original.nodes.count }
    return candidates.max()
  }
}
