public import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// A channel gate as it is claimed (Hu et al. 2018, Wang et al. 2020): means or maxima over all places go through layers
/// over channels and a squashing function; each channel of x is multiplied by its number.
public struct ClaimedGate: ClaimedFormula {
  /// One number for each channel of each sample: (sample, channel).
  indirect enum Expression: Sendable {
    case pool(ReductionOp.Kind, ValueID, samples: Int, channels: Int)
    /// Channels in rows, channels in columns.
    case layer(Expression, WeightView, bias: ValueID?)
    /// A kernel over neighboring channels.
    case neighbors(Expression, kernel: ValueID, bias: ValueID?)
    case function(Expression, UnaryOp)
    case clipped(Expression, ValueID?, ValueID?)
    /// A constant: one number, or one for each channel.
    case constant(Expression, BinaryOp, ValueID)
    case sum(Expression, Expression)
  }

  /// What is gated, and its axes of samples and channels.
  var input: ValueID
  var samples, channels: Int
  var gate: Expression
  public let gives: ValueID
  public var isWhole: Bool { true }
  public var reads: [ValueID] { [input] + gate.reads }

  public func write(_ writer: inout FormulaWriter) throws(Unwritten) -> ValueID {
    let dims = try writer.dims(input)
    guard dims.indices.contains(samples), dims.indices.contains(channels), samples < channels else { throw .open }
    let made = try gate.written(&writer)
    var shape = [Int](repeating: 1, count: dims.count)
    (shape[samples], shape[channels]) = (dims[samples], dims[channels])
    return writer.multiply(try writer.tensor(input), try writer.reshape(made, shape))
  }

  init?(_ view: GraphView, input: ValueID, gate: ValueID, output: ValueID) {
    guard let (samples, channels) = Self.axes(input, view), let expression = Expression.read(gate, view, depth: 0),
      let own = view.shape(gate), let whole = view.shape(input), own.rank <= whole.rank
    else { return nil }
    // The gate's numbers stand on the axes of samples and channels, the outer of which comes first.
    let first = whole.rank - own.rank
    for (axis, dim) in own.dims.enumerated() where dim != 1 { guard axis + first == samples || axis + first == channels else { return nil } }
    self.input = input
    (self.samples, self.channels) = (samples, channels)
    self.gate = expression
    gives = output
  }

  /// Axes of samples and of channels, in this order, all others being places.
  static func axes(_ value: ValueID, _ view: GraphView) -> (samples: Int, channels: Int)? {
    let kinds = view.labels.kinds(value)
    guard kinds.count >= 3, let channels = kinds.firstIndex(of: .channel), kinds.count(where: { $0 == .channel }) == 1, channels > 0,
      kinds.enumerated().allSatisfy({ $0.offset == 0 || $0.offset == channels || $0.element == .token || $0.element == nil }),
      kinds[0] == .batch || kinds[0] == nil
    else { return nil }
    return (0, channels)
  }
}

extension ClaimedGate.Expression {
  typealias Expression = ClaimedGate.Expression

  var reads: [ValueID] {
    switch self {
    case .pool(_, let value, _, _): [value]
    case .layer(let inner, _, let bias): inner.reads + [bias].compactMap { $0 }
    case .neighbors(let inner, let kernel, let bias): inner.reads + [kernel, bias].compactMap { $0 }
    case .function(let inner, _): inner.reads
    case .clipped(let inner, let low, let high): inner.reads + [low, high].compactMap { $0 }
    case .constant(let inner, _, let value): inner.reads + [value]
    case .sum(let a, let b): a.reads + b.reads
    }
  }

  func written(_ writer: inout FormulaWriter) throws(Unwritten) -> ValueID {
    switch self {
    case .pool(let kind, let value, let samples, let channels):
      let dims = try writer.dims(value)
      guard dims.indices.contains(samples), dims.indices.contains(channels) else { throw .open }
      return try writer.mean(try writer.tensor(value), axes: dims.indices.filter { $0 != samples && $0 != channels }, keepDims: false, kind)
    case .layer(let inner, let weight, let bias):
      let made = try writer.linear(try inner.written(&writer), weight)
      return try bias.map { value throws(Unwritten) in try writer.add(made, writer.reshape(try writer.tensor(value), [weight.columns])) } ?? made
    case .neighbors(let inner, let kernel, let bias):
      let size = try writer.dims(kernel)[2]
      let x = writer.node(.layout(.unsqueeze), [try inner.written(&writer), try writer.integers([1])])
      let window = Window(kernel: [size], strides: [1], dilations: [1], padding: .explicit([(size - 1) / 2, size / 2]))
      let made = writer.node(
        .convolution(.conv(window, groups: 1)),
        [x, try writer.tensor(kernel)] + [try bias.map { b throws(Unwritten) in try writer.tensor(b) }].compactMap { $0 })
      return writer.node(.layout(.squeeze), [made, try writer.integers([1])])
    case .function(let inner, let op): return writer.node(.unary(op), [try inner.written(&writer)])
    case .clipped(let inner, let low, let high):
      let x = try inner.written(&writer)
      return writer.node(
        .clip, [x, try low.map { v throws(Unwritten) in try writer.tensor(v) }, try high.map { v throws(Unwritten) in try writer.tensor(v) }])
    case .constant(let inner, let op, let value):
      let x = try inner.written(&writer)
      let count = try writer.dims(value).checkedProduct ?? 0
      return writer.node(.binary(op), [x, try writer.reshape(try writer.tensor(value), [count])])
    case .sum(let a, let b): return writer.add(try a.written(&writer), try b.written(&writer))
    }
  }
}

