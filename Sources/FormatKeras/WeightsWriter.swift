internal import Bytes
public import Diagnostics
internal import FormatHDF5
public import GraphIR
internal import Tensors

/// Writes the weights of a graph as a state dictionary: HDF5 or safetensors. The graph itself is not in such a file; its
/// inputs, outputs and operator sets are told beside the weights.
public enum WeightsWriter {
  /// Every constant that a live node reads, under its name with dots.
  private static func weights(of graph: Graph) throws(Failure) -> [(name: String, tensor: Tensor)] {
    var result: [(name: String, tensor: Tensor)] = []
    var seen: Set<ValueID> = []
    var names: Set<String> = []
    let reads = graph.liveNodes.flatMap { $0.1.reads } + graph.outputs
    for id in reads {
      guard let tensor = graph.constant(id), seen.insert(id).inserted, tensor.elementType != .string else { continue }
      // A dot is the usual separator, and no name may be another's group.
      let plain = graph[id].name.split(separator: "/").joined(separator: ".")
      var name = plain.isEmpty ? "constant" : plain
      var count = 0
      while !names.insert(name).inserted {
        count += 1
        name = "\(plain)_\(count)"
      }
      result.append((name, tensor))
    }
    guard !result.isEmpty else { throw Failure(.notExpressible, "the graph has no weights to write") }
    return result
  }

  private static func metadata(of graph: Graph) -> [(String, String)] {
    func ports(_ values: [ValueID]) -> String {
      values.map { id in graph[id].declaredType.map { "\(graph[id].name): \($0)" } ?? graph[id].name }.joined(separator: ", ")
    }
    return [
      ("format", "state_dict"), ("producer", "vitconv"), ("graph", graph.name), ("inputs", ports(graph.inputs)), ("outputs", ports(graph.outputs)),
      ("opsets", graph.opsets.sorted { $0.key < $1.key }.map { "\($0.key.isEmpty ? "ai.onnx" : $0.key)=\($0.value)" }.joined(separator: ",")),
    ]
  }

  /// Datasets at the root, and a group `metadata` with attributes.
  public static func writeHDF5(_ graph: Graph, to path: String) throws(Failure) {
    let all = try weights(of: graph)
    try AtomicOutput.write(to: path, protecting: sources(all)) { (temporary) throws(Failure) in
      try HDF5Writer.write(to: temporary) { (file) throws(Failure) in
        for (name, tensor) in all { try file.dataset(name == "metadata" ? "metadata_" : name, tensor) }
        try file.group("metadata")
        for (key, value) in metadata(of: graph) { try file.attribute(key, value, of: "metadata") }
      }
    }
  }

  public static func writeSafetensors(_ graph: Graph, to path: String) throws(Failure) {
    let all = try weights(of: graph)
    let segments = try Safetensors.segments(all, metadata: Dictionary(uniqueKeysWithValues: metadata(of: graph)))
    try AtomicOutput.write(segments, to: path, protecting: sources(all))
  }

  static func sources(_ weights: [(name: String, tensor: Tensor)]) -> [String] {
    var names: Set<String> = []
    for (_, tensor) in weights { if case .mapped(let source, _) = tensor.storage { names.insert(source.name) } }
    return names.sorted()
  }
}
