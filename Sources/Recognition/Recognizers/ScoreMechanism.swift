internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Names the catalogue's mechanisms that change scores or probabilities between the two products.
enum ScoreMechanism {
  static func name(_ attention: ProductAttention) -> String? {
    let view = attention.view
    if isObjectMasked(attention) { return "oamixer" }
    if isEvolving(attention) { return "evolving-attention" }
    for case (let bias, false) in attention.chain.biases where view.isActivation(bias) && view.reaches(bias, limit: 64, { $0.op == .unary(.log) }) {
      return "gsa"
    }
    if isNormalizedOverTokens(attention.query, view) { return "nsa" }
    return nil
  }

  /// Probabilities times a mask of exponentials, divided by their sum: object-aware mixing (Kang et al. 2022).
  private static func isObjectMasked(_ attention: ProductAttention) -> Bool {
    let view = attention.view
    let divides = attention.meeting.nodes.contains { view.graph[$0].op == .binary(.divide) }
    return divides && attention.meeting.gates.contains { view.isActivation($0) && view.reaches($0, limit: 24, { $0.op == .unary(.exp) }) }
  }

  /// Score maps that pass a convolution over queries and keys: evolving attention (Wang et al. 2021).
  private static func isEvolving(_ attention: ProductAttention) -> Bool {
    let view = attention.view
    func isMapConvolution(_ node: Node) -> Bool {
      guard case .convolution(.conv(_, groups: 1)) = node.op, let w = node.input(1), let dims = view.shape(w)?.concrete, dims.count == 4,
        let x = node.input(0), let whole = view.shape(x), whole.rank == 4
      else { return false }
      return (dims[2] > 1 || dims[3] > 1) && whole[2] == attention.queryCount && whole[3] == attention.keyCount
    }
    if attention.chain.mixes.contains(where: { isMapConvolution(view.graph[$0]) }) { return true }
    return attention.chain.biases.contains { view.isActivation($0.value) && view.reaches($0.value, limit: 16, isMapConvolution) }
  }

  /// Queries whose mean and deviation over tokens were taken out: normalized self-attention (Guo et al. 2020).
  private static func isNormalizedOverTokens(_ query: OperandTrace, _ view: GraphView) -> Bool {
    for id in query.nodes {
      let node = view.graph[id]
      if case .normalization(.instance) = node.op { return true }
      guard node.op == .binary(.divide), let divisor = node.input(1), view.isActivation(divisor) else { continue }
      let takesMean = view.reaches(divisor, limit: 8) { inner in
        guard case .reduction(let reduction) = inner.op, reduction.kind == .mean, let x = inner.input(0), let before = view.labels.layout(x),
          let axes = inner.input(1).flatMap({ view.typed.known($0)?.integers })
        else { return false }
        return axes.contains { axis in
          let index = axis < 0 ? axis + before.axes.count : axis
          return before.axes.indices.contains(index) && view.labels.kind(before.axes[index]) == .token
        }
      }
      if takesMean { return true }
    }
    return false
  }
}

extension GraphView {
  /// The nodes before `value` up to some values, `limit` of them at most.
  func upstream(_ value: ValueID, stoppingAt ends: Set<ValueID>, limit: Int) -> [NodeID] {
    var pending = [value]
    var seen = ends.union([value])
    var result: [NodeID] = []
    while result.count < limit, !pending.isEmpty {
      guard let (id, node) = producer(pending.removeFirst()) else { continue }
      result.append(id)
      for case let input? in node.inputs where isActivation(input) && seen.insert(input).inserted { pending.append(input) }
    }
    return result
  }

  /// Whether a node before `value`, at most `limit` of them looked at, is as wanted.
  func reaches(_ value: ValueID, limit: Int, _ isWanted: (Node) -> Bool) -> Bool {
    var pending = [value]
    var seen: Set<ValueID> = [value]
    var count = 0
    while count < limit, !pending.isEmpty {
      let next = pending.removeFirst()
      guard let (_, node) = producer(next) else { continue }
      count += 1
      if isWanted(node) { return true }
      for case let input? in node.inputs where seen.insert(input).inserted { pending.append(input) }
    }
    return false
  }
}