// MARK: Reading

extension ClaimedGate.Expression {
  private static let depthLimit = 32

  /// Follows a gate up to the pools that it is made of; nil where anything else is met.
  static func read(_ value: ValueID, _ view: GraphView, depth: Int) -> Expression? {
    guard depth < depthLimit, let (_, node) = view.producer(value), let x = node.input(0), isDescriptor(value, view) else { return nil }
    func inner(_ value: ValueID) -> Expression? { read(value, view, depth: depth + 1) }
    switch node.op {
    case .unary(let op): return inner(x).map { .function($0, op) }
    case .cast: return inner(x)
    case .clip: return inner(x).map { .clipped($0, node.input(1), node.input(2)) }
    case .layout:
      // Samples and channels stay in this order where nothing else has a size.
      return Rearrangement.isRearrangement(node) && isDescriptor(x, view) && sizes(x, view) == sizes(value, view) ? inner(x) : nil
    case .reduction, .pooling: return pooled(value, view)
    case .matrix(.matMul):
      guard let w = node.input(1), !view.isActivation(w), view.shape(w)?.rank == 2, view.shape(value)?.dims.last == view.shape(w)?[1],
        let weight = view.weightView(w, rows: 0, columns: 1, take: nil)
      else { return nil }
      return inner(x).map { .layer($0, weight, bias: nil) }
    case .convolution(.conv(let window, groups: 1)):
      guard let w = node.input(1), !view.isActivation(w), let dims = view.shape(w)?.concrete else { return nil }
      if dims.dropFirst(2).allSatisfy({ $0 == 1 }), dims[0] > 1 || dims[1] > 1, let weight = view.weightView(w, rows: 1, columns: 0, take: nil) {
        return inner(x).map { .layer($0, weight, bias: node.input(2)) }
      }
      guard dims.count == 3, dims[0] == 1, dims[1] == 1, window.strides == [1], window.dilations == [1], dims[2] % 2 == 1,
        window.padding == .explicit([dims[2] / 2, dims[2] / 2]), view.shape(x)?.dims.last == view.shape(value)?.dims.last
      else { return nil }
      return inner(x).map { .neighbors($0, kernel: w, bias: node.input(2)) }
    case .binary(let op):
      guard let other = node.input(1) else { return nil }
      if view.isActivation(x), view.isActivation(other) {
        guard op == .add, x != other, view.shape(x) == view.shape(other), let a = inner(x), let b = inner(other) else { return nil }
        return .sum(a, b)
      }
      guard op == .add || op == .multiply, view.isActivation(x), view.shape(x) == view.shape(value), let count = view.shape(other)?.concrete?.checkedProduct,
        count == 1 || sizes(value, view).last == Dim(count)
      else { return nil }
      return inner(x).map { .constant($0, op, other) }
    default: return nil
    }
  }

  /// Sizes other than 1, samples first.
  private static func sizes(_ value: ValueID, _ view: GraphView) -> [Dim] { view.shape(value)?.dims.filter { $0 != 1 } ?? [] }

  /// Whether a value has samples and channels and nothing else.
  private static func isDescriptor(_ value: ValueID, _ view: GraphView) -> Bool {
    view.labels.kinds(value).allSatisfy { $0 == .batch || $0 == .channel || $0 == nil } && sizes(value, view).count <= 2
  }

  /// A mean or maximum over all places of a value that has some.
  private static func pooled(_ value: ValueID, _ view: GraphView) -> Expression? {
    guard let (_, node) = view.producer(value), let x = node.input(0), let (samples, channels) = ClaimedGate.axes(x, view), let whole = view.shape(x),
      sizes(value, view) == [whole[samples], whole[channels]].filter({ $0 != 1 })
    else { return nil }
    switch node.op {
    case .reduction(let reduction) where reduction.kind == .mean || reduction.kind == .max:
      return .pool(reduction.kind, x, samples: samples, channels: channels)
    case .pooling(.globalAverage): return .pool(.mean, x, samples: samples, channels: channels)
    case .pooling(.globalMax): return .pool(.max, x, samples: samples, channels: channels)
    default: return nil
    }
  }
}
