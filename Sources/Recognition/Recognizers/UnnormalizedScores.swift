internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Attention whose scores pass a function element by element where others have a softmax: a sigmoid (Ramapuram et al.
/// 2024), a rectifier or its square, divided by the number of keys (Wortsman et al. 2023, Hua et al. 2022), or are
/// multiplied by a decay with distance (Sun et al. 2023).
enum UnnormalizedScores {
  static func recognize(_ id: NodeID, _ view: GraphView) -> Finding? {
    guard view.graph[id].op == .matrix(.matMul), let a = view.graph[id].input(0), let b = view.graph[id].input(1), view.isActivation(a), view.isActivation(b),
      let output = view.graph[id].output(0), view.labels.kinds(output).suffix(2) == [.token, .token], let path = path(from: output, view)
    else { return nil }
    // The product with values runs over the keys: that is the axis which a softmax would have.
    do throws(Refusal) {
      let axis = if case .product(operand: 0) = path.meeting.form { -1 } else { -2 }
      let attention = try ProductAttention(view, anchor: id, axis: axis, product: id, chain: path.chain, meeting: path.meeting)
      guard attention.query.linear != nil, attention.value.linear != nil, !attention.contractsTokens else { return nil }
      var block = try attention.block()
      block.traits.insert("\(path.function) in place of the softmax", at: 0)
      if let decay = path.decay, block.family == .selfAttention, ScoreBiasReading.showsPast(decay, view) {
        block.family = .causal
        block.causal = true
      }
      return .block(block)
    } catch {
      return error.isCertain ? view.nearMiss(error, anchor: id) : nil
    }
  }

  /// From the scores through functions of single elements to the product with values; nil where anything else is met, or
  /// nothing that is not linear.
  private static func path(from scores: ValueID, _ view: GraphView) -> (
    chain: ScoreChain, meeting: ValueMeeting, function: String, decay: ValueID?
  )? {
    var chain = ScoreChain()
    var decay: ValueID?
    var function: String?
    var value = scores
    for _ in 0..<24 {
      // A square reads its operand twice.
      let readers = Set(view.uses.readers(of: value))
      guard readers.count == 1, let reader = readers.first, let next = view.graph[reader].output(0) else { return nil }
      let node = view.graph[reader]
      let other = node.input(0) == value ? node.input(1) : node.input(0)
      switch node.op {
      case .matrix(.matMul):
        guard let other, view.isActivation(other), let function else { return nil }
        let meeting = ValueMeeting(
          node: reader, form: .product(operand: node.input(0) == value ? 0 : 1), steps: [], mixes: [], gates: [], nodes: [reader])
        return (chain, meeting, function, decay)
      case .unary(.relu): function = function ?? "a rectifier"
      case .unary(.sigmoid), .unary(.hardSigmoid): function = function ?? "a sigmoid"
      case .unary(.identity), .cast: break
      case .binary(.power):
        guard node.input(0) == value, let other, view.scalar(other) != nil else { return nil }
        function = "a power"
      case .binary(.multiply) where other == value: function = function.map { "the square of \($0)" } ?? "a square"
      case .binary(.multiply), .binary(.divide):
        guard let other, !view.isActivation(other) else { return nil }
        // A factor for each pair of places, which falls with their distance (Sun et al. 2023).
        if node.op == .binary(.multiply), let dims = view.shape(other)?.dims, dims.count >= 2, let whole = view.shape(value)?.dims,
          Array(dims.suffix(2)) == Array(whole.suffix(2)), dims.suffix(2).allSatisfy({ $0 != 1 })
        {
          function = function ?? "a decay with distance"
          decay = other
          chain.nodes.append(reader)
          value = next
          continue
        }
        // What stands behind the function is no scale of the scores.
        if function == nil, node.op == .binary(.multiply), let factor = view.scalar(other) {
          chain.scale *= factor
          chain.scales.append(reader)
        }
      case .binary(.add), .binary(.subtract):
        guard let other, !view.isActivation(other) else { return nil }
        if view.scalar(other) == nil { chain.biases.append((other, false)) }
      case .select where node.input(0) != value:
        guard let condition = node.input(0), !view.isActivation(condition) else { return nil }
        chain.biases.append((condition, true))
      case .layout where Rearrangement.isRearrangement(node) && node.input(0) == value: chain.steps.append(reader)
      default: return nil
      }
      chain.nodes.append(reader)
      value = next
    }
    return nil
  }
}
