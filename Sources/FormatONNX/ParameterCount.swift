internal import GraphIR
internal import Tensors

extension Graph {
  /// How many learned numbers a model as read holds, as its author counts them: floating-point initializers, once more for each
  /// `Identity` of one, which is how exporters spell a weight that two layers share. A file without initializers has them in `Constant` nodes.
  ///
  /// - Parameter initializers: the names of the initializers of `message`.
  func parameterCount(of message: GraphMessage, initializers: Set<String>) -> Int {
    var sizes: [String: Int] = [:]
    for value in values.handles {
      guard let tensor = constant(value), tensor.elementType.isFloatingPoint else { continue }
      let name = self[value].name
      if initializers.isEmpty || initializers.contains(name) { sizes[name] = tensor.count }
    }
    let shared = initializers.isEmpty ? [] : message.nodes.lazy.filter { $0.opType == "Identity" }.compactMap { $0.inputs.first.flatMap { sizes[$0] } }
    return (Array(sizes.values) + shared).reduce(0) { sum, count in
      let (total, overflow) = sum.addingReportingOverflow(count)
      return overflow ? Int.max : total
    }
  }
}
