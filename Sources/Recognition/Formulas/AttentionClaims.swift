internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// What is claimed of softmax over a product, gathered for its formula.
extension ProductAttention {
  /// nil where something stands between the products that no claim says: a cap, a gate, another function than a softmax.
  func claimed(_ block: AttentionBlock, _ branch: BranchTrace?) -> ClaimedAttention? {
    guard view.graph[product].op == .matrix(.matMul), case .product(let operand) = meeting.form, case .softmax(.softmax) = view.graph[anchor].op,
      block.mechanism == "softmax", !takesDifference,
      !holdsHeads(q.free),
      let scores = view.graph[anchor].input(0), let probabilities = view.graph[anchor].output(0), let raw = view.graph[product].output(0),
      let whole = view.shape(raw), whole.rank >= 2, let headDim, let valueDim, let start = view.graph[meeting.node].output(0)
    else { return nil }
    let isLeft = view.graph[product].input(0) == queryValue
    let (queryReading, keyReading) = (OperandReading(view, queryValue), OperandReading(view, keyValue))
    let roles = batchRoles(whole.rank - 2, [queryReading, keyReading])
    let queries = AxisFactor(.query(0), size: whole[whole.rank - (isLeft ? 2 : 1)])
    let keys = AxisFactor(.key(0), size: whole[whole.rank - (isLeft ? 1 : 2)])
    var walk = MapWalk(view, causal: block.causal, layout: AxisLayout(roles + (isLeft ? [[queries], [keys]] : [[keys], [queries]])))
    guard let q = claim(queryValue, queryReading, isLeft: isLeft, runsOverTokens: contractsTokens, roles),
      let k = claim(keyValue, keyReading, isLeft: !isLeft, runsOverTokens: contractsTokens, roles),
      walk.follow(from: raw, to: scores, along: chain.nodes)
    else { return nil }
    let before = walk.steps
    walk.steps = []
    walk.isBehindSoftmax = true
    guard walk.follow(from: probabilities, to: view.graph[meeting.node].input(operand), along: meeting.nodes) else { return nil }
    let atMeeting = walk.layout.axes
    guard atMeeting.count >= 2, atMeeting[atMeeting.count - (operand == 0 ? 1 : 2)] == AxisLayout.normalized([keys]) else { return nil }
    let outer = Array(atMeeting.dropLast(2))
    let valueReading = OperandReading(view, valueValue)
    guard var v = claim(valueValue, valueReading, isLeft: operand == 1, runsOverTokens: !contractsTokens, outer), let made = view.shape(start) else {
      return nil
    }
    if case .projected(var own) = v.form {
      own.factor = valueReading?.scale ?? 1
      v.form = .projected(own)
    }
    let free = AxisFactor(.dim, size: made[made.rank - (operand == 0 ? 1 : 2)])
    // A result of more axes than the map: values that have groups of their own.
    guard made.rank == outer.count + 2 else { return nil }
    let axes = outer + (operand == 0 ? [[queries], [free]] : [[free], [queries]])
    let scale = (block.scale ?? chain.scale * query.scale * key.scale) / (q.isProjected ? 1 : query.scale) / (k.isProjected ? 1 : key.scale)
    let end = output(branch, from: start, AxisLayout(axes))
    let all = roles.joined()
    return ClaimedAttention(
      heads: heads, keyHeads: isGrouped ? keyHeads : heads, headDim: headDim, valueDim: valueDim, scale: scale, causal: block.causal, query: q, key: k,
      value: v, contractsTokens: contractsTokens, groups: all.filter { if case .group = $0.source { true } else { false } },
      headParts: all.filter { if case .heads = $0.source { true } else { false } }, before: before, after: walk.steps, axes: axes, output: end?.output,
      queries: queries, keys: keys, resultToken: contractsTokens ? free : queries, resultElement: contractsTokens ? queries : free,
      gives: end?.gives ?? start,
      isWhole: q.isProjected && k.isProjected && v.isProjected && (end != nil || branch?.linear == nil))
  }

