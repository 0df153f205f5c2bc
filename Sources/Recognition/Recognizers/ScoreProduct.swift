internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// The contraction that makes scores, as a matrix product or spelled as the sum of an element-wise product, with the role
/// of each axis of its result.
struct ScoreProduct {
  let a, b: ValueID
  let left, right: ProductOperand
  /// The result: axes of the batch, then rows (of `a`) as queries and columns (of `b`) as keys, wherever they stand.
  private let roles: AxisLayout
  private let rows, columns: Dim

  init?(_ view: GraphView, _ node: NodeID) {
    switch view.graph[node].op {
    case .reduction: self.init(view, sum: node)
    default: self.init(view, matrix: node)
    }
  }

  private init?(_ view: GraphView, matrix node: NodeID) {
    guard let a = view.graph[node].input(0), let b = view.graph[node].input(1), let left = view.axes(a), let right = view.axes(b),
      let l = ProductOperand(left, isLeft: true), let r = ProductOperand(right, isLeft: false), let output = view.graph[node].output(0),
      let shape = view.shape(output), shape.rank >= 2
    else { return nil }
    (self.a, self.b, self.left, self.right) = (a, b, l, r)
    (rows, columns) = (shape[shape.rank - 2], shape[shape.rank - 1])
    var axes = shape.dims.dropLast(2).enumerated().map { [AxisFactor(.base($0.offset), size: $0.element)] }
    axes.append([AxisFactor(.query(0), size: rows)])
    axes.append([AxisFactor(.key(0), size: columns)])
    roles = AxisLayout(axes)
  }

  /// The sum of `a b` over one axis that both have; of the others, both, one or none may have an axis.
  private init?(_ view: GraphView, sum node: NodeID) {
    guard let (a, b, sums) = view.summedProduct(node), sums.count == 1, let summed = sums.first, case .reduction(let reduction) = view.graph[node].op,
      let left = view.axes(a), let right = view.axes(b), let first = view.shape(a), let second = view.shape(b), first.rank == second.rank,
      left.axes.count == first.rank, right.axes.count == first.rank,
      first.dims.indices.contains(summed), first[summed] == second[summed], first[summed] != 1
    else { return nil }
    (self.a, self.b) = (a, b)
    var batch: (left: [[AxisFactor]], right: [[AxisFactor]]) = ([], [])
    var free: (left: [Int], right: [Int]) = ([], [])
    var axes: [[AxisFactor]] = []
    for axis in first.dims.indices {
      if axis == summed {
        if reduction.keepDims { axes.append([]) }
      } else if first[axis] == second[axis] {
        batch.left.append(left.axes[axis])
        batch.right.append(right.axes[axis])
        axes.append([AxisFactor(.base(axis), size: first[axis])])
      } else if second[axis] == 1 {
        free.left.append(axis)
        axes.append([AxisFactor(.query(0), size: first[axis])])
      } else if first[axis] == 1 {
        free.right.append(axis)
        axes.append([AxisFactor(.key(0), size: second[axis])])
      } else {
        return nil
      }
    }
    guard free.left.count <= 1, free.right.count <= 1, free.left.count + free.right.count > 0 else { return nil }
    self.left = ProductOperand(batch: batch.left, contracted: left.axes[summed], free: free.left.first.map { left.axes[$0] } ?? [])
    self.right = ProductOperand(batch: batch.right, contracted: right.axes[summed], free: free.right.first.map { right.axes[$0] } ?? [])
    (rows, columns) = (free.left.first.map { first[$0] } ?? 1, free.right.first.map { second[$0] } ?? 1)
    roles = AxisLayout(axes)
  }

  /// The axis that is normalized belongs to the keys.
  func queriesAreLeft(_ view: GraphView, anchor: NodeID, axis: Int, chain: ScoreChain) throws(Refusal) -> Bool {
    guard let layout = view.push(roles, through: chain.steps) else {
      // Where strides do not say, the last axis is taken to be what it was.
      return true
    }
    let index = axis < 0 ? axis + layout.axes.count : axis
    guard layout.axes.indices.contains(index) else { throw Refusal(anchor, "the softmax has no such axis") }
    let normalized = layout.axes[index]
    if normalized == [AxisFactor(.key(0), size: columns)] { return true }
    if normalized == [AxisFactor(.query(0), size: rows)] { return false }
    if columns == 1 || rows == 1, normalized.isEmpty { return columns == 1 }
    throw Refusal(anchor, "the softmax does not run over all keys of a query")
  }

  /// The product with values runs over what was normalized.
  func checkMeeting(_ view: GraphView, queriesAreLeft: Bool, chain: ScoreChain, meeting: ValueMeeting) throws(Refusal) {
    guard let layout = view.push(roles, through: chain.steps + meeting.steps) else { return }
    let keys = AxisLayout.normalized([
      queriesAreLeft ? AxisFactor(.key(0), size: columns) : AxisFactor(.query(0), size: rows)
    ])
    switch meeting.form {
    case .product(let operand):
      guard let p = ProductOperand(layout, isLeft: operand == 0) else { return }
      guard p.contracted == keys else {
        // Slots and groups (Locatello et al. 2020, Xu et al. 2022).
        if rows != columns {
          throw Refusal(
            meeting.node, "each token chooses among those that gather: the softmax runs over queries, not over what they gather from", as: .cross)
        }
        throw Refusal(meeting.node, "the product with values runs over queries, not over the keys that the softmax normalized")
      }
    case .weightedSum(_, let axes, _):
      guard axes.contains(where: { layout.axes.indices.contains($0) && layout.axes[$0] == keys }) else {
        throw Refusal(meeting.node, "the weighted sum does not run over the keys that the softmax normalized")
      }
    case .learned: return
    }
  }
}
