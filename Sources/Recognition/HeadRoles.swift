internal import GraphIR
internal import Tensors

/// The roles of all axes around one softmax, solved from the layouts of the three projections: which axes are batch and
/// heads, which is contracted, which is normalized.
struct HeadRoles {
  var heads: Int
  var headDim: Int
  var valueDim: Int
  /// Source axes of the tokens that queries and keys run over, and of the batch.
  var queryTokens: [AxisFactor]
  var keyTokens: [AxisFactor]
  var batch: [AxisFactor]
  var query, key, value: HeadChannels
  /// Scores as (batch and head axes, then the other two), in roles.
  var scores: AxisLayout
  /// The attention product's result, in roles.
  var result: AxisLayout
}

/// One operand of a batched product: which axis is contracted, which runs free, which go along.
struct ProductOperand {
  var batch: [[AxisFactor]]
  var contracted: [AxisFactor]
  var free: [AxisFactor]

  init(batch: [[AxisFactor]], contracted: [AxisFactor], free: [AxisFactor]) {
    (self.batch, self.contracted, self.free) = (batch, contracted, free)
  }

  /// - Parameter isLeft: a left operand is contracted over its last axis, a right one over the one before.
  init?(_ layout: AxisLayout, isLeft: Bool) {
    let rank = layout.axes.count
    guard rank >= 2 else { return nil }
    batch = Array(layout.axes[..<(rank - 2)])
    contracted = layout.axes[isLeft ? rank - 1 : rank - 2]
    free = layout.axes[isLeft ? rank - 2 : rank - 1]
  }

  /// Batch axes with as many in front as the other operand has more, which broadcasting adds.
  func batch(rank: Int) -> [[AxisFactor]] { Array(repeating: [], count: max(rank - batch.count, 0)) + batch }
}

extension TracedProjection {
  /// The head factor among batch axes and the element factor that is contracted or free.
  func headChannels(batch: [[AxisFactor]], dims: [AxisFactor], _ what: String, at node: NodeID) throws(Refusal) -> HeadChannels {
    let heads = batch.joined().filter { $0.source == .channel }
    guard heads.count <= 1, dims.count <= 1 else { throw Refusal(node, "\(what) have heads that are cut more than once") }
    guard let headStride = (heads.first?.stride ?? 1).value, let count = (heads.first?.size ?? 1).value,
      let dimStride = (dims.first?.stride ?? 1).value, let size = (dims.first?.size ?? 1).value
    else { throw Refusal(node, "the number or size of heads is not known") }
    return HeadChannels(offset: layout.offsets[.channel] ?? 0, heads: count, headStride: headStride, dims: size, dimStride: dimStride)
  }
}

extension Array where Element == AxisFactor {
  var size: Dim? { Shape.product(map(\.size)[...]) }
  /// Token factors in the given role; channels become heads of stride 1.
  func role(_ token: (Int) -> AxisSource) -> [AxisFactor] {
    map { factor in
      switch factor.source {
      case .base(let axis): AxisFactor(token(axis), stride: factor.stride, size: factor.size)
      case .channel: AxisFactor(.head, size: factor.size)
      default: factor
      }
    }
  }
}
