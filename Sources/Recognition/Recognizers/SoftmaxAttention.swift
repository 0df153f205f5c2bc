internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Attention with a softmax, of any family: contraction, normalization, contraction over labelled axes.
///
/// The first product's operands tell by the kinds of their axes what is contracted (channels: tokens attend to tokens;
/// tokens: channels to channels), where heads and windows lie (batch axes), and which tokens ask which. Where no product
/// stands before the softmax, `ProjectedScores` decides.
enum SoftmaxAttention {
  static func recognize(_ anchor: NodeID, _ view: GraphView) -> Finding? {
    guard case .softmax(.softmax(let axis)) = view.graph[anchor].op, let scores = view.graph[anchor].input(0), let probabilities = view.graph[anchor].output(0),
      view.isActivation(scores)
    else { return nil }
    // A softmax over probabilities: the first of the two says what is wrong.
    if let (_, above) = view.producer(view.trace(scores).root), case .softmax = above.op { return nil }
    let plain = MultiHeadAttention.recognize(anchor, view)
    do throws(Refusal) {
      switch view.scoreSource(scores) {
      case .product(let product, let chain):
        guard let meeting = view.valueMeeting(probabilities) else {
          guard let obstacle = view.obstacle(behind: probabilities) else { throw Refusal(anchor, "the probabilities weigh no values") }
          throw Refusal(obstacle.node, obstacle.reason, isCertain: true)
        }
        let attention = try ProductAttention(view, anchor: anchor, axis: axis, product: product, chain: chain, meeting: meeting)
        var block = try attention.block()
        if case .projected(let projected)? = plain, [.selfAttention, .causal].contains(block.family), block.mechanism == "softmax" {
          block = refined(projected, by: block)
        }
        return .block(block)
      case .joined(let products, let chain):
        return try JoinedScores.recognize(anchor, products, chain, view).map { .block($0) }
      case .projection(_, let chain):
        return try ProjectedScores.recognize(anchor, axis: axis, chain: chain, view).map { .block($0) } ?? miss(plain)
      case .other:
        return try ProjectedScores.recognize(anchor, axis: axis, chain: ScoreChain(), view).map { .block($0) } ?? miss(plain)
      }
    } catch {
      if !error.isCertain, case .projected(let projected)? = plain {
        return .block(AttentionBlock(projected, anchor: view.original(of: anchor) ?? anchor))
      }
      return view.nearMiss(error, anchor: anchor)
    }
  }

  /// A softmax with the products before and behind it.
  static func nodes(around id: NodeID, _ view: GraphView) -> [NodeID] {
    guard case .softmax = view.graph[id].op, let scores = view.graph[id].input(0), let probabilities = view.graph[id].output(0) else { return [id] }
    var result = [id]
    switch view.scoreSource(scores) {
    case .product(let product, _): result.append(product)
    case .joined(let products, _): result += products
    case .projection, .other: break
    }
    if let meeting = view.valueMeeting(probabilities) { result.append(meeting.node) }
    return result
  }

  private static func miss(_ plain: PlainFinding?) -> Finding? {
    if case .nearMiss(let miss)? = plain { .nearMiss(miss) } else { nil }
  }

  /// The plain block, with what the general view adds.
  private static func refined(_ projected: ProjectedAttention, by general: AttentionBlock) -> AttentionBlock {
    var block = AttentionBlock(projected, anchor: general.anchor)
    block.geometry = general.geometry
    block.traits = general.traits
    (block.operands, block.claims) = (general.operands, general.claims)
    block.weights += general.weights.filter { $0.role == "bias" }
    block.formulas = general.formulas
    block.remarks = general.remarks
    block.width = projected.query.weight.rows
    return block
  }
}

extension GraphView {
  func nearMiss(_ refusal: Refusal, anchor: NodeID) -> Finding? {
    guard let at = original(of: refusal.at) ?? original(of: anchor) else { return nil }
    return .nearMiss(NearMiss(at: at, lookedLike: refusal.family, reason: refusal.reason))
  }

  /// The constant of a linear layer in its role, where the graph as read has it.
  func weight(_ linear: NodeID, as role: String) -> BlockWeight? {
    graph[linear].inputs.compactMap { $0 }.first { !isActivation($0) }.flatMap { original(of: $0) }.map { BlockWeight(role: role, value: $0) }
  }

  /// A value's labelled axes; those of a constant are its own.
  func axes(_ value: ValueID) -> AxisLayout? { labels.layout(value) ?? shape(value).map { AxisLayout(identity: $0) } }
}
