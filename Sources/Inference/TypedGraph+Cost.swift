public import GraphIR
public import Operators
internal import Tensors

/// What running the graph takes. Sizes that are not known count as 1: a dynamic batch is one sample.
extension TypedGraph {
  /// Work of one node; none for what is known before the run.
  public func cost(of node: NodeID) -> Cost {
    let node = graph[node]
    guard let op = node.op.semantics, node.outputs.contains(where: { $0.map { constant($0) == nil } ?? false }) else { return Cost() }
    return op.cost(operands: node.inputs.map { $0.flatMap { sized($0) } }, results: node.outputs.compactMap { $0.flatMap { sized($0) } })
  }

  public var cost: Cost {
    graph.order.reduce(Cost()) { sum, node in
      let own = cost(of: node)
      return Cost(macs: sum.macs &+ own.macs, elementwise: sum.elementwise &+ own.elementwise)
    }
  }

  private func sized(_ value: ValueID) -> TensorType? {
    guard var type = type(of: value) else { return nil }
    if let shape = type.shape, shape.concrete == nil {
      let ones = Dictionary(uniqueKeysWithValues: Set(shape.dims.flatMap(\.symbols)).map { ($0, 1) })
      type.shape = shape.substituting(ones)
    }
    return type
  }

  /// The most bytes that floating-point values computed from the inputs hold at one time, when each is freed after its
  /// last reader and no node works in place.
  public var activationBytesPeak: Int {
    var remaining = HandleMap<ValueTag, Int>(count: graph.values.count, initial: 0)
    for node in graph.order { for value in graph[node].reads { remaining[value] += 1 } }
    for value in graph.outputs { remaining[value] += 1 }
    /// Bytes that are freed with a value: kept when it is made.
    var sizes = HandleMap<ValueTag, Int>(count: graph.values.count, initial: 0)
    func bytes(_ value: ValueID) -> Int {
      guard constant(value) == nil, let type = sized(value), type.element.isFloatingPoint, let count = type.shape?.concrete?.checkedProduct else { return 0 }
      return type.element.byteCount(of: count) ?? 0
    }
    for value in graph.inputs { sizes[value] = bytes(value) }
    var held = graph.inputs.reduce(0) { $0 &+ sizes[$1] }
    var peak = held
    for node in graph.order {
      for case let value? in graph[node].outputs {
        sizes[value] = bytes(value)
        held = held &+ sizes[value]
      }
      peak = max(peak, held)
      for value in graph[node].reads {
        remaining[value] -= 1
        if remaining[value] == 0 { held = held &- sizes[value] }
      }
      for case let value? in graph[node].outputs where remaining[value] == 0 { held = held &- sizes[value] }
    }
    return peak
  }
}
