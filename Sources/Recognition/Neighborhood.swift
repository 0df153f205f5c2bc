public import GraphIR
public import Inference
internal import Operators
internal import Tensors

/// The canonical graph around one node of the graph as read, for the question why it is part of no block.
public enum Neighborhood {
  /// One line for each canonical node that stands for `node`, those that make its operands and those that read its results:
  /// `scores = MatMul(q, k) : 1 x 4 x 17 x 17 (batch, channel, token, token)`.
  public static func lines(around node: NodeID, canonical: TypedGraph, original: Graph) -> [String] {
    let view = GraphView(canonical, original: original)
    var own: [NodeID] = []
    for (id, made) in canonical.graph.liveNodes where id == node || made.origins.contains(node) { own.append(id) }
    var near = Set(own)
    for id in own {
      for case let input? in view.graph[id].inputs { if let made = view.producer(input) { near.insert(made.id) } }
      for case let output? in view.graph[id].outputs { near.formUnion(view.uses.readers(of: output)) }
    }
    if own.isEmpty { return ["nothing of it is left in canonical form: it is folded into constants or changes nothing"] }
    return canonical.graph.order.filter(near.contains).map { (own.contains($0) ? "> " : "  ") + line($0, view) }
  }

  private static func line(_ id: NodeID, _ view: GraphView) -> String {
    let node = view.graph[id]
    let operands = node.inputs.map { $0.map { operand($0, view) } ?? "-" }.joined(separator: ", ")
    guard let output = node.output(0) else { return "\(view.mnemonic(id))(\(operands))" }
    let shape = view.shape(output)?.dims.map(\.description).joined(separator: " x ") ?? "?"
    let kinds = view.labels.kinds(output).map { kind in
      switch kind {
      case .batch?: "batch"
      case .token?: "token"
      case .channel?: "channel"
      case .other?: "other"
      case nil: "1"
      }
    }.joined(separator: ", ")
    return "\(view.graph[output].name) = \(view.mnemonic(id))(\(operands)) : \(shape) (\(kinds))"
  }

  private static func operand(_ value: ValueID, _ view: GraphView) -> String {
    if let number = view.scalar(value) { return "\(Float(number))" }
    return view.graph[value].name
  }
}
