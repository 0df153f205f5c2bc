internal import GraphIR
internal import Inference
internal import Tensors

/// Tokens pushed along one axis, those that fall off the end put at its start: `torch.roll`, which exporters spell as two
/// slices of one tensor joined in the other order.
struct CyclicShift {
  /// What is shifted.
  var source: ValueID
  var result: ValueID
  /// How many places its end, which comes first in the result, takes.
  var count: Int
  /// The slices and what joins them.
  var nodes: [NodeID]
}

extension GraphView {
  /// The shift that a concatenation ends.
  func cyclicShift(endingAt concat: NodeID) -> CyclicShift? {
    let node = graph[concat]
    guard case .layout(.concat(let axis)) = node.op, node.inputs.count == 2, let a = node.input(0), let b = node.input(1), let first = producer(a),
      let second = producer(b), first.node.op == .layout(.slice), second.node.op == .layout(.slice), let source = first.node.input(0),
      source == second.node.input(0), let result = node.output(0), let dims = shape(b)?.dims
    else { return nil }
    let place = axis < 0 ? axis + dims.count : axis
    guard dims.indices.contains(place), let count = dims[place].value else { return nil }
    return CyclicShift(source: source, result: result, count: count, nodes: [first.id, second.id, concat])
  }

  /// The shift that starts with a value.
  func cyclicShift(of value: ValueID) -> CyclicShift? {
    for slice in uses.readers(of: value) where graph[slice].op == .layout(.slice) && graph[slice].input(0) == value {
      for reader in graph[slice].output(0).map(uses.readers) ?? [] {
        if let shift = cyclicShift(endingAt: reader), shift.source == value { return shift }
      }
    }
    return nil
  }
}