  // MARK: Roles

  /// Groups and heads of the product's batch axes, as the first operand that has them says.
  private func batchRoles(_ count: Int, _ readings: [OperandReading?]) -> [[AxisFactor]] {
    var result: [[AxisFactor]] = []
    var number = 0
    func isHead(_ factor: AxisFactor) -> Bool {
      switch factor.source {
      case .channel, .copy: true
      case .label: view.labels.kind(factor) == .channel || view.labels.kind(factor) == .other
      default: false
      }
    }
    let layouts = readings.map { $0?.layout.axes } + [queryValue, keyValue].map { view.labels.layout($0)?.axes }
    for axis in 0..<count {
      let known = layouts.lazy.compactMap { axes -> [AxisFactor]? in
        guard let axes, axes.count >= 2 else { return nil }
        let own = axis - (count + 2 - axes.count)
        return own >= 0 && !axes[own].isEmpty ? axes[own] : nil
      }.first
      var roles: [AxisFactor] = []
      var wasHead: Bool?
      for factor in known ?? [] {
        let head = isHead(factor)
        if head == wasHead, let last = roles.last, let size = last.size.multiplied(by: factor.size) {
          roles[roles.count - 1].size = size
        } else {
          roles.append(AxisFactor(head ? .heads(number) : .group(number), size: factor.size))
          number += 1
        }
        wasHead = head
      }
      result.append(roles)
    }
    return result
  }

  /// - Parameter runsOverTokens: whether the product with the operand contracts its tokens, and not its channels.
  private func claim(_ value: ValueID, _ reading: OperandReading?, isLeft: Bool, runsOverTokens: Bool, _ roles: [[AxisFactor]]) -> ClaimedOperand? {
    if let reading, let projected = projected(reading, isLeft: isLeft, runsOverTokens: runsOverTokens, roles) { return projected }
    guard let shape = view.shape(value), shape.rank >= 2, shape.rank - 2 <= roles.count else { return nil }
    var axes: [[AxisFactor]] = []
    for axis in 0..<(shape.rank - 2) {
      let own = roles[axis + roles.count - (shape.rank - 2)]
      if shape[axis] == 1 {
        axes.append([])
      } else if own.size == shape[axis] {
        axes.append(own)
      } else {
        return nil
      }
    }
    // Contracted is the last axis of a left operand, the one before of a right one.
    let isTokenLast = isLeft == runsOverTokens
    let (a, b) = (shape[shape.rank - 2], shape[shape.rank - 1])
    axes.append([AxisFactor(isTokenLast ? .dim : .query(0), size: a)])
    axes.append([AxisFactor(isTokenLast ? .query(0) : .dim, size: b)])
    return ClaimedOperand(form: .given(value, axes))
  }

