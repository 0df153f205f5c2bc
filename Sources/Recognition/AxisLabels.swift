internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// What an axis of an activation means.
enum AxisKind: Hashable {
  /// Samples.
  case batch
  /// Places: image rows and columns, sequence positions, set members.
  case token
  /// Features of one place.
  case channel
  /// Copies that broadcasting made, branches, what could not be told.
  case other
}

/// An axis as it came to be. Rearrangements keep it and cut it into factors; what makes new numbers along an axis
/// (a projection, a strided convolution, padding) makes a new label.
struct AxisLabel {
  var kind: AxisKind
  var size: Dim
  /// The label that it was made from, where it still runs over the same places.
  var parent: Int?
  /// The node that made it: rows and columns of one image have one maker.
  var maker: NodeID?
}

/// The meaning of all axes of all activations, in one pass over the graph: each axis is a product of labelled factors.
/// Recognizers ask which axis is contracted, which is normalized, where heads and windows lie, whatever the spelling.
struct AxisLabels {
  private(set) var labels: [AxisLabel] = []
  var layouts: HandleMap<ValueTag, AxisLayout?>
  private var maker: NodeID?

  func layout(_ value: ValueID) -> AxisLayout? { layouts[value] }

  /// The kind of a product of factors; nil where it has none (size 1).
  func kind(_ factors: [AxisFactor]) -> AxisKind? {
    var result: AxisKind?
    for factor in factors {
      guard let kind = kind(factor) else { return .other }
      if let known = result, known != kind {
        if kind == .batch || known == .batch { result = known == .batch ? kind : known } else { return .other }
      } else {
        result = kind
      }
    }
    return result
  }

  func kind(_ factor: AxisFactor) -> AxisKind? {
    if case .label(let id) = factor.source, labels.indices.contains(id) { labels[id].kind } else { nil }
  }

  func label(_ factor: AxisFactor) -> AxisLabel? {
    if case .label(let id) = factor.source, labels.indices.contains(id) { labels[id] } else { nil }
  }

  /// The kinds of a value's axes; nil for size 1 and where nothing is known.
  func kinds(_ value: ValueID) -> [AxisKind?] { layouts[value]?.axes.map(kind) ?? [] }

  /// All factors of one kind in a value, in order.
  func factors(_ value: ValueID, _ kind: AxisKind) -> [AxisFactor] {
    layouts[value]?.axes.joined().filter { self.kind($0) == kind } ?? []
  }

  /// The label from which a label comes in the end.
  func root(_ id: Int) -> Int {
    var id = id
    var steps = 0
    while steps < 256, let parent = labels[id].parent {
      id = parent
      steps += 1
    }
    return id
  }

  // MARK: Making

  init(_ typed: TypedGraph, isActivation: (ValueID) -> Bool) {
    let graph = typed.graph
    layouts = HandleMap(count: graph.values.count, initial: nil)
    var convolved = Set<ValueID>()
    for (_, node) in graph.liveNodes { if case .convolution = node.op, let x = node.input(0) { convolved.insert(x) } }
    for input in graph.inputs {
      guard let type = typed.type(of: input), let shape = type.shape else { continue }
      layouts[input] = inputLayout(shape, isFloating: type.element.isFloatingPoint, isConvolved: convolved.contains(input))
    }
    for (id, node) in graph.liveNodes {
      maker = id
      guard node.outputs.contains(where: { $0.map(isActivation) ?? false }) else { continue }
      for (index, output) in node.outputs.enumerated() {
        guard let output, let shape = typed.shape(of: output) else { continue }
        let propagated = index == 0 || isSplit(node) ? propagate(node, shape, typed) : nil
        layouts[output] = repaired(propagated, shape, like: node, typed)
      }
    }
  }

  private func isSplit(_ node: Node) -> Bool { if case .layout(.split) = node.op { true } else { false } }

  mutating func fresh(_ kind: AxisKind, _ size: Dim, parent: Int? = nil) -> [AxisFactor] {
    if size == 1 { return [] }
    labels.append(AxisLabel(kind: kind, size: size, parent: parent, maker: maker))
    return [AxisFactor(.label(labels.count - 1), size: size)]
  }

  /// A new label for the places that `factors` ran over.
  mutating func derived(_ factors: [AxisFactor], _ size: Dim) -> [AxisFactor] {
    let parent = factors.count == 1 ? factors.first.flatMap { factor -> Int? in if case .label(let id) = factor.source { id } else { nil } } : nil
    return fresh(kind(factors) ?? .other, size, parent: parent)
  }

  /// Images are (batch, channel, row, column), or with channels last where those are few or rows and columns of
  /// a square stand in front; tokens (batch, token, channel).
  private mutating func inputLayout(_ shape: Shape, isFloating: Bool, isConvolved: Bool) -> AxisLayout {
    var kinds: [AxisKind] = [.batch]
    switch shape.rank {
    case 0: return AxisLayout([])
    case 1: kinds = [.batch]
    case 2: kinds = isFloating ? [.batch, .channel] : [.batch, .token]
    case 3: kinds = isConvolved ? [.batch, .channel, .token] : [.batch, .token, .channel]
    case 5 where !isConvolved && [1, 3].contains(shape[2].value):
      // A film: (batch, frame, channel, row, column).
      kinds = [.batch, .token, .channel, .token, .token]
    default:
      let isSquareInFront = !isConvolved && shape.rank == 4 && shape[1].value != nil && shape[1] == shape[2] && shape[2] != shape[3]
      let channelsLast = (shape[shape.rank - 1].value ?? .max) <= 4 && (shape[1].value ?? .max) > 4 || isSquareInFront
      kinds += Array(repeating: .token, count: shape.rank - 1)
      kinds[channelsLast ? shape.rank - 1 : 1] = .channel
    }
    var axes: [[AxisFactor]] = []
    for (kind, dim) in zip(kinds, shape.dims) { axes.append(fresh(kind, dim)) }
    return AxisLayout(axes)
  }

  /// Whatever a rule gave, the factors of each axis multiply to its size; where they do not, the axis gets a label of its own.
  private mutating func repaired(_ layout: AxisLayout?, _ shape: Shape, like node: Node, _ typed: TypedGraph) -> AxisLayout {
    let known = layout.flatMap { $0.axes.count == shape.rank ? $0 : nil }
    let source = node.inputs.lazy.compactMap { $0 }.first { layouts[$0] != nil }
    var axes: [[AxisFactor]] = []
    for (axis, dim) in shape.dims.enumerated() {
      if let known, Shape.product(known.axes[axis].map(\.size)[...]) == dim {
        axes.append(AxisLayout.normalized(known.axes[axis]))
        continue
      }
      // An operand of the same size at the same place most likely means the same.
      if known == nil, let source, let whole = typed.shape(of: source), let from = layouts[source], whole.rank > axis, whole[axis] == dim,
        axis == 0 || whole.rank == shape.rank
      {
        axes.append(from.axes[axis])
        continue
      }
      let old = known?.axes[axis] ?? []
      axes.append(old.isEmpty ? fresh(.other, dim) : derived(old, dim))
    }
    return AxisLayout(axes)
  }
}
