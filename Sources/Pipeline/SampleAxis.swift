internal import GraphIR
internal import Tensors

/// Which inputs of a graph hold one sample after another along their first axis, and which are one thing for all samples:
/// a table of positions, tokens without an axis of samples, a number.
enum SampleAxis {
  private struct Port {
    var name: String
    /// The first axis as the graph declares it; nil where it declares none.
    var declared: Dim?
    /// The first axis of the array; nil for a number.
    var rows: Int?

    /// Whether the array is all that the declared axis takes.
    var fits: Bool { declared?.value.map { $0 == rows } ?? false }
  }

  /// The inputs that are the same for all samples.
  ///
  /// Where the graph leaves a first axis open, that axis is the batch: others of its symbol have it too, and an input of a
  /// fixed first axis has not, when the array is of that size. Where all first axes are fixed, the batch is the axis that
  /// some array goes beyond, else that of the first output.
  static func shared(_ arrays: [String: Tensor], in graph: Graph) -> Set<String> {
    var ports: [Port] = []
    for id in graph.inputs {
      let (name, dims) = (graph[id].name, graph[id].declaredType?.shape?.dims)
      if let array = arrays[name] { ports.append(Port(name: name, declared: dims?.first, rows: array.dims.first)) }
    }
    let isShared: (Port) -> Bool
    if let lead = ports.first(where: { $0.rows != nil && $0.declared?.value == nil }) {
      isShared = { port in
        if port.declared?.value != nil { return port.fits }
        return port.declared != lead.declared && port.rows != lead.rows
      }
    } else {
      let results = graph.outputs.lazy.compactMap { graph[$0].declaredType?.shape?.dims.first?.value }.first
      let arrayed = ports.filter { $0.rows != nil }
      guard let lead = arrayed.first(where: { !$0.fits }) ?? arrayed.first(where: { $0.rows == results }) ?? arrayed.first else {
        return Set(ports.map(\.name))
      }
      isShared = { $0.fits && ($0.declared != lead.declared || $0.rows != lead.rows) }
    }
    return Set(ports.filter { $0.rows == nil || isShared($0) }.map(\.name))
  }
}
