internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Softmax over a product of queries and keys, under examination.
struct ProductAttention {
  let view: GraphView
  let anchor: NodeID
  let product: NodeID
  let chain: ScoreChain
  let meeting: ValueMeeting
  let queryValue, keyValue, valueValue: ValueID
  let query, key, value: OperandTrace
  let q, k: ProductOperand
  let v: ProductOperand?
  let contractsTokens: Bool

  init(_ view: GraphView, anchor: NodeID, axis: Int, product: NodeID, chain: ScoreChain, meeting: ValueMeeting) throws(Refusal) {
    self.view = view
    self.anchor = anchor
    self.product = product
    self.chain = chain
    self.meeting = meeting
    guard let scores = ScoreProduct(view, product) else { throw Refusal(product, "the axes of the product before the softmax are not known") }
    let queriesAreLeft = try scores.queriesAreLeft(view, anchor: anchor, axis: axis, chain: chain)
    (queryValue, keyValue) = queriesAreLeft ? (scores.a, scores.b) : (scores.b, scores.a)
    (q, k) = queriesAreLeft ? (scores.left, scores.right) : (scores.right, scores.left)

    let kind = view.labels.kind(scores.left.contracted) ?? view.labels.kind(scores.right.contracted)
    let free = [view.labels.kind(scores.left.free), view.labels.kind(scores.right.free)]
    if kind == .token, free.allSatisfy({ $0 == .channel || $0 == nil }), free.contains(.channel) {
      contractsTokens = true
    } else if kind == .token, !free.contains(.token) {
      throw Refusal(product, "the product contracts tokens with axes that are neither tokens nor channels")
    } else {
      contractsTokens = false
    }
    try scores.checkMeeting(view, queriesAreLeft: queriesAreLeft, chain: chain, meeting: meeting)
    switch meeting.form {
    case .product(let operand):
      guard let values = view.graph[meeting.node].input(1 - operand), let layout = view.axes(values) else {
        throw Refusal(meeting.node, "the axes of the values are not known")
      }
      valueValue = values
      v = ProductOperand(layout, isLeft: operand == 1)
    case .weightedSum(_, _, let values):
      valueValue = values
      v = nil
    case .learned:
      throw Refusal(meeting.node, "probabilities of a product meet learned values", as: .talkingHeads)
    }
    query = view.operandTrace(queryValue)
    key = view.operandTrace(keyValue)
    value = view.operandTrace(valueValue)
  }

  // MARK: Roles

  func size(_ factors: [AxisFactor], _ kind: AxisKind) -> Int {
    factors.filter { view.labels.kind($0) == kind }.compactMap(\.size.value).checkedProduct ?? 1
  }

  /// One head of keys for all leaves the queries' heads among their rows.
  var queryHeads: Int {
    let among = holdsHeads(q.free) ? size(q.free, .channel) : 1
    return size(Array(q.batch.joined()), .channel).multipliedReportingOverflow(by: among).partialValue
  }
  func holdsHeads(_ rows: [AxisFactor]) -> Bool {
    !contractsTokens && rows.contains { view.labels.kind($0) == .channel } && rows.contains { view.labels.kind($0) == .token }
  }
  var keyHeads: Int { size(Array(k.batch.joined()), .channel) }
  var valueHeads: Int { v.map { size(Array($0.batch.joined()), .channel) } ?? 1 }

  var heads: Int {
    // Two maps for each head of values, one taken from the other (Ye et al. 2024).
    if takesDifference { return valueHeads }
    let told = max(queryHeads, keyHeads, valueHeads)
    guard told == 1, let output = view.graph[product].output(0), let layout = view.labels.layout(output), layout.axes.count == 4 else { return told }
    // Heads that were copied or learned: the batch axis that is neither samples nor places.
    return view.labels.kind(layout.axes[1]) == .other ? size(layout.axes[1], .other) : told
  }

  var queryCount: Dim { queryTokens }
  var keyCount: Dim { keyTokens }
  var queryTokens: Dim { (holdsHeads(q.free) ? q.free.filter { view.labels.kind($0) != .channel } : q.free).size ?? 1 }
  var keyTokens: Dim { k.free.size ?? 1 }

  var isGrouped: Bool {
    guard view.isActivation(queryValue), view.isActivation(keyValue) else { return false }
    return queryHeads > keyHeads && keyHeads == valueHeads
  }

  var takesDifference: Bool {
    guard queryHeads == keyHeads, valueHeads.multipliedReportingOverflow(by: 2).partialValue == queryHeads else { return false }
    return meeting.nodes.contains { view.graph[$0].op == .binary(.subtract) }
  }

  /// Whether queries and keys are made from one tensor.
  var hasOneSource: Bool {
    guard view.isActivation(queryValue) else { return false }
    let above = Set(view.ancestry(query.source))
    return view.ancestry(key.source).contains { above.contains($0) }
  }

  var mixesHeads: Bool {
    (chain.mixes + meeting.mixes).contains { id in
      if case .convolution = view.graph[id].op, let w = view.graph[id].input(1), let dims = view.shape(w)?.dims {
        return dims.dropFirst(2).allSatisfy { $0 == 1 }
      }
      return true
    }
  }
}
