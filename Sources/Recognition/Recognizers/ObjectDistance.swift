internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// How far the labels of two places are apart, for all pairs of places: what object-aware mixing (Kang et al. 2022) makes
/// its mask of. Sums of absolute differences of one tensor's rows, or products of its rows of length one.
struct ObjectDistance {
  /// The tensor whose rows are compared.
  var labels: ValueID
  /// Everything between the labels and the mask.
  var nodes: [NodeID]

  /// The distance behind a mask or bias, through `exp(-k D)`, `1 - k D`, its logarithm, and ones for prefix tokens; nil
  /// where the value is made from anything else.
  init?(_ view: GraphView, behind value: ValueID) {
    var value = value
    var nodes: [NodeID] = []
    for _ in 0..<32 {
      guard let (id, node) = view.producer(value), view.isActivation(value) else { return nil }
      nodes.append(id)
      let operands = Set(node.inputs.compactMap { $0 }.filter { view.isActivation($0) })
      switch node.op {
      case .matrix(.matMul):
        guard let a = node.input(0), let b = node.input(1), operands.contains(a), operands.contains(b) else { return nil }
        let (left, right) = (view.trace(a), view.trace(b))
        // Rows of length one: a norm, or a quotient by what is made of the rows themselves.
        guard left.root == right.root, let unit = ObjectDistance.rows(of: left.root, view) else { return nil }
        self.labels = unit.labels
        self.nodes = nodes + left.nodes + right.nodes + unit.nodes
        return
      case .reduction(let reduction) where [.sum, .l1, .l2, .sumSquare].contains(reduction.kind):
        guard let inner = node.input(0), let found = ObjectDistance.differences(inner, view) else { return nil }
        self.labels = found.labels
        self.nodes = nodes + found.nodes
        return
      case .layout, .unary, .cast, .clip, .binary:
        guard operands.count == 1, let next = operands.first else { return nil }
        value = next
      default: return nil
      }
    }
    return nil
  }

  /// `|y_i - y_j|` of every pair of rows, or a power of the difference.
  private static func differences(_ value: ValueID, _ view: GraphView) -> (labels: ValueID, nodes: [NodeID])? {
    var value = value
    var nodes: [NodeID] = []
    for _ in 0..<6 {
      guard let (id, node) = view.producer(value), let a = node.input(0) else { return nil }
      nodes.append(id)
      switch node.op {
      case .unary(.abs), .cast, .unary(.identity): value = a
      case .binary(.power): value = a
      case .binary(.multiply) where node.input(1) == a: value = a
      case .binary(.subtract):
        guard let b = node.input(1) else { return nil }
        let (left, right) = (view.trace(a), view.trace(b))
        guard left.root == right.root, view.isActivation(left.root), view.shape(a) != view.shape(b) else { return nil }
        return (left.root, nodes + left.nodes + right.nodes)
      default: return nil
      }
    }
    return nil
  }

  /// The tensor of which `unit` is the rows brought to length one.
  private static func rows(of unit: ValueID, _ view: GraphView) -> (labels: ValueID, nodes: [NodeID])? {
    guard let (id, node) = view.producer(unit), let x = node.input(0) else { return nil }
    switch node.op {
    case .normalization(.lp(_, let p)): return p == 2 ? (x, [id]) : nil
    case .binary(.divide), .binary(.multiply):
      guard let size = node.input(1), view.isActivation(x), view.isActivation(size), size != x else { return nil }
      for (rows, length) in [(x, size), (size, x)] {
        let inner = view.upstream(length, stoppingAt: [rows], limit: 10)
        let squares = inner.contains { id in
          guard case .reduction(let reduction) = view.graph[id].op else { return false }
          return [.l2, .sumSquare, .sum].contains(reduction.kind)
        }
        if squares, inner.contains(where: { view.graph[$0].inputs.contains(rows) }) { return (rows, [id] + inner) }
      }
      return nil
    default: return nil
    }
  }
}
