internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// A query, key or value read up to the linear layer that makes it, through nothing but what a report claims: how heads are
/// cut, a bias, a norm.
struct OperandReading {
  /// The operand's axes over those of the layer's source and the channels that it makes.
  var layout: AxisLayout
  var source: ValueID
  var channelAxis: Int
  var weight: WeightView
  var bias: [Double]?
  var norm: ClaimedOperand.Norm?
  var scale = 1.0

  /// nil where something else stands between layer and operand.
  init?(_ view: GraphView, _ operand: ValueID) {
    var value = operand
    var passed: [NodeID] = []
    var linear: (id: NodeID, node: Node)?
    while passed.count < GraphView.walkLimit, view.isActivation(value), let (id, node) = view.producer(value), let input = node.input(0) {
      if Self.isLinear(node, view) {
        linear = (id, node)
        break
      }
      guard Self.passes(node, view) else { return nil }
      passed.append(id)
      value = view.isActivation(input) ? input : node.input(1) ?? input
    }
    guard let (_, node) = linear, let made = node.output(0), let x = node.input(0), let w = node.input(1), let whole = view.shape(x),
      let after = view.shape(made)
    else { return nil }
    var axes = AxisLayout(identity: whole)
    let columns: Int
    if case .convolution = node.op {
      channelAxis = 1
      columns = 0
    } else {
      channelAxis = whole.rank - 1
      columns = 1
    }
    guard axes.axes.indices.contains(channelAxis), let view1 = view.weightView(w, rows: 1 - columns, columns: columns, take: nil) else { return nil }
    weight = view1
    source = x
    let channels = [AxisFactor(.channel, size: after[channelAxis])]
    axes.axes[channelAxis] = AxisLayout.normalized(channels)
    layout = axes
    var bias: [Double]?
    if case .convolution = node.op, let b = node.input(2), let elements = view.typed.constant(b)?.doubles() { bias = elements }

    for id in passed.reversed() {
      let node = view.graph[id]
      switch node.op {
      case .binary(.add), .binary(.subtract):
        guard norm == nil, node.op == .binary(.add), let c = node.input(1).flatMap({ view.isActivation($0) ? node.input(0) : $0 }),
          let added = Self.channelVector(c, layout, weight.columns, view)
        else { return nil }
        // What is added behind a factor is not scaled by it.
        if scale != 1, added.contains(where: { $0 != 0 }) { return nil }
        bias = bias.map { zip($0, added).map { $0 + $1 } } ?? added
      case .binary(.multiply):
        guard let (factor, _) = view.scalarFactor(node) else { return nil }
        scale *= factor
      case .normalization(let op):
        guard norm == nil, let read = readNorm(op, node, view) else { return nil }
        norm = read
        // What stands before a norm is taken out by it.
        scale = 1
      case .cast: break
      default:
        guard let next = Self.pushed(node, layout, view) else { return nil }
        layout = next
      }
    }
    self.bias = bias
  }

  private static func isLinear(_ node: Node, _ view: GraphView) -> Bool {
    guard let x = node.input(0), let w = node.input(1), view.isActivation(x), !view.isActivation(w), let weight = view.shape(w) else { return false }
    switch node.op {
    case .matrix(.matMul): return weight.rank == 2
    case .convolution(.conv(let window, groups: 1)):
      return weight.rank > 2 && weight.dims.dropFirst(2).allSatisfy { $0 == 1 } && window.strides.allSatisfy { $0 == 1 }
        && node.output(0).flatMap { view.shape($0)?.dims.dropFirst(2) } == view.shape(x)?.dims.dropFirst(2)
    default: return false
    }
  }

  private static func passes(_ node: Node, _ view: GraphView) -> Bool {
    switch node.op {
    case .layout: return Rearrangement.isRearrangement(node)
    case .cast: return view.isFloatCast(node)
    case .normalization(.layer), .normalization(.rms), .normalization(.lp(_, 2)): return node.input(0).map { view.isActivation($0) } ?? false
    case .binary(.add): return node.inputs.count { $0.map { view.isActivation($0) } ?? false } == 1
    case .binary(.multiply): return view.scalarFactor(node) != nil
    default: return false
    }
  }

