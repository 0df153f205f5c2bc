internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Attention whose patch queries were replaced by the means of a few groups of them: what those gather is spread over the
/// patches again, and a depth-wise convolution of the values adds what is local. It is what attention becomes on the way
/// to FCViT (Li et al. 2022); prefix tokens may attend by themselves beside it.
///
/// Told by the query of a softmax that is a mean over tokens (or a constant), and by the way to the output, on which one
/// row or a few become one for every patch without another product of activations.
enum ConvertedContext {
  static func recognize(_ anchor: NodeID, _ view: GraphView) -> Finding? {
    guard case .softmax(.softmax) = view.graph[anchor].op, let scores = view.graph[anchor].input(0), let map = view.graph[anchor].output(0),
      view.isActivation(scores), let meeting = view.valueMeeting(map), case .product(let operand) = meeting.form,
      let values = view.graph[meeting.node].input(1 - operand), let gathered = view.graph[meeting.node].output(0), view.isActivation(values)
    else { return nil }
    let value = view.operandTrace(values)
    guard value.linear != nil, value.spatial.isEmpty, let tokens = view.shape(map)?.dims.last else { return nil }
    let x = value.source
    guard asksPooled(scores, x, view) else { return nil }
    let way = Way(view, from: gathered, values: value, x: x, tokens: tokens)
    guard way.filter != nil || way.isSpread else { return nil }
    return .block(block(anchor, meeting, way, value, values, x, tokens, view))
  }

  /// Whether what asks is a mean over tokens, a constant product over tokens, or no activation at all.
  private static func asksPooled(_ scores: ValueID, _ x: ValueID, _ view: GraphView) -> Bool {
    switch view.scoreSource(scores) {
    case .product(let product, _):
      return view.graph[product].inputs.compactMap { $0 }.contains { operand in
        view.upstream(operand, stoppingAt: [x], limit: 24).contains { id in
          if case .reduction(let reduction) = view.graph[id].op, reduction.kind == .mean { return view.meanOverTokens(view.graph[id].output(0) ?? x) != nil }
          return Mixing.contraction(id, view)?.kind == .token
        }
      }
    case .projection(let linear, _): return view.linearOperand(linear).map { view.trace($0).root == view.trace(x).root } ?? false
    case .joined, .other: return false
    }
  }

  /// From what the contexts gathered to the rows of all tokens, before their output projection.
  private struct Way {
    var output: ValueID
    /// The depth-wise convolution of the values.
    var filter: NodeID?
    /// Whether a constant product over tokens or a constant for every patch laid few rows out over many.
    var isSpread = false
    var joinsPrefix = false

    init(_ view: GraphView, from start: ValueID, values: OperandTrace, x: ValueID, tokens: Dim) {
      output = start
      walk: for _ in 0..<32 {
        let readers = view.uses.readers(of: output)
        guard readers.count == 1, let id = readers.first, let next = view.graph[id].output(0) else { return }
        let node = view.graph[id]
        switch node.op {
        case .layout(.concat):
          for case let part? in node.inputs where part != output && view.isActivation(part) {
            guard view.closed(between: [x], and: part, limit: 96) != nil else { return }
            joinsPrefix = true
          }
        case .layout, .cast: break
        case .matrix(.matMul), .convolution:
          // A constant on the left runs over rows, whatever queries that are constants made of their axis.
          let runsOverRows = node.op == .matrix(.matMul) && node.input(0).map { !view.isActivation($0) } ?? false
          guard runsOverRows || Mixing.contraction(id, view)?.kind == .token else { return }
          isSpread = true
        case .binary(.multiply), .binary(.add), .binary(.subtract):
          guard let other = node.input(0) == output ? node.input(1) : node.input(0) else { return }
          if view.isActivation(other) {
            guard node.op == .binary(.add), view.closed(between: [x], and: other, limit: 96) != nil else { return }
            filter = filter ?? Way.filter(other, values, view)
          } else if view.shape(next) != view.shape(output) {
            isSpread = true
          }
        default: return
        }
        output = next
      }
    }

    /// The convolution, one filter for each channel, of values of the same projection.
    private static func filter(_ value: ValueID, _ values: OperandTrace, _ view: GraphView) -> NodeID? {
      let trace = view.trace(value)
      guard let (id, node) = view.producer(trace.root), case .convolution(.conv(_, let groups)) = node.op, groups > 1, let image = node.input(0),
        view.shape(image)?.dims.dropFirst().first?.value == groups
      else { return nil }
      let source = view.operandTrace(image)
      return source.linear == values.linear ? id : nil
    }
  }

  private static func block(
    _ anchor: NodeID, _ meeting: ValueMeeting, _ way: Way, _ value: OperandTrace, _ values: ValueID, _ x: ValueID, _ tokens: Dim, _ view: GraphView
  ) -> AttentionBlock {
    let own = view.upstream(way.output, stoppingAt: [x], limit: 192)
    let branch = view.branch(from: way.output, own: [])
    let nodes = Set(own + branch.nodes)
    let linears = nodes.filter { view.linearOperand($0) != nil }.sorted()
    let heads = view.axes(values).flatMap { ProductOperand($0, isLeft: false) }.map { operand in
      operand.batch.joined().filter { view.labels.kind($0) == .channel }.compactMap(\.size.value).checkedProduct ?? 1
    }
    let rows = view.graph[anchor].output(0).flatMap { view.shape($0) }
    let width = view.labels.factors(way.output, .channel).compactMap(\.size.value).checkedProduct
    let dim = width.flatMap { width in heads.map { width / max($0, 1) } }
    var block = AttentionBlock(
      family: .globalContext, mechanism: "fcvit", heads: heads, headDim: dim, valueDim: dim, queryTokens: tokens, keyTokens: tokens,
      input: view.original(of: x), output: view.original(of: branch.output), residualAdd: branch.residualAdd, residualSum: branch.residualSum,
      anchor: view.original(of: anchor) ?? anchor, nodes: view.originals(of: nodes), parameters: view.constantElements(nodes),
      cost: view.cost(nodes.filter { view.graph[$0].op.isProduct }))
    if let rows, rows.rank >= 2, let contexts = rows[rows.rank - 2].value { block.traits.append("\(contexts) context\(contexts == 1 ? "" : "s")") }
    if way.joinsPrefix { block.traits.append("prefix tokens attend for themselves") }
    for linear in linears {
      let role = linear == value.linear ? "value" : linear == branch.linear ? "output" : linear == way.filter ? "kernel" : "context"
      if let weight = view.weight(linear, as: role) { block.weights.append(weight) }
    }
    if let filter = way.filter, let w = view.graph[filter].input(1), let dims = view.shape(w)?.concrete { block.geometry.kernel = Array(dims.dropFirst(2)) }
    block.width = width
    block.formulas = [BlockFormula(view, sources: [x], output: branch.output)]
    return block
  }
}

extension Op {
  /// Whether it multiplies and adds: a matrix product or a convolution.
  var isProduct: Bool {
    switch self {
    case .matrix, .convolution: true
    default: false
    }
  }
}
