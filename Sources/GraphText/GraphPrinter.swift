public import GraphIR
internal import Tensors

/// Writes a graph as text (schemas/vcg.ebnf). Constants stand before the first node that reads them, and those that
/// nothing reads are left out; `print(parse(t)) == t` for every text in the form written here.
///
/// Not in the text: elements of large constants, origins, format records and attributes of foreign operators.
public enum GraphPrinter {
  public static func print(_ graph: Graph) -> String {
    var lines = [header(graph)]
    var shown = Set<ValueID>()
    func showConstant(_ id: ValueID) {
      guard case .constant(let tensor) = graph[id].definition, shown.insert(id).inserted else { return }
      lines.append("  \(ValueName.spelled(graph[id].name)) = \(ConstantText.spelled(tensor))")
    }
    let outputs = Set(graph.outputs)
    for (_, node) in graph.liveNodes {
      for value in node.reads { showConstant(value) }
      let results = node.outputs.map { result in
        guard let result else { return "_" }
        let type = outputs.contains(result) ? nil : graph[result].declaredType
        return ValueName.spelled(graph[result].name) + (type.map { ": \(TypeText.spelled($0))" } ?? "")
      }
      let operands = node.inputs.map { $0.map { ValueName.spelled(graph[$0].name) } ?? "_" }
      let spelling = OpSpelling(node.op)
      var line = "  \(results.joined(separator: ", ")) = \(spelling.mnemonic)(\(operands.joined(separator: ", ")))"
      if !spelling.attributes.isEmpty { line += " {" + spelling.attributes.map { "\($0.name) = \($0.value.spelled)" }.joined(separator: ", ") + "}" }
      if !node.captures.isEmpty { line += " captures(" + node.captures.map { ValueName.spelled(graph[$0].name) }.joined(separator: ", ") + ")" }
      if !node.name.isEmpty { line += " @\(ValueName.quoted(node.name))" }
      lines.append(line)
    }
    for output in graph.outputs { showConstant(output) }
    return lines.joined(separator: "\n") + "\n}\n"
  }

  private static func header(_ graph: Graph) -> String {
    func typed(_ id: ValueID) -> String {
      ValueName.spelled(graph[id].name) + (graph[id].declaredType.map { ": \(TypeText.spelled($0))" } ?? "")
    }
    var seen = Set(graph.inputs)
    let outputs = graph.outputs.map { id in
      let first = seen.insert(id).inserted
      return first && graph.constant(id) == nil ? typed(id) : ValueName.spelled(graph[id].name)
    }
    var text = "graph \(ValueName.spelled(graph.name))(\(graph.inputs.map(typed).joined(separator: ", "))) -> (\(outputs.joined(separator: ", ")))"
    if graph.opsets != ["": 18] {
      text += " opset(" + graph.opsets.sorted { $0.key < $1.key }.map { "\(ValueName.quoted($0.key)) \($0.value)" }.joined(separator: ", ") + ")"
    }
    return text + " {"
  }
}
