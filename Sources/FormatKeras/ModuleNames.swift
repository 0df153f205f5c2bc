internal import GraphIR
internal import Tensors

/// What the constants of a graph are called in the state dictionary of the module that it was exported from.
///
/// Exporters fold the transposition of a linear layer's weight into a new constant of a name of their own
/// (`onnx::MatMul_231`, `val_12`), (in, out). The node that reads it tells the module: by its name,
/// `/blocks/blocks.0/attn/qkv/MatMul`, or by the scopes noted beside it. The module's own weight is (out, in).
struct ModuleNames {
  /// By the constant's name in the graph.
  private var linear: [String: String] = [:]

  init(_ graph: Graph) {
    var taken: Set<String> = []
    var found: [(own: String, name: String)] = []
    for value in graph.values.handles where graph.constant(value) != nil { taken.insert(graph[value].name) }
    for (_, node) in graph.liveNodes {
      switch node.op {
      case .matrix(.matMul), .matrix(.gemm(_, _, transposeA: false, transposeB: false)): break
      default: continue
      }
      guard let weight = node.input(1), let tensor = graph.constant(weight), tensor.dims.count == 2, tensor.elementType.isFloatingPoint,
        tensor.elementType.bitWidth % 8 == 0, ModuleNames.isExporters(graph[weight].name), let module = ModuleNames.module(node, graph)
      else { continue }
      found.append((graph[weight].name, module + ".weight"))
    }
    for (own, name) in found where linear[own] == nil && taken.insert(name).inserted { linear[own] = name }
  }

  /// The weight of a linear layer, whose constant is its transpose; nil for other constants.
  func linearWeight(_ own: String) -> String? { linear[own] }

  /// Whether the constant is a part of how the graph was written down, a shape or a number, and none of the model's weights.
  static func isNotation(_ own: String, _ tensor: Tensor) -> Bool {
    guard isExporters(own), tensor.count <= 16, tensor.elementType != .string else { return false }
    return !tensor.elementType.isFloatingPoint || (tensor.count == 1 && tensor.scalar?.isFinite ?? false)
  }

  /// Whether an exporter made the name up.
  private static func isExporters(_ name: String) -> Bool {
    if name.isEmpty || name.contains("::") || name.contains("/") || name.contains("Constant") { return true }
    let stem = name.hasPrefix("val_") ? name.dropFirst(4) : name[...]
    return stem.allSatisfy { $0.isASCII && ($0.isNumber || $0 == "_") }
  }

  private static func module(_ node: Node, _ graph: Graph) -> String? {
    if let record = node.record, let noted = graph.source?.metadata(ofRecord: record)["pkg.torch.onnx.name_scopes"] {
      let scopes = noted.split(separator: "'", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
      guard let function = scopes.last, function.hasPrefix("linear"), scopes.count > 1, let module = scopes.dropLast().last, !module.isEmpty else { return nil }
      return String(module)
    }
    guard node.name.hasPrefix("/"), node.name.hasSuffix("/MatMul") || node.name.hasSuffix("/Gemm") else { return nil }
    var path: [Substring] = []
    // A container is repeated in the name of what it contains.
    for part in node.name.split(separator: "/").dropLast() {
      if let last = path.last, part.hasPrefix(last + ".") { path.removeLast() }
      path.append(part)
    }
    return path.isEmpty ? nil : path.joined(separator: ".")
  }
}
