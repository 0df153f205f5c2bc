internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// What an axis of a rearranged tensor runs over.
enum AxisSource: Hashable {
  /// An axis of the tensor where tracing began: tokens and batch, in either role.
  case base(Int)
  /// The channels that a projection makes.
  case channel
  /// A labelled axis of the graph.
  case label(Int)
  /// The roles that attention gives to axes of scores and results.
  case head, query(Int), key(Int), dim
  /// Copies that broadcasting made.
  case copy
  /// A group of tokens that attends by itself, in parts as the graph cuts it.
  case group(Int)
  /// Heads, in parts as the graph cuts them.
  case heads(Int)
}

/// A part of an axis: `size` steps of `stride` over a source axis.
struct AxisFactor: Hashable {
  var source: AxisSource
  var stride: Dim
  var size: Dim
  init(_ source: AxisSource, stride: Dim = 1, size: Dim) {
    self.source = source
    self.stride = stride
    self.size = size
  }
}

/// How a pure rearrangement lays out its source: each axis is a product of strided factors, the outermost first. Axes
/// of size 1 have none. Reshape, transpose and slice are solved on sizes, so that every spelling of a head split or
/// merge (packed, separate, through rank 3 to 5, batch and heads in one axis) ends in the same layout.
struct AxisLayout: Hashable {
  var axes: [[AxisFactor]]
  /// Where each sliced source axis starts.
  var offsets: [AxisSource: Int] = [:]

  init(_ axes: [[AxisFactor]]) { self.axes = axes.map(AxisLayout.normalized) }

  /// Every axis itself.
  init(identity shape: Shape) {
    self.init(shape.dims.enumerated().map { [AxisFactor(.base($0.offset), size: $0.element)] })
  }

  /// Factors of size 1 dropped, neighbors that run on joined.
  static func normalized(_ factors: [AxisFactor]) -> [AxisFactor] {
    var result: [AxisFactor] = []
    for factor in factors where factor.size != 1 {
      if let last = result.last, last.source == factor.source, last.stride == factor.stride.multiplied(by: factor.size),
        let size = last.size.multiplied(by: factor.size)
      {
        result[result.count - 1] = AxisFactor(factor.source, stride: factor.stride, size: size)
      } else {
        result.append(factor)
      }
    }
    return result
  }

  func transposed(_ permutation: [Int]) -> AxisLayout? {
    guard permutation.count == axes.count, permutation.allSatisfy(axes.indices.contains) else { return nil }
    var copy = self
    copy.axes = permutation.map { axes[$0] }
    return copy
  }

  /// nil when a new axis cuts through factors in a way no stride can say.
  func reshaped(to shape: Shape) -> AxisLayout? {
    var pending = Array(axes.joined().reversed())
    var result: [[AxisFactor]] = []
    for dim in shape.dims {
      var remaining = dim
      var factors: [AxisFactor] = []
      while remaining != 1 {
        guard let factor = pending.popLast() else { return nil }
        if factor.size == remaining {
          factors.append(factor)
          remaining = 1
        } else if let rest = remaining.dividedExactly(by: factor.size) {
          factors.append(factor)
          remaining = rest
        } else if remaining != 0, let inner = factor.size.dividedExactly(by: remaining), let stride = factor.stride.multiplied(by: inner) {
          factors.append(AxisFactor(factor.source, stride: stride, size: remaining))
          pending.append(AxisFactor(factor.source, stride: factor.stride, size: inner))
          remaining = 1
        } else {
          return nil
        }
      }
      result.append(AxisLayout.normalized(factors))
    }
    guard pending.isEmpty else { return nil }
    var copy = self
    copy.axes = result
    return copy
  }

  /// `start..<start + count` of an axis, every `step`-th.
  func sliced(axis: Int, start: Int, count: Dim, step: Int) -> AxisLayout? {
    guard axes.indices.contains(axis), start >= 0, step > 0 else { return nil }
    var copy = self
    var factors = axes[axis]
    if factors.isEmpty { return start == 0 && count == 1 ? self : nil }
    // Where inner factors are taken whole, the slice is one of the outermost.
    let outer = factors.removeFirst()
    guard let inner = Shape.product(factors.map(\.size)[...])?.value, inner > 0, let stride = outer.stride.value else { return nil }
    if inner > 1 {
      guard step == 1, start % inner == 0, let rows = count.dividedExactly(by: Dim(inner)) else { return nil }
      guard copy.move(outer.source, by: start / inner, stride: stride) else { return nil }
      copy.axes[axis] = AxisLayout.normalized([AxisFactor(outer.source, stride: outer.stride, size: rows)] + factors)
      return copy
    }
    guard copy.move(outer.source, by: start, stride: stride), let wider = outer.stride.multiplied(by: Dim(step)) else { return nil }
    copy.axes[axis] = AxisLayout.normalized([AxisFactor(outer.source, stride: wider, size: count)])
    return copy
  }

  private mutating func move(_ source: AxisSource, by count: Int, stride: Int) -> Bool {
    let (distance, overflow) = count.multipliedReportingOverflow(by: stride)
    let (sum, overflow2) = (offsets[source] ?? 0).addingReportingOverflow(distance)
    if overflow || overflow2 { return false }
    if sum != 0 { offsets[source] = sum }
    return true
  }

  /// Each factor in its role; those for which `role` gives nil keep their source.
  func mapping(_ role: (AxisFactor) -> AxisFactor?) -> AxisLayout {
    var copy = self
    copy.axes = axes.map { AxisLayout.normalized($0.map { role($0) ?? $0 }) }
    return copy
  }
}

/// Reshape, transpose and their kin as the layout sees them.
enum Rearrangement {
  /// The layout behind `node`, whose first operand has `layout`; nil when the node is no rearrangement or cuts through factors.
  static func apply(_ node: Node, to layout: AxisLayout, in typed: TypedGraph) -> AxisLayout? {
    guard case .layout(let op) = node.op, let input = node.input(0), let output = node.output(0), let from = typed.shape(of: input),
      let to = typed.shape(of: output),
      from.rank == layout.axes.count
    else { return nil }
    switch op {
    case .reshape, .squeeze, .unsqueeze, .flatten:
      return layout.reshaped(to: to)
    case .expand:
      return from == to ? layout : nil
    case .transpose(let permutation):
      return layout.transposed(permutation.isEmpty ? Array((0..<from.rank).reversed()) : permutation)
    case .slice:
      guard let starts = integers(node.input(1), typed), starts.count <= to.rank else { return nil }
      let axes = integers(node.input(3), typed) ?? Array(0..<starts.count)
      let steps = integers(node.input(4), typed) ?? Array(repeating: 1, count: starts.count)
      guard axes.count == starts.count, steps.count == starts.count else { return nil }
      var result: AxisLayout? = layout
      for index in axes.indices {
        let axis = axes[index] < 0 ? axes[index] + from.rank : axes[index]
        guard from.dims.indices.contains(axis) else { return nil }
        var start = starts[index]
        if start < 0 {
          guard let size = from[axis].value else { return nil }
          start += size
        }
        result = result?.sliced(axis: axis, start: start, count: to[axis], step: steps[index])
      }
      return result
    default:
      return nil
    }
  }

  static func isRearrangement(_ node: Node) -> Bool {
    guard case .layout(let op) = node.op else { return false }
    switch op {
    case .reshape, .squeeze, .unsqueeze, .flatten, .transpose, .slice, .expand: return true
    default: return false
    }
  }

  private static func integers(_ value: ValueID?, _ typed: TypedGraph) -> [Int]? { value.flatMap { typed.known($0)?.integers } }
}
