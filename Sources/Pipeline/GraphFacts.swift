internal import GraphIR
internal import Operators
internal import Tensors

/// What is counted on a graph whose format keeps no counts of its own.
enum GraphFacts {
  /// Elements of the floating-point constants of rank 1 or more that live nodes read.
  static func parameterCount(_ graph: Graph) -> Int {
    var seen = Set<ValueID>()
    var total = 0
    for (_, node) in graph.liveNodes {
      for id in node.reads where seen.insert(id).inserted {
        if let tensor = graph.constant(id), tensor.elementType.isFloatingPoint, !tensor.dims.isEmpty { total += tensor.count }
      }
    }
    return total
  }

  static func operatorCounts(_ graph: Graph) -> [String: Int] {
    graph.liveNodes.reduce(into: [:]) { counts, entry in counts[name(of: entry.1.op), default: 0] += 1 }
  }

  /// `MatMul`, `com.microsoft.BiasGelu`.
  static func name(of op: Op) -> String {
    let (domain, mnemonic) = op.name
    return domain.isEmpty ? mnemonic : "\(domain).\(mnemonic)"
  }
}
