internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Sparse recovery by unrolled iterations: the same matrix (or kernel) again and again, with soft thresholding between.
/// With a learned constant matrix it is an unrolled ISTA network (Gregor and LeCun 2010), with one made from the input
/// it is VARS attention (Shi et al. 2022).
enum ThresholdedProducts {
  static func recognize(_ id: NodeID, _ view: GraphView) -> Finding? {
    guard let (matrix, input) = product(id, view), view.uses.readers(of: matrix).count > 1 else { return nil }
    // The first of the chain stands for it.
    if earlier(input, matrix, view) { return nil }
    var products = [id]
    var nodes = [id]
    var current = id
    var thresholds = 0
    while products.count < 256, let (next, between) = following(current, matrix, view) {
      if isThreshold(between, view) { thresholds += 1 }
      products.append(next)
      nodes += between + [next]
      current = next
    }
    guard products.count > 1, thresholds > 0, thresholds >= products.count - 2 else { return nil }
    let isLearned = !view.isActivation(matrix)
    let isConvolution = if case .convolution = view.graph[id].op { true } else { false }
    let shape = view.graph[id].output(0).flatMap { view.shape($0) }
    let tokens = shape?.dims.dropLast().last ?? 1
    var block = AttentionBlock(
      family: isLearned && !isConvolution ? .tokenMixing : .selfAttention, mechanism: isLearned && !isConvolution ? "unrolled-ista" : "vars",
      queryTokens: tokens, keyTokens: tokens, traits: ["\(products.count) iterations"], input: view.original(of: input),
      output: view.graph[current].output(0).flatMap { view.original(of: $0) }, anchor: view.original(of: id) ?? id,
      weights: isLearned ? [view.original(of: matrix)].compactMap { $0 }.map { BlockWeight(role: "dictionary", value: $0) } : [],
      nodes: view.originals(of: nodes), parameters: isLearned ? view.shape(matrix)?.concrete?.checkedProduct ?? 0 : 0, cost: view.cost(products))
    if let output = view.graph[current].output(0) {
      block.formulas = [BlockFormula(view, sources: [input, matrix], output: output)]
    }
    if !isLearned, let layout = view.labels.layout(matrix), layout.axes.count > 2 {
      block.heads = layout.axes.dropLast(2).joined().filter { view.labels.kind($0) == .channel }.compactMap(\.size.value).checkedProduct ?? 1
    }
    return .block(block)
  }

  /// The matrix that may come again, and what it multiplies.
  private static func product(_ id: NodeID, _ view: GraphView) -> (matrix: ValueID, input: ValueID)? {
    let node = view.graph[id]
    guard let a = node.input(0), let b = node.input(1) else { return nil }
    switch node.op {
    case .matrix(.matMul):
      let (x, y) = (view.uses.readers(of: a).count, view.uses.readers(of: b).count)
      if !view.isActivation(a) { return (a, b) }
      if !view.isActivation(b) { return (b, a) }
      return x > y ? (a, b) : (b, a)
    case .convolution: return (b, a)
    default: return nil
    }
  }

  private static let reach = 28

  /// Whether the operand itself comes from a product with the same matrix.
  private static func earlier(_ input: ValueID, _ matrix: ValueID, _ view: GraphView) -> Bool {
    view.reaches(input, limit: reach) { node in
      switch node.op {
      case .matrix(.matMul), .convolution: node.inputs.contains(matrix)
      default: false
      }
    }
  }

  /// The next product with the same matrix, and the nodes between.
  private static func following(_ id: NodeID, _ matrix: ValueID, _ view: GraphView) -> (NodeID, [NodeID])? {
    guard let start = view.graph[id].output(0) else { return nil }
    var pending = [start]
    var seen: Set<ValueID> = [start]
    var between: [NodeID] = []
    while between.count < reach, !pending.isEmpty {
      let value = pending.removeFirst()
      for reader in view.uses.readers(of: value) {
        let node = view.graph[reader]
        guard let output = node.output(0) else { continue }
        switch node.op {
        case .matrix(.matMul), .convolution:
          if node.inputs.contains(matrix), reader != id { return (reader, between) }
        case .unary, .binary, .select, .clip, .cast, .layout:
          guard seen.insert(output).inserted else { continue }
          between.append(reader)
          pending.append(output)
        default: continue
        }
      }
    }
    return nil
  }

  /// Soft thresholding in any spelling: sign and absolute value, two rectifiers, comparisons and choices, one operator.
  private static func isThreshold(_ nodes: [NodeID], _ view: GraphView) -> Bool {
    var names: [String: Int] = [:]
    for id in nodes { names[view.mnemonic(id), default: 0] += 1 }
    func has(_ name: String) -> Int { names[name] ?? 0 }
    return has("Sign") > 0 && has("Abs") > 0 || has("Relu") >= 2 || (has("Greater") > 0 || has("Less") > 0) && has("Where") > 0 || has("Shrink") > 0
  }
}
