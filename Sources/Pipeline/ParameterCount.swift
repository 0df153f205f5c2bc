internal import GraphIR
internal import Tensors

/// How many numbers the weights of a graph hold.
enum ParameterCount {
  /// Elements of the floating-point constants of rank 1 or more that live nodes read.
  static func of(_ graph: Graph) -> Int {
    var seen = Set<ValueID>()
    var total = 0
    for (_, node) in graph.liveNodes {
      for id in node.reads where seen.insert(id).inserted {
        if let tensor = graph.constant(id), tensor.elementType.isFloatingPoint, !tensor.dims.isEmpty { total += tensor.count }
      }
    }
    return total
  }
}
