internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// One softmax over scores of several products side by side: rows and columns of criss-cross attention (Huang et al. 2019).
enum JoinedScores {
  static func recognize(_ anchor: NodeID, _ products: [NodeID], _ chain: ScoreChain, _ view: GraphView) throws(Refusal) -> AttentionBlock? {
    guard let probabilities = view.graph[anchor].output(0), let meeting = view.valueMeeting(probabilities), let first = products.first,
      let a = view.graph[first].input(0), let layout = view.axes(a), let operand = ProductOperand(layout, isLeft: true),
      view.labels.kind(operand.contracted) == .channel
    else { throw Refusal(anchor, "scores of several products are normalized together, but weigh no values") }
    let query = view.operandTrace(a)
    let nodes = chain.nodes + meeting.nodes + [anchor] + products + query.nodes
    let heads = operand.batch.joined().filter { view.labels.kind($0) == .channel }.compactMap(\.size.value).checkedProduct ?? 1
    let keys = view.shape(probabilities)?.dims.last ?? 1
    var block = AttentionBlock(
      family: .axial, heads: heads, headDim: operand.contracted.size?.value, valueDim: operand.contracted.size?.value, queryTokens: operand.free.size ?? 1,
      keyTokens: keys, scale: chain.scale, bias: chain.biases.isEmpty ? .none : .computed(query.source), traits: ["one softmax over several lines"],
      input: view.original(of: query.source), anchor: view.original(of: anchor) ?? anchor, nodes: view.originals(of: nodes),
      cost: view.cost(products + [meeting.node]))
    if case .product(let operand) = meeting.form, let values = view.graph[meeting.node].input(1 - operand), let output = view.graph[meeting.node].output(0) {
      let operands = products.flatMap { view.graph[$0].inputs.compactMap { $0 } } + [values]
      block.formulas = [BlockFormula(view, sources: operands.map { view.operandTrace($0).source }, output: output)]
    }
    return block
  }
}
