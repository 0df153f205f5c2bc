public import GraphIR
public import Operators
internal import Tensors

/// What running the graph takes. Sizes that are not known count as 1: a dynamic batch is one sample.
extension TypedGraph {
  /// Work of one node; none for what is known before the run.
  public func cost(of node: NodeID) -> Cost { cost(of: node, UnitSizes()) }

  public var cost: Cost {
    let sizes = UnitSizes()
    return graph.order.reduce(Cost()) { sum, node in
      let own = cost(of: node, sizes)
      return Cost(macs: sum.macs &+ own.macs, elementwise: sum.elementwise &+ own.elementwise)
    }
  }

  private func cost(of node: NodeID, _ sizes: UnitSizes) -> Cost {
    let node = graph[node]
    guard let op = node.op.semantics, node.outputs.contains(where: { $0.map { constant($0) == nil } ?? false }) else { return Cost() }
    return op.cost(
      operands: node.inputs.map { $0.flatMap { sizes.sized(type(of: $0)) } }, results: node.outputs.compactMap { $0.flatMap { sizes.sized(type(of: $0)) } })
  }

  /// The most bytes that floating-point values computed from the inputs hold at one time, when each is freed after its
  /// last reader and no node works in place.
  public var activationBytesPeak: Int {
    let units = UnitSizes()
    var remaining = HandleMap<ValueTag, Int>(count: graph.values.count, initial: 0)
    for node in graph.order { for value in graph[node].reads { remaining[value] += 1 } }
    for value in graph.outputs { remaining[value] += 1 }
    /// Bytes that are freed with a value: kept when it is made.
    var sizes = HandleMap<ValueTag, Int>(count: graph.values.count, initial: 0)
    func bytes(_ value: ValueID) -> Int {
      guard constant(value) == nil, let type = units.sized(type(of: value)), type.element.isFloatingPoint, let count = type.shape?.concrete?.checkedProduct
      else { return 0 }
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

/// Types with every symbol as 1. The same few sizes stand all over a graph, so each is worked out once.
private final class UnitSizes {
  private var known: [Dim: Dim?] = [:]

  func sized(_ type: TensorType?) -> TensorType? {
    guard var type else { return nil }
    if let shape = type.shape, shape.concrete == nil {
      var dims: [Dim] = []
      for dim in shape.dims {
        guard let size = sized(dim) else {
          type.shape = nil
          return type
        }
        dims.append(size)
      }
      type.shape = Shape(dims)
    }
    return type
  }

  private func sized(_ dim: Dim) -> Dim? {
    if dim.value != nil { return dim }
    if let size = known[dim] { return size }
    let size = dim.substituting(Dictionary(uniqueKeysWithValues: dim.symbols.map { ($0, 1) }))
    known[dim] = .some(size)
    return size
  }
}
