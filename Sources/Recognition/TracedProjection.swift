internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// A query, key or value: tokens of `base` through one linear layer, then rearranged.
struct TracedProjection {
  /// The tokens that are projected, before any rearrangement.
  var base: ValueID
  var baseShape: Shape
  var baseChannelAxis: Int
  /// The operand's axes over those of `base` and the channels made.
  var layout: AxisLayout
  var weight: ValueID
  /// Axes of the weight's shape: channels in, channels out.
  var weightAxes: (input: Int, output: Int)
  var bias: ValueID?
  var scale: Double
  var norm: String?
  var rotary: Bool
  var nodes: [NodeID]
}

extension GraphView {
  /// - Throws: where the operand is no projection of tokens.
  func projection(of operand: ValueID, _ what: String, at anchor: NodeID) throws(Refusal) -> TracedProjection {
    let chain = trace(operand, passing: [.scale, .norm, .rotary])
    var nodes = chain.nodes
    var root = chain.root
    var bias: ValueID?
    var between: [NodeID] = []
    if let (id, node) = producer(root), node.op == .binary(.add), let x = node.input(0), let b = node.input(1), !isActivation(b), isVector(b, of: root) {
      nodes.append(id)
      bias = b
      let inner = trace(x)
      between = inner.steps
      nodes += inner.nodes
      root = inner.root
    }
    guard let (id, node) = producer(root), let x = node.input(0), let w = node.input(1), let weightShape = shape(w), let rootShape = shape(root) else {
      throw Refusal(producer(root)?.id ?? anchor, "\(what) are not a linear projection of tokens")
    }
    let channelAxis: Int
    let weightAxes: (input: Int, output: Int)
    switch node.op {
    case .matrix(.matMul) where !isActivation(w) && isActivation(x) && weightShape.rank == 2:
      channelAxis = rootShape.rank - 1
      weightAxes = (0, 1)
    case .convolution(.conv(_, groups: 1))
    where !isActivation(w) && weightShape.dims.dropFirst(2).allSatisfy({ $0 == 1 }) && shape(x)?.dims.dropFirst(2) == rootShape.dims.dropFirst(2):
      channelAxis = 1
      weightAxes = (1, 0)
      if let b = node.input(2) {
        guard bias == nil else { throw Refusal(id, "\(what) have two biases") }
        bias = b
      }
    default:
      throw Refusal(id, "\(what) come from \(graph[id].op.name.mnemonic), not from a linear projection")
    }
    nodes.append(id)
    let source = trace(x)
    nodes += source.nodes
    guard let baseShape = shape(source.root), let tokens = push(AxisLayout(identity: baseShape), through: source.steps),
      tokens.axes.indices.contains(channelAxis),
      rootShape.rank == tokens.axes.count
    else { throw Refusal(id, "\(what) project tokens whose rearrangement cannot be followed") }
    let channels = tokens.axes[channelAxis]
    // The projection must see all channels of a token, and only those.
    var baseChannelAxis = baseShape.rank - 1
    if let only = channels.first, channels.count == 1, case .base(let axis) = only.source, only.stride == 1, only.size == baseShape[axis] {
      baseChannelAxis = axis
    } else if !channels.isEmpty {
      throw Refusal(id, "\(what) project something other than the channels of each token", as: .tokenMixing)
    }
    var layout = tokens
    layout.axes[channelAxis] = AxisLayout.normalized([AxisFactor(.channel, size: weightShape[weightAxes.output])])
    guard let made = push(layout, through: between), let result = push(made, through: chain.steps) else {
      throw Refusal(chain.steps.first ?? id, "\(what) are split into heads in a way that strides do not say")
    }
    return TracedProjection(
      base: source.root, baseShape: baseShape, baseChannelAxis: baseChannelAxis, layout: result, weight: w, weightAxes: weightAxes, bias: bias,
      scale: chain.scale, norm: chain.norm, rotary: chain.rotary, nodes: nodes)
  }

  /// Whether `bias` is one number per channel of the last axis of `value`.
  private func isVector(_ bias: ValueID, of value: ValueID) -> Bool {
    guard let shape = shape(bias), let whole = self.shape(value), let last = shape.dims.last else { return false }
    return shape.dims.dropLast().allSatisfy { $0 == 1 } && last == whole.dims.last && shape.rank <= whole.rank
  }
}

/// How a channel axis is cut: heads at `headStride`, their elements at `dimStride`, from `offset` on.
struct HeadChannels: Hashable {
  var offset: Int
  var heads: Int
  var headStride: Int
  var dims: Int
  var dimStride: Int
}

extension GraphView {
  /// The constant behind a weight, seen through rearrangements and factors, as rows (in) by columns (out).
  func weightView(_ weight: ValueID, rows rowAxis: Int, columns columnAxis: Int, take channels: HeadChannels?, takeRows: HeadChannels? = nil) -> WeightView? {
    let chain = trace(weight, passing: .scale)
    // What was folded on the way is a constant as well.
    let constant = typed.constant(chain.root)
    let steps = constant == nil ? [] : chain.steps
    let root = constant == nil ? weight : chain.root
    guard let tensor = constant ?? typed.constant(weight), let layout = push(AxisLayout(identity: Shape(tensor.dims)), through: steps), layout.offsets.isEmpty,
      layout.axes.indices.contains(rowAxis), layout.axes.indices.contains(columnAxis), let whole = shape(weight)?.concrete
    else { return nil }
    var strides = [Int](repeating: 1, count: tensor.dims.count)
    for axis in strides.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] &* tensor.dims[axis + 1] }
    func stride(_ factors: [AxisFactor]) -> Int? {
      guard let only = factors.first else { return 0 }
      guard factors.count == 1, case .base(let axis) = only.source, let step = only.stride.value else { return nil }
      return step &* strides[axis]
    }
    guard let rowStride = stride(layout.axes[rowAxis]), let columnStride = stride(layout.axes[columnAxis]) else { return nil }
    var view = WeightView(
      value: original(of: root) ?? root, tensor: tensor, offset: 0, rows: whole[rowAxis], columns: whole[columnAxis], rowStride: rowStride,
      columnStride: columnStride, multiplier: constant == nil ? 1 : chain.scale)
    if let channels {
      view.offset &+= channels.offset &* columnStride
      view.columns = channels.heads &* channels.dims
      view.columnStride = channels.dimStride &* columnStride
      view.columnGrouping = grouping(channels, columnStride)
    }
    if let takeRows {
      view.offset &+= takeRows.offset &* rowStride
      view.rows = takeRows.heads &* takeRows.dims
      view.rowStride = takeRows.dimStride &* rowStride
      view.rowGrouping = grouping(takeRows, rowStride)
    }
    return view
  }

  private func grouping(_ channels: HeadChannels, _ stride: Int) -> WeightView.Grouping? {
    channels.heads > 1 && channels.headStride != channels.dims &* channels.dimStride
      ? WeightView.Grouping(size: channels.dims, stride: channels.headStride &* stride) : nil
  }

  /// A bias as one row; nil when it cannot be seen as one constant.
  func biasView(_ bias: ValueID, take channels: HeadChannels?) -> WeightView? {
    guard let tensor = typed.constant(bias), tensor.count == tensor.dims.last ?? 1 else { return nil }
    var view = WeightView(value: original(of: bias) ?? bias, tensor: tensor, offset: 0, rows: 1, columns: tensor.count, rowStride: 0, columnStride: 1)
    if let channels {
      view.offset = channels.offset
      view.columns = channels.heads &* channels.dims
      view.columnStride = channels.dimStride
      view.columnGrouping = grouping(channels, 1)
    }
    return view
  }
}
