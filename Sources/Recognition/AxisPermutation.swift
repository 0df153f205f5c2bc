internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// An axis whose elements a constant puts in another order. Roles survive it, correspondence does not: head 0 of the
/// queries may then meet head 1 of the keys.
struct AxisPermutation: Hashable {
  var node: NodeID
  var kind: AxisKind?
  /// Where each element comes from.
  var order: [Int]
}

extension GraphView {
  /// Longer index vectors are not looked at.
  private static let permutationLimit = 1 << 16

  /// The permutation of one axis that a node carries out: Gather by a constant vector, or two slices put together the other
  /// way round. nil for anything else, the identity included.
  func permutation(_ id: NodeID) -> AxisPermutation? {
    let node = graph[id]
    guard let x = node.input(0), let output = node.output(0) else { return nil }
    switch node.op {
    case .indexing(.gather(let raw)):
      guard let whole = shape(x), let index = node.input(1), let order = typed.constant(index), order.dims.count == 1,
        order.count <= Self.permutationLimit,
        let size = whole.dims.indices.contains(raw < 0 ? raw + whole.rank : raw) ? whole[raw < 0 ? raw + whole.rank : raw].value : nil,
        order.count == size, let places = order.integers()?.map({ $0 < 0 ? $0 + size : $0 }), Set(places) == Set(0..<size), places != Array(0..<size)
      else { return nil }
      return AxisPermutation(node: id, kind: kind(ofAxis: raw, of: x), order: places)
    case .layout(.concat(let raw)):
      guard node.inputs.count == 2, let second = node.input(1), let (_, a) = producer(x), let (_, b) = producer(second), a.op == .layout(.slice),
        b.op == .layout(.slice), let source = a.input(0), source == b.input(0), shape(source) == shape(output), let rank = shape(output)?.rank
      else { return nil }
      let axis = raw < 0 ? raw + rank : raw
      guard rank > axis, axis >= 0, let first = shape(x)?[axis].value, let last = shape(second)?[axis].value, first &+ last <= Self.permutationLimit,
        start(of: a, axis: axis) == last, start(of: b, axis: axis) == 0
      else { return nil }
      return AxisPermutation(node: id, kind: kind(ofAxis: axis, of: source), order: Array(last..<(first + last)) + Array(0..<last))
    default: return nil
    }
  }

  private func kind(ofAxis raw: Int, of value: ValueID) -> AxisKind? {
    guard let layout = labels.layout(value) else { return nil }
    let axis = raw < 0 ? raw + layout.axes.count : raw
    return layout.axes.indices.contains(axis) ? labels.kind(layout.axes[axis]) : nil
  }

  /// Where a slice starts on one axis.
  private func start(of node: Node, axis: Int) -> Int? {
    guard let x = node.input(0), let whole = shape(x), let layout = Rearrangement.apply(node, to: AxisLayout(identity: whole), in: typed),
      layout.offsets.allSatisfy({ $0.key == .base(axis) })
    else { return nil }
    return layout.offsets[.base(axis)] ?? 0
  }
}