  private func projected(_ reading: OperandReading, isLeft: Bool, runsOverTokens: Bool, _ roles: [[AxisFactor]]) -> ClaimedOperand? {
    let axes = reading.layout.axes
    guard axes.count >= 2, axes.count - 2 <= roles.count else { return nil }
    var made = ClaimedOperand.Projected(
      source: reading.source, channelAxis: reading.channelAxis, offsets: [:], groups: [], tokens: [], heads: [], elements: nil,
      start: reading.layout.offsets[.channel] ?? 0, bias: reading.bias, norm: reading.norm)
    for (source, offset) in reading.layout.offsets { if case .base(let axis) = source { made.offsets[axis] = offset } }
    for axis in 0..<(axes.count - 2) {
      var pending = axes[axis][...]
      if pending.isEmpty { continue }
      for role in roles[axis + roles.count - (axes.count - 2)] {
        var own: [AxisFactor] = []
        while own.size != role.size {
          guard let next = pending.popFirst() else { return nil }
          own.append(next)
        }
        if case .group = role.source {
          guard own.allSatisfy({ if case .base = $0.source { true } else { false } }) else { return nil }
          made.groups.append((role, own))
          continue
        }
        var stride = role.stride
        var heads: [(AxisFactor, AxisFactor)] = []
        for factor in own.reversed() {
          if factor.source == .channel { heads.insert((AxisFactor(role.source, stride: stride, size: factor.size), factor), at: 0) }
          guard factor.source == .channel || factor.source == .copy, let next = stride.multiplied(by: factor.size) else { return nil }
          stride = next
        }
        made.heads += heads
      }
      guard pending.isEmpty else { return nil }
    }
    let (contracted, free) = isLeft ? (axes[axes.count - 1], axes[axes.count - 2]) : (axes[axes.count - 2], axes[axes.count - 1])
    let (tokens, elements) = runsOverTokens ? (contracted, free) : (free, contracted)
    guard tokens.allSatisfy({ if case .base = $0.source { true } else { false } }), elements.count <= 1, elements.allSatisfy({ $0.source == .channel }) else {
      return nil
    }
    made.tokens = tokens
    made.elements = elements.first
    var result = ClaimedOperand(form: .projected(made))
    result.weight = reading.weight
    return result
  }

  // MARK: The last layer

  /// Heads side by side and through a linear layer, with nothing but rearrangements before it.
  private func output(_ branch: BranchTrace?, from start: ValueID, _ layout: AxisLayout) -> (output: ClaimedAttention.Output, gives: ValueID)? {
    guard let branch, let linear = branch.linear else { return nil }
    var layout = layout
    var value = start
    for id in branch.nodes {
      let node = view.graph[id]
      guard node.inputs.contains(value), let next = node.output(0) else { return nil }
      if id == linear { break }
      if !view.isFloatCast(node) {
        guard let moved = Rearrangement.apply(node, to: layout, in: view.typed) else { return nil }
        layout = moved
      }
      value = next
    }
    let node = view.graph[linear]
    guard node.input(0) == value, let w = node.input(1), let made = node.output(0), let shape = view.shape(w) else { return nil }
    switch node.op {
    case .matrix(.matMul):
      guard shape.rank == 2, let weight = view.weightView(w, rows: 0, columns: 1, take: nil) else { return nil }
      let bias = view.addedBias(linear).flatMap { b in view.shape(b)?.elementCount == shape[1] && view.shape(b)?.dims.last == shape[1] ? b : nil }
      let sum = bias.flatMap { _ in view.uses.onlyReader(of: made).flatMap { view.graph[$0].output(0) } }
      return (
        ClaimedAttention.Output(weight: weight, bias: sum == nil ? nil : bias, axes: layout.axes, channelAxis: layout.axes.count - 1), sum ?? made
      )
    case .convolution(.conv(let window, groups: 1)):
      guard shape.dims.dropFirst(2).allSatisfy({ $0 == 1 }), window.strides.allSatisfy({ $0 == 1 }),
        let weight = view.weightView(w, rows: 1, columns: 0, take: nil)
      else { return nil }
      return (ClaimedAttention.Output(weight: weight, bias: node.input(2), axes: layout.axes, channelAxis: 1), made)
    default: return nil
    }
  }
}

/// The map followed down, with its axes in roles and what happens to it.
private struct MapWalk {
  let view: GraphView
  let causal: Bool
  var layout: AxisLayout
  var steps: [ClaimedAttention.Step] = []
  var isBehindSoftmax = false

  init(_ view: GraphView, causal: Bool, layout: AxisLayout) {
    self.view = view
    self.causal = causal
    self.layout = layout
  }

