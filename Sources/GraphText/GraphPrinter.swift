public import GraphIR
public import Tensors

/// Writes a graph as text (schemas/vcg.ebnf). Constants stand before the first node that reads them, and those that
/// nothing reads are left out; `print(parse(t)) == t` for every text in the form written here.
///
/// Not in the text: elements of large constants, origins, format records and attributes of foreign operators.
public enum GraphPrinter {
  /// The name under which the elements of a constant are kept elsewhere, given its own name; nil: the text holds what it
  /// holds of constants.
  public typealias WeightKeeper = (_ name: String, _ tensor: Tensor) -> String?

  /// - Parameter keeper: asked for every constant of the graph and of its bodies. With one, large constants must all be
  ///   kept for the text to tell the whole graph.
  public static func print(_ graph: Graph, keeper: WeightKeeper = { _, _ in nil }) -> String {
    let ports = "(\(inputs(graph.inputs, graph))) -> (\(outputs(graph)))"
    return "graph \(ValueName.spelled(graph.name))\(ports)" + opsets(graph, unless: ["": 18]) + " {\n" + statements(graph, indent: "  ", keeper) + "}\n"
  }

  private static func statements(_ graph: Graph, indent: String, _ keeper: WeightKeeper) -> String {
    var lines = ""
    var shown = Set<ValueID>()
    func showConstant(_ id: ValueID) {
      guard case .constant(let tensor) = graph[id].definition, shown.insert(id).inserted else { return }
      let kept = keeper(graph[id].name, tensor)
      let spelling = kept.map { "weight @\(ValueName.quoted($0)) : \(TypeText.spelled(tensor.type))" } ?? ConstantText.spelled(tensor)
      lines += "\(indent)\(ValueName.spelled(graph[id].name)) = \(spelling)\n"
    }
    let outputs = Set(graph.outputs)
    for (_, node) in graph.liveNodes {
      for value in node.reads { showConstant(value) }
      let results = node.outputs.map { result in
        guard let result else { return "_" }
        return ValueName.spelled(graph[result].name) + (outputs.contains(result) ? "" : declaration(result, graph))
      }
      let operands = node.inputs.map { $0.map { ValueName.spelled(graph[$0].name) } ?? "_" }
      let spelling = OpSpelling(node.op)
      lines += "\(indent)\(results.joined(separator: ", ")) = \(spelling.mnemonic)(\(operands.joined(separator: ", ")))"
      if !spelling.attributes.isEmpty { lines += " {" + spelling.attributes.map { "\($0.name) = \($0.value.spelled)" }.joined(separator: ", ") + "}" }
      if !node.captures.isEmpty { lines += " captures(" + node.captures.map { ValueName.spelled(graph[$0].name) }.joined(separator: ", ") + ")" }
      if !node.name.isEmpty { lines += " @\(ValueName.quoted(node.name))" }
      lines += "\n"
      for body in node.op.bodies { lines += text(of: body, in: graph, indent: indent + "  ", keeper) }
    }
    for output in graph.outputs { showConstant(output) }
    return lines
  }

  /// `body %name(formals) captures [0, 2] (captured) -> (outputs) {`, the node's statements inside.
  private static func text(of body: Subgraph, in outer: Graph, indent: String, _ keeper: WeightKeeper) -> String {
    let graph = body.graph
    var line = "\(indent)body \(ValueName.spelled(graph.name))(\(inputs(Array(body.formals), graph)))"
    if !body.captures.isEmpty {
      line += " captures [\(body.captures.map(String.init).joined(separator: ", "))] (\(inputs(graph.inputs.suffix(body.captures.count), graph)))"
    }
    line += " -> (\(outputs(graph)))" + opsets(graph, unless: outer.opsets) + " {\n"
    return line + statements(graph, indent: indent + "  ", keeper) + "\(indent)}\n"
  }

  private static func declaration(_ id: ValueID, _ graph: Graph) -> String {
    if let type = graph[id].declaredContainer { return ": \(TypeText.spelled(type))" }
    return graph[id].declaredType.map { ": \(TypeText.spelled($0))" } ?? ""
  }

  private static func inputs(_ ids: [ValueID], _ graph: Graph) -> String {
    ids.map { ValueName.spelled(graph[$0].name) + declaration($0, graph) }.joined(separator: ", ")
  }

  private static func outputs(_ graph: Graph) -> String {
    var seen = Set(graph.inputs)
    return graph.outputs.map { id in
      let first = seen.insert(id).inserted
      return ValueName.spelled(graph[id].name) + (first && graph.constant(id) == nil ? declaration(id, graph) : "")
    }.joined(separator: ", ")
  }

  private static func opsets(_ graph: Graph, unless usual: [String: Int]) -> String {
    guard graph.opsets != usual else { return "" }
    return " opset(" + graph.opsets.sorted { $0.key < $1.key }.map { "\(ValueName.quoted($0.key)) \($0.value)" }.joined(separator: ", ") + ")"
  }
}