  /// A rearrangement, or copies along axes of size 1.
  private static func pushed(_ node: Node, _ layout: AxisLayout, _ view: GraphView) -> AxisLayout? {
    if let next = Rearrangement.apply(node, to: layout, in: view.typed) { return next }
    guard case .layout(.expand) = node.op, let input = node.input(0), let output = node.output(0), let before = view.shape(input),
      let after = view.shape(output),
      before.rank <= after.rank
    else { return nil }
    var result = layout
    result.axes = []
    for (axis, dim) in after.dims.enumerated() {
      let own = axis - (after.rank - before.rank)
      if own >= 0, before[own] == dim {
        result.axes.append(layout.axes[own])
      } else if own < 0 || layout.axes[own].isEmpty {
        result.axes.append(AxisLayout.normalized([AxisFactor(.copy, size: dim)]))
      } else {
        return nil
      }
    }
    return result
  }

  /// A constant that is added where the channels of a layer lie as in `layout`, as one number for each of them; 0 for those
  /// that are not there.
  private static func channelVector(_ constant: ValueID, _ layout: AxisLayout, _ count: Int, _ view: GraphView) -> [Double]? {
    guard let tensor = view.typed.constant(constant), let elements = tensor.doubles(), tensor.dims.count <= layout.axes.count else { return nil }
    var places = [layout.offsets[.channel] ?? 0]
    for (axis, dim) in zip(layout.axes.suffix(tensor.dims.count), tensor.dims) where dim != 1 {
      var steps = [0]
      for factor in axis {
        guard factor.source == .channel, let size = factor.size.value, let stride = factor.stride.value, size > 0, size <= count, stride <= count,
          steps.count <= count
        else { return nil }
        steps = steps.flatMap { step in (0..<size).map { step + $0 * stride } }
      }
      guard steps.count == dim, places.count <= count else { return nil }
      places = places.flatMap { place in steps.map { place + $0 } }
    }
    var result = [Double](repeating: 0, count: count)
    if tensor.count == 1 { return [Double](repeating: elements[0], count: count) }
    guard places.count == elements.count, places.allSatisfy(result.indices.contains) else { return nil }
    for (place, element) in zip(places, elements) { result[place] = element }
    return result
  }

  private func readNorm(_ op: NormalizationOp, _ node: Node, _ view: GraphView) -> ClaimedOperand.Norm? {
    let raw: Int
    switch op {
    case .layer(let axis, _), .rms(let axis, _), .lp(let axis, _): raw = axis
    default: return nil
    }
    let axis = raw < 0 ? raw + layout.axes.count : raw
    guard layout.axes.indices.contains(axis) else { return nil }
    let tables = node.inputs.dropFirst().compactMap { $0 }
    let factors = layout.axes[axis]
    if case .lp = op, !factors.isEmpty, factors.allSatisfy({ if case .base = $0.source { true } else { false } }) {
      return ClaimedOperand.Norm(op: op, tables: [], span: .tokens)
    }
    // Layer and root-mean-square norms run over all axes from the one that is named.
    guard case .lp = op else {
      guard axis == layout.axes.count - 1, tables.allSatisfy({ view.typed.constant($0) != nil }) else { return nil }
      return ClaimedOperand.Norm(op: op, tables: tables, span: isHead(factors) ? .head : .channels)
    }
    return factors.allSatisfy { $0.source == .channel } ? ClaimedOperand.Norm(op: op, tables: [], span: isHead(factors) ? .head : .channels) : nil
  }

  /// Whether an axis holds the elements of one head, others lying on another axis.
  private func isHead(_ factors: [AxisFactor]) -> Bool { layout.axes.joined().contains { $0.source == .channel && !factors.contains($0) } }
}
