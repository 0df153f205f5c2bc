internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Rotary position embedding (Su et al. 2021): pairs of channels are turned by an angle that depends on the token.
extension GraphView {
  /// What a node rotates: `x * cos + turn(x) * sin`, or such of some tokens joined to the others as they are.
  ///
  /// - Parameter joins: whether parts may be joined; a part itself is not joined again.
  ///
  /// cos and sin are constants; turn exchanges the channels of a pair and negates one.
  func rotated(_ id: NodeID, joins: Bool = true) -> (source: ValueID, nodes: [NodeID])? {
    let node = graph[id]
    switch node.op {
    case .binary(.add):
      guard let a = node.input(0).flatMap(scaledByConstant), let b = node.input(1).flatMap(scaledByConstant), let output = node.output(0) else { return nil }
      for (straight, turned) in [(a, b), (b, a)] where shape(straight.value) == shape(output) {
        guard let passed = turn(turned.value, of: straight.value) else { continue }
        return (straight.value, [id, straight.node, turned.node] + passed)
      }
      return nil
    case .layout(.concat(let axis)) where joins:
      guard let output = node.output(0), let whole = shape(output) else { return nil }
      return joined(node, at: id, axis: axis < 0 ? axis + whole.rank : axis, shape: whole)
    default:
      return nil
    }
  }

  private func scaledByConstant(_ value: ValueID) -> (value: ValueID, node: NodeID)? {
    guard let (id, node) = producer(value), node.op == .binary(.multiply), let x = node.input(0), let c = node.input(1) else { return nil }
    if isActivation(x), !isActivation(c) { return (x, id) }
    return isActivation(c) && !isActivation(x) ? (c, id) : nil
  }

  /// The nodes between `value` and `source`, when it is made of nothing but rearranged and negated parts of it.
  private func turn(_ value: ValueID, of source: ValueID) -> [NodeID]? {
    guard value != source else { return nil }
    var pending = [value]
    var passed: [NodeID] = []
    while let next = pending.popLast() {
      if next == source { continue }
      guard passed.count < 32, let (id, node) = producer(next), let input = node.input(0) else { return nil }
      switch node.op {
      case .layout(.concat): pending += node.inputs.compactMap { $0 }
      case .layout where Rearrangement.isRearrangement(node), .unary(.neg): pending.append(input)
      case .binary(.multiply) where scalarFactor(node)?.0 == -1: pending.append(input)
      default: return nil
      }
      passed.append(id)
    }
    return passed
  }

  /// Consecutive slices of one tensor, some of them rotated, that together are all of it.
  private func joined(_ node: Node, at id: NodeID, axis: Int, shape whole: Shape) -> (source: ValueID, nodes: [NodeID])? {
    guard whole.dims.indices.contains(axis) else { return nil }
    var source: ValueID?
    var nodes = [id]
    var position = 0
    var found = false
    for input in node.inputs {
      guard var part = input else { return nil }
      if let made = producer(part), let (inner, passed) = rotated(made.id, joins: false) {
        part = inner
        nodes += passed
        found = true
      }
      guard let (slice, sliceNode) = producer(part), sliceNode.op == .layout(.slice), let x = sliceNode.input(0), x == source ?? x, shape(x) == whole,
        let layout = Rearrangement.apply(sliceNode, to: AxisLayout(identity: whole), in: typed), layout.offsets[.base(axis)] ?? 0 == position,
        layout.offsets.allSatisfy({ $0.key == .base(axis) }), let size = shape(part)?[axis].value
      else { return nil }
      source = x
      nodes.append(slice)
      position &+= size
    }
    guard let source, found, Dim(position) == whole[axis] else { return nil }
    return (source, nodes)
  }
}
