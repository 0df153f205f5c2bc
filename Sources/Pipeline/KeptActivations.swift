internal import GraphIR
internal import Tensors

/// Values of all samples that later runs start from, each good for every graph that computes it in the same way.
///
/// Two values are the same when the nodes and constants before them are: a fingerprint over operators, operands and the
/// memory of constants tells. Entries hold their graph, so that memory they were told by is not given to others.
final class KeptActivations {
  private var entries: [(fingerprint: Int, graph: Graph, tensor: Tensor)] = []
  /// Beyond this the oldest leave.
  private static let byteLimit = 512 << 20

  func holds(_ value: ValueID, of graph: Graph) -> Bool {
    let fingerprint = Self.fingerprints(graph)[value]
    return entries.contains { $0.fingerprint == fingerprint }
  }

  func keep(_ value: ValueID, of graph: Graph, _ tensor: Tensor) {
    entries.append((Self.fingerprints(graph)[value], graph, tensor))
    var bytes = entries.reduce(0) { $0 + $1.tensor.byteCount }
    while bytes > Self.byteLimit, entries.count > 1 { bytes -= entries.removeFirst().tensor.byteCount }
  }

  /// All kept values that `graph` computes.
  func known(in graph: Graph) -> [ValueID: Tensor] {
    if entries.isEmpty { return [:] }
    let fingerprints = Self.fingerprints(graph)
    let places = Dictionary(entries.enumerated().map { ($1.fingerprint, $0) }) { _, last in last }
    var result: [ValueID: Tensor] = [:]
    for (_, node) in graph.liveNodes {
      for case let output? in node.outputs {
        if let place = places[fingerprints[output]] { result[output] = entries[place].tensor }
      }
    }
    return result
  }

  private static func fingerprints(_ graph: Graph) -> HandleMap<ValueTag, Int> {
    var result = HandleMap<ValueTag, Int>(count: graph.values.count, initial: 0)
    func hash(_ value: ValueID) -> Int {
      var hasher = Hasher()
      switch graph[value].definition {
      case .input(let index): hasher.combine(index)
      case .node: return result[value]
      case .constant(let tensor):
        hasher.combine(tensor.dims)
        switch tensor.storage {
        case .memory(let buffer): hasher.combine(ObjectIdentifier(buffer))
        case .mapped(let source, let range):
          hasher.combine(ObjectIdentifier(source))
          hasher.combine(range)
        case .strings(let strings): hasher.combine(strings)
        }
      }
      return hasher.finalize()
    }
    for (_, node) in graph.liveNodes {
      var hasher = Hasher()
      hasher.combine(node.op)
      for input in node.inputs { hasher.combine(input.map(hash)) }
      for capture in node.captures { hasher.combine(hash(capture)) }
      let whole = hasher.finalize()
      for (index, output) in node.outputs.enumerated() {
        guard let output else { continue }
        var own = Hasher()
        own.combine(whole)
        own.combine(index)
        // An operator without meaning in the IR keeps its attributes in its record.
        if case .foreign = node.op { own.combine(output) }
        result[output] = own.finalize()
      }
    }
    return result
  }
}
