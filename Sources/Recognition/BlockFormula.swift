internal import Diagnostics
public import GraphIR
public import Inference
internal import Operators
internal import Tensors

/// The computation of one block apart from its graph: from the tensors that it reads, with its own weights and the facts
/// that recognition states, to what it gives. Built as a small graph, so that a run of it can be held against the model's.
///
/// Linear layers, norms, biases and rearrangements stand in it with their extracted constants. The factors that were
/// gathered into the block's scale do not: the scale as reported is applied to the product instead, once.
public struct BlockFormula: Sendable {
  /// The scale as reported, where it is applied, and the nodes that it stands for.
  struct Scaling: Sendable {
    var product: NodeID
    var scale: Double
    var gathered: Set<NodeID>
  }

  /// Canonical values that the block reads.
  var sources: [ValueID]
  /// The canonical value that it gives.
  public var output: ValueID
  var scaling: Scaling?
  /// What the family says of the result beyond the formula.
  public var law: BlockLaw?

  init(_ view: GraphView, sources: [ValueID], output: ValueID, scaling: Scaling? = nil, law: BlockLaw? = nil) {
    self.sources = Set(sources.filter { view.isActivation($0) }).sorted()
    self.output = output
    self.scaling = scaling
    self.law = law
  }

  /// The formula as a graph of its own.
  public struct Standalone: Sendable {
    public var graph: Graph
    /// The graph's inputs by name: canonical values whose tensors they take.
    public var inputs: [(name: String, value: ValueID)]
    /// The canonical value that the graph's only output must equal.
    public var output: ValueID
  }

  /// Formulas longer than this are not built.
  private static let nodeLimit = 2048

  /// - Parameter positions: the place of each node in the canonical graph's order.
  /// - Returns: nil where the block cannot run by itself: bodies, operators without meaning, or nothing that leads from its
  ///   sources to its result.
  public func standalone(in canonical: TypedGraph, positions: HandleMap<NodeTag, Int>) -> Standalone? {
    let graph = canonical.graph
    guard let last = graph.producer(of: output), !sources.isEmpty, !sources.contains(output) else { return nil }
    let first = sources.map { graph.producer(of: $0).map { positions[$0] + 1 } ?? 0 }.min() ?? 0
    guard first <= positions[last], positions[last] - first < Self.nodeLimit else { return nil }
    // What depends on the sources, forward; what the result needs of it, backward.
    var depends = Set(sources)
    let window = graph.order[first...positions[last]]
    for id in window {
      let node = graph[id]
      if node.inputs.contains(where: { $0.map(depends.contains) ?? false }) {
        depends.formUnion(node.outputs.compactMap { $0 }.filter { canonical.constant($0) == nil })
      }
    }
    depends.subtract(sources)
    var needed: Set<ValueID> = [output]
    var nodes: [NodeID] = []
    for id in window.reversed() {
      let node = graph[id]
      guard node.outputs.contains(where: { $0.map { needed.contains($0) && depends.contains($0) } ?? false }) else { continue }
      guard node.op.semantics != nil, node.op.bodies.isEmpty, node.captures.isEmpty else { return nil }
      nodes.append(id)
      needed.formUnion(node.inputs.compactMap { $0 })
    }
    guard depends.contains(output) else { return nil }
    return written(nodes.reversed(), canonical)
  }

  private func written(_ nodes: [NodeID], _ canonical: TypedGraph) -> Standalone? {
    let graph = canonical.graph
    var builder = GraphBuilder(name: "formula", opsets: graph.opsets)
    var known: [ValueID: ValueID] = [:]
    var inputs: [(name: String, value: ValueID)] = []
    func operand(_ value: ValueID) -> ValueID {
      if let made = known[value] { return made }
      let made: ValueID
      if let constant = canonical.constant(value) {
        made = builder.constant("c\(value.raw)", constant)
      } else {
        let name = "in\(inputs.count)"
        made = builder.input(name, canonical.type(of: value))
        inputs.append((name, value))
      }
      known[value] = made
      return made
    }
    // Inputs in the order of sources, so that the block's own input comes first.
    for source in sources where nodes.contains(where: { graph[$0].inputs.contains(source) }) { _ = operand(source) }
    for id in nodes {
      let node = graph[id]
      if let scaling, scaling.gathered.contains(id), let result = node.output(0),
        let passed = node.inputs.compactMap({ $0 }).first(where: { canonical.constant($0) == nil }), canonical.shape(of: passed) == canonical.shape(of: result)
      {
        known[result] = operand(passed)
        continue
      }
      var copy = Node(node.op, [], outputs: [], name: node.name)
      copy.inputs = node.inputs.map { $0.map(operand) }
      let results = builder.node(copy, results: node.outputs.map { $0.map { "v\($0.raw)" } })
      for (old, new) in zip(node.outputs, results) { if let old { known[old] = new } }
      if let scaling, scaling.product == id, let result = node.output(0), let made = known[result] {
        guard let element = canonical.type(of: result)?.element, let factor = Self.number(scaling.scale, element) else { return nil }
        known[result] = builder.node(.binary(.multiply), [made, builder.constant("scale", factor)], result: "scaled")
      }
    }
    guard let result = known[output], graph.producer(of: output) != nil else { return nil }
    builder.outputs([result])
    do throws(Failure) { return Standalone(graph: try builder.finish(), inputs: inputs, output: output) } catch { return nil }
  }

  private static func number(_ value: Double, _ element: ElementType) -> Tensor? {
    switch element {
    case .float32: try? Tensor(float32: [Float(value)], dims: [])
    case .float64: try? Tensor(float64: [value], dims: [])
    case .float16: try? Tensor(.float16, dims: [], values: [Float16(value)])
    default: nil
    }
  }
}
