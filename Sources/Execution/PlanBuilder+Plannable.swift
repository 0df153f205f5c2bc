internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

extension PlanBuilder {
  /// Whether everything that runs is a tensor of known shape and whole bytes, so that memory can be laid out before the
  /// run. Shapes that a file declares and no rule tells may be wrong, so they are not known. A symbolic input says no such thing: there the plan fails and tells what to give.
  static func isPlannable(_ typed: TypedGraph, wanted: [ValueID]) -> Bool {
    let graph = typed.graph
    if typed.reliesOnDeclarations { return false }
    let givesShapes = graph.inputs.allSatisfy { typed.type(of: $0).map { $0.shape?.concrete != nil } ?? true }
    func isPlain(_ value: ValueID) -> Bool {
      guard let type = typed.type(of: value), let shape = type.shape else { return false }
      guard type.element != .string, type.element.bitWidth % 8 == 0 else { return false }
      return shape.concrete != nil || !givesShapes
    }
    var seen = HandleMap<ValueTag, Bool>(count: graph.values.count, initial: false)
    var pending = wanted
    while let value = pending.popLast() {
      if seen[value] { continue }
      seen[value] = true
      if let producer = graph.producer(of: value), typed.constant(value) == nil {
        if graph[producer].op.semantics == nil { return false }
        for result in graph[producer].outputs.compactMap({ $0 }) where !isPlain(result) { return false }
        pending += graph[producer].reads
      } else if !isPlain(value) {
        return false
      }
    }
    return true
  }
}
