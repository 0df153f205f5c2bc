internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// What follows the product of probabilities and values: heads merged, projected, and joined to the residual stream.
struct OutputBranch {
  var merged: (value: ValueID, layout: TokenLayout)?
  var projection: Projection?
  var output: ValueID
  var layout: TokenLayout
  var hasBias = true
  var residualAdd: NodeID?
  var residualSum: ValueID?
  var nodes: [NodeID] = []

  init(_ view: GraphView, from product: NodeID, roles: HeadRoles) throws(Refusal) {
    guard let start = view.graph[product].output(0) else { throw Refusal(product, "the product with values has no result") }
    let heads = AxisLayout.normalized([AxisFactor(.head, size: Dim(roles.heads)), AxisFactor(.dim, size: Dim(roles.valueDim))])
    var value = start
    var axes = roles.result
    var candidates: [(value: ValueID, axes: AxisLayout)] = [(value, axes)]
    var linear: (id: NodeID, weight: ValueID, bias: ValueID?)?
    var passed: [NodeID] = []

    // Down to the output projection.
    walk: while true {
      for id in view.uses.readers(of: value) {
        let node = view.graph[id]
        guard let output = node.output(0) else { continue }
        if view.isFloatCast(node) {
          value = output
        } else if Rearrangement.isRearrangement(node), node.input(0) == value {
          guard let next = Rearrangement.apply(node, to: axes, in: view.typed) else { continue }
          axes = next
          value = output
        } else if node.op == .matrix(.matMul), node.input(0) == value, let weight = node.input(1), !view.isActivation(weight), view.shape(weight)?.rank == 2,
          axes.axes.last.map({ Set($0) == Set(heads) }) == true
        {
          linear = (id, weight, nil)
          passed.append(id)
          break walk
        } else {
          continue
        }
        passed.append(id)
        candidates.append((value, axes))
        continue walk
      }
      break
    }
    guard let mergedAxes = candidates.last?.axes, linear == nil || mergedAxes.axes.last == heads else {
      throw Refusal(linear?.id ?? product, "heads are merged with their elements outermost")
    }
    let mergedChoices = candidates.filter { $0.axes.axes.last == heads }
    merged =
      mergedChoices.lazy.compactMap { choice in
        OutputBranch.tokens(choice.axes, channel: { $0 == heads }).flatMap { layout in view.original(of: choice.value).map { ($0, layout) } }
      }.first

    guard let linear, let result = view.graph[linear.id].output(0), let weightShape = view.shape(linear.weight) else {
      // No output projection: the merged heads are the branch's result.
      guard let choice = mergedChoices.last(where: { view.original(of: $0.value) != nil && OutputBranch.tokens($0.axes, channel: { $0 == heads }) != nil }),
        let original = view.original(of: choice.value), let layout = OutputBranch.tokens(choice.axes, channel: { $0 == heads })
      else { throw Refusal(product, "heads are never merged into tokens of the graph") }
      output = original
      self.layout = layout
      nodes = passed
      findResidual(view, from: choice.value)
      return
    }
    var bias: ValueID?
    value = result
    axes = candidates[candidates.count - 1].axes
    let channels = AxisLayout.normalized([AxisFactor(.channel, size: weightShape[1])])
    axes.axes[axes.axes.count - 1] = channels
    var outputs: [(value: ValueID, axes: AxisLayout)] = [(value, axes)]
    var beforeBias: [(value: ValueID, axes: AxisLayout)] = []
    // The bias may be added before or behind a change of shape.
    walk: while true {
      let readers = view.uses.readers(of: value)
      for id in readers {
        let node = view.graph[id]
        guard let output = node.output(0) else { continue }
        if bias == nil, node.op == .binary(.add), node.input(0) == value, let b = node.input(1), !view.isActivation(b), axes.axes.last == channels,
          view.typed.constant(b).map({ $0.count == weightShape[1].value && $0.dims.last == $0.count }) == true
        {
          bias = b
          value = output
          beforeBias = outputs
          outputs = [(value, axes)]
        } else if Rearrangement.isRearrangement(node), node.input(0) == value, readers.count == 1,
          let next = Rearrangement.apply(node, to: axes, in: view.typed),
          next.offsets.isEmpty
        {
          axes = next
          value = output
          outputs.append((value, axes))
        } else {
          continue
        }
        passed.append(id)
        continue walk
      }
      break
    }
    func chosen(_ choices: [(value: ValueID, axes: AxisLayout)]) -> (ValueID, TokenLayout)? {
      choices.lazy.compactMap { choice in
        guard let original = view.original(of: choice.value), let layout = OutputBranch.tokens(choice.axes, channel: { $0 == channels }) else { return nil }
        return (original, layout)
      }.first
    }
    if chosen(outputs) == nil { hasBias = bias == nil }
    guard let (original, layout) = chosen(outputs) ?? chosen(beforeBias) else {
      throw Refusal(linear.id, "the projected result is no value of the graph with batch, token and channel axes")
    }
    output = original
    self.layout = layout
    guard let weight = view.weightView(linear.weight, rows: 0, columns: 1, take: nil) else {
      throw Refusal(linear.id, "the output projection's weight is no constant")
    }
    if let bias {
      guard let row = view.biasView(bias, take: nil) else { throw Refusal(linear.id, "the output projection's bias is no constant") }
      projection = Projection(weight: weight, bias: row)
    } else {
      projection = Projection(weight: weight, bias: nil)
    }
    nodes = passed
    findResidual(view, from: value)
  }

  /// Batch, token and channel axes of a rank-3 tensor in roles.
  private static func tokens(_ layout: AxisLayout, channel isChannel: ([AxisFactor]) -> Bool) -> TokenLayout? {
    guard layout.axes.count == 3, let channel = layout.axes.lastIndex(where: { !$0.isEmpty && isChannel($0) }) ?? (isChannel([]) ? 2 : nil) else { return nil }
    var tokens: [Int] = []
    for (axis, factors) in layout.axes.enumerated() where axis != channel {
      let queries = factors.filter { if case .query = $0.source { true } else { false } }
      if queries.isEmpty { continue }
      guard queries.count == factors.count else { return nil }
      tokens.append(axis)
    }
    return TokenLayout(channel: channel, tokens: tokens)
  }

  /// The addition of two activations that the result reaches, through layer scale, rearrangements and norms of the branch.
  private mutating func findResidual(_ view: GraphView, from value: ValueID) {
    var value = value
    for _ in 0..<8 {
      let readers = view.uses.readers(of: value)
      if let add = readers.first(where: { view.graph[$0].op == .binary(.add) && view.graph[$0].inputs.allSatisfy { $0.map { view.isActivation($0) } ?? false } }
      ) {
        // What is made of the result joins it in the next residual block, not in this one.
        if let other = view.graph[add].inputs.compactMap({ $0 }).first(where: { $0 != value }), view.isMade(other, from: value) { return }
        residualAdd = view.original(of: add)
        residualSum = view.graph[add].output(0).flatMap { view.original(of: $0) }
        return
      }
      guard
        let next = readers.first(where: { id in
          let node = view.graph[id]
          guard node.input(0) == value else { return false }
          if Rearrangement.isRearrangement(node) || view.isFloatCast(node) { return true }
          if case .normalization = node.op { return true }
          return node.op == .binary(.multiply) && node.input(1).map { !view.isActivation($0) } == true
        }), let output = view.graph[next].output(0)
      else { return }
      value = output
    }
  }
}