  /// - Returns: whether all that was passed is said by a step or by the scale.
  mutating func follow(from start: ValueID, to end: ValueID?, along nodes: [NodeID]) -> Bool {
    let own = Set(nodes)
    var value = start
    var count = 0
    while value != end {
      count += 1
      let readers = Set(view.uses.readers(of: value).filter(own.contains))
      guard count <= 64, readers.count == 1, let id = readers.first, let next = view.graph[id].output(0), pass(view.graph[id], value, next) else {
        return false
      }
      value = next
    }
    return true
  }

  private mutating func pass(_ node: Node, _ value: ValueID, _ next: ValueID) -> Bool {
    switch node.op {
    case .cast, .unary(.identity): return true
    case .layout where node.input(0) == value:
      guard let moved = Rearrangement.apply(node, to: layout, in: view.typed), moved.offsets.isEmpty else { return false }
      layout = moved
      return true
    case .binary(.multiply):
      guard let other = node.input(0) == value ? node.input(1) : node.input(0), other != value, !view.isActivation(other) else { return false }
      if view.scalar(other) != nil { return !isBehindSoftmax && scaleCommutes }
      guard !isBehindSoftmax, let axes = aligned(other, next, value) else { return false }
      steps.append(.factor(other, axes))
      return true
    case .unary(.neg): return !isBehindSoftmax && scaleCommutes
    case .binary(.add):
      guard let other = node.input(0) == value ? node.input(1) : node.input(0), other != value, let axes = aligned(other, next, value) else { return false }
      if isCausalMask(other, isMask: false) { return true }
      steps.append(.bias(other, axes))
      return true
    case .select:
      guard let condition = node.input(0), let a = node.input(1), let b = node.input(2), condition != value, a != b,
        let axes = aligned(condition, next, value), let fill = view.scalar(a == value ? b : a)
      else { return false }
      if isCausalMask(condition, isMask: true) { return true }
      steps.append(.mask(condition, axes, fill: max(fill, -1e30), whereTrue: b == value))
      return true
    case .matrix(.matMul):
      guard node.input(0) == value, let w = node.input(1), view.shape(w)?.rank == 2, isHeads(layout.axes.last),
        let weight = view.weightView(w, rows: 0, columns: 1, take: nil), weight.rows == weight.columns
      else { return false }
      steps.append(.mix(weight, bias: nil))
      return true
    case .convolution(.conv(let window, groups: 1)):
      guard node.input(0) == value, let w = node.input(1), view.shape(w)?.dims.dropFirst(2).allSatisfy({ $0 == 1 }) == true,
        window.strides.allSatisfy({ $0 == 1 }), layout.axes.count > 1, isHeads(layout.axes[1]),
        let weight = view.weightView(w, rows: 1, columns: 0, take: nil), weight.rows == weight.columns
      else { return false }
      steps.append(.mix(weight, bias: node.input(2)))
      return true
    default: return false
    }
  }

  /// A factor may be taken from behind mixes and factors to the product.
  private var scaleCommutes: Bool {
    steps.allSatisfy { step in
      switch step {
      case .factor, .mix(_, bias: nil): true
      default: false
      }
    }
  }

  private func isHeads(_ axis: [AxisFactor]?) -> Bool {
    let all = layout.axes.joined().filter { if case .heads = $0.source { true } else { false } }
    return axis == all && !all.isEmpty
  }

  /// The axes of an operand that is broadcast to the map.
  private func aligned(_ value: ValueID, _ result: ValueID, _ map: ValueID) -> [[AxisFactor]]? {
    guard let own = view.shape(value), view.shape(result) == view.shape(map), own.rank <= layout.axes.count else { return nil }
    return zip(own.dims, layout.axes.suffix(own.rank)).map { $0 == 1 ? [] : $1 }
  }

  /// Whether a constant says nothing but what "causal" does.
  private func isCausalMask(_ value: ValueID, isMask: Bool) -> Bool {
    guard causal, !view.isActivation(value) else { return false }
    let reading = ScoreBiasReading.read([(value, isMask)], view, map: value)
    if case .mask = reading.bias { return reading.causal }
    return false
  }
}
