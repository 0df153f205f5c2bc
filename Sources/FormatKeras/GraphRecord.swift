internal import Bytes
internal import Diagnostics
internal import GraphIR
internal import GraphText
internal import Operators
internal import Tensors

/// What a state dictionary of ours holds: weights by name, and in its metadata the graph that they belong to.
///
/// | key | value |
/// |---|---|
/// | `format` | `state_dict` |
/// | `producer` | `vitconv` |
/// | `graph` | the graph's name |
/// | `inputs`, `outputs` | names and types, for people |
/// | `opsets` | `ai.onnx=17,…` |
/// | `graph_text` | the graph in the text form, each weight by its name in the file |
///
/// The weight of a linear layer has the name and the axes, (out, in), of PyTorch's module where the graph tells them
/// (`ModuleNames`); the text reads `weight @"fc.weight.T"` then. Numbers and shapes that an exporter noted stand in the text.
///
/// `graph_text` is left out for graphs that the text form does not hold whole: those with operators that vitconv does not
/// know, whose attributes stand in the original file alone.
struct GraphRecord {
  static let group = "metadata"
  static let graphKey = "graph_text"
  /// Behind a weight's name in the text: the graph's constant is the transpose of that matrix.
  static let transposedSuffix = ".T"

  private(set) var weights: [(name: String, tensor: Tensor)] = []
  private(set) var metadata: [(String, String)] = []

  /// - Throws: `notExpressible` for a graph without weights.
  init(_ graph: Graph) throws(Failure) {
    if let source = graph.source as? WeightsRecord, source.isWhole(graph) {
      weights = source.tensors.sorted { $0.key < $1.key }.map { (name: $0.key, tensor: $0.value) }
      metadata = source.metadata.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
      return
    }
    let graph = (try? graph.inliningCalls()) ?? graph
    var kept: [(name: String, tensor: Tensor)] = []
    var names = FreshNames(taken: [GraphRecord.group])
    let modules = ModuleNames(graph)
    let hasWeights = graph.values.handles.contains { id in
      graph.constant(id).map { $0.elementType != .string && !ModuleNames.isNotation(graph[id].name, $0) } ?? false
    }
    let text = GraphPrinter.print(graph) { own, tensor in
      guard tensor.elementType != .string, !hasWeights || !ModuleNames.isNotation(own, tensor) else { return nil }
      if let name = modules.linearWeight(own), let turned = try? tensor.transposed([1, 0]), names.take(name) {
        kept.append((name, turned))
        return name + GraphRecord.transposedSuffix
      }
      // A dot is the usual separator, and no name may be another's group.
      let plain = own.split(separator: "/").joined(separator: ".")
      let name = names.make(plain.isEmpty || plain.utf8.contains(0) ? "constant" : plain)
      kept.append((name, tensor))
      return name
    }
    guard !kept.isEmpty else { throw Failure(.notExpressible, "the graph has no weights to write") }
    weights = kept

    func ports(_ values: [ValueID]) -> String {
      values.map { id in graph[id].declaredType.map { "\(graph[id].name): \($0)" } ?? graph[id].name }.joined(separator: ", ")
    }
    metadata = [
      ("format", "state_dict"), ("producer", "vitconv"), ("graph", graph.name), ("inputs", ports(graph.inputs)), ("outputs", ports(graph.outputs)),
      ("opsets", graph.opsets.sorted { $0.key < $1.key }.map { "\($0.key.isEmpty ? "ai.onnx" : $0.key)=\($0.value)" }.joined(separator: ",")),
    ]
    if GraphRecord.isWhole(graph) { metadata.append((GraphRecord.graphKey, text)) }
    // Attributes of HDF5 and strings of C end at a zero.
    metadata = metadata.map { ($0, $1.replacing("\0", with: "\u{FFFD}")) }
  }

  /// Whether the text form says all that the graph computes.
  private static func isWhole(_ graph: Graph) -> Bool {
    graph.liveNodes.allSatisfy { _, node in
      switch node.op {
      case .foreign, .call: false
      default: node.op.bodies.allSatisfy { isWhole($0.graph) }
      }
    }
  }

  /// The files that the weights are read from.
  var files: [String] {
    var names: Set<String> = []
    for (_, tensor) in weights { if case .mapped(let source, _) = tensor.storage { names.insert(source.name) } }
    return names.sorted()
  }

  /// The graph that a text tells, with these weights.
  static func graph(_ text: String, weights: [String: Tensor]) throws(Failure) -> Graph {
    do throws(Failure) {
      return try GraphParser.parse(text) { name in
        if let tensor = weights[name] { return tensor }
        guard name.hasSuffix(transposedSuffix), let tensor = weights[String(name.dropLast(transposedSuffix.count))], tensor.dims.count == 2 else {
          return nil
        }
        return try? tensor.transposed([1, 0])
      }
    } catch {
      throw error.located(element: "\(group)/\(graphKey)")
    }
  }
}

/// The weights as a state dictionary held them, before they became a graph: a copy of an untouched one is made of these,
/// names, unused tensors and metadata included.
final class WeightsRecord: SourceRecordKeeper {
  let tensors: [String: Tensor]
  let metadata: [String: String]
  private let nodeCount: Int
  private let valueCount: Int

  init(tensors: [String: Tensor], metadata: [String: String], of graph: Graph) {
    self.tensors = tensors
    self.metadata = metadata
    nodeCount = graph.nodes.count
    valueCount = graph.values.count
  }

  /// Whether the graph is as it was read: edits add nodes or values.
  func isWhole(_ graph: Graph) -> Bool { graph.nodes.count == nodeCount && graph.values.count == valueCount }
}
