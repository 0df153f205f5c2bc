internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Sparse recovery by unrolled iterations: the same matrix (or kernel) again and again, with soft thresholding between.
/// With a learned constant matrix it is an unrolled ISTA network (Gregor and LeCun 2010), with one made from the input
/// it is VARS attention (Shi et al. 2022).
enum ThresholdedProducts {
  static func recognize(_ id: NodeID, _ view: GraphView) -> Finding? {
    guard let (matrix, input) = product(id, view) else { return nil }
    let isLearned = !view.isActivation(matrix)
    guard isLearned || view.uses.readers(of: matrix).count > 1 else { return nil }
    guard let first = following(id, matrix, view) else { return nil }
    // The first of the chain stands for it.
    if earlier(input, matrix, view) { return nil }
    var products = [id]
    var nodes = [id]
    var thresholds = 0
    var step: (product: NodeID, between: [NodeID])? = first
    while products.count < 256, let (next, between) = step {
      if SoftThreshold.isPart(of: between, view) { thresholds += 1 }
      products.append(next)
      nodes += between + [next]
      step = following(next, matrix, view)
    }
    guard let last = products.last, products.count > 1, thresholds > 0, thresholds >= products.count - 2 else { return nil }
    let isConvolution = if case .convolution = view.graph[id].op { true } else { false }
    if isLearned, !isConvolution { return unrolled(products, matrix, input, last, nodes, view) }
    if !isLearned, let block = dictionary(products, matrix, last, view) { return .block(block) }
    return .block(chain(products, matrix, input, last, nodes, view))
  }

  // MARK: The three kinds

  /// `z <- S(b + W z)`, from the linear layer that makes b to the last threshold.
  private static func unrolled(_ products: [NodeID], _ matrix: ValueID, _ input: ValueID, _ last: NodeID, _ nodes: [NodeID], _ view: GraphView) -> Finding? {
    let end = view.graph[last].output(0).flatMap { SoftThreshold.end(after: $0, view) }
    var block = chain(products, matrix, input, last, nodes + (end?.nodes ?? []), view)
    block.family = .tokenMixing
    block.mechanism = "unrolled-ista"
    let output = end?.output ?? view.graph[last].output(0)
    // What stands before the first threshold: b, and the layer that makes it.
    let encoder = view.upstream(input, stoppingAt: [], limit: reach).first { view.linearOperand($0) != nil }
    if let encoder, let x = view.linearOperand(encoder), let output {
      let own = Set(view.upstream(output, stoppingAt: [x], limit: 40 * products.count + 64) + nodes)
      block.input = view.original(of: x)
      block.width = view.shape(x)?.dims.last?.value
      block.nodes = view.originals(of: own)
      block.parameters = view.constantElements(own)
      block.cost = view.cost(own.filter { view.graph[$0].op.isProduct })
      block.weights = [("encoder", encoder), ("dictionary", products[0])].compactMap { view.weight($0.1, as: $0.0) }
      block.formulas = [BlockFormula(view, sources: [x], output: output)]
    }
    block.output = output.flatMap { view.original(of: $0) }
    return .block(block)
  }

  /// VARS with a dictionary from the input: features of tied queries and keys, their products with each other and with
  /// the values, the iterations, and the features times the code that they end in.
  private static func dictionary(_ products: [NodeID], _ matrix: ValueID, _ last: NodeID, _ view: GraphView) -> AttentionBlock? {
    let above = view.upstream(matrix, stoppingAt: [], limit: 64)
    let made = Set(above.flatMap { view.graph[$0].outputs.compactMap { $0 } })
    guard let start = view.graph[last].output(0), let (readOut, features) = readOut(start, made, view), let gathered = view.graph[readOut].output(0),
      let traced = KernelMap.features(features, view), let layout = view.axes(features),
      let operand = ProductOperand(layout, isLeft: view.graph[readOut].input(0) == features)
    else { return nil }
    let x = traced.source
    let branch = view.branch(from: gathered, own: Set([traced.linear].compactMap { $0 }))
    let nodes = Set(view.upstream(gathered, stoppingAt: [x], limit: 1024) + branch.nodes)
    let heads = operand.batch.joined().filter { view.labels.kind($0) == .channel }.compactMap(\.size.value).checkedProduct ?? 1
    let dim = view.shape(gathered)?.dims.last?.value
    var block = AttentionBlock(
      family: .selfAttention, mechanism: "vars", heads: heads, headDim: dim, valueDim: dim, queryTokens: operand.free.size ?? 1,
      keyTokens: operand.free.size ?? 1, qkNorm: traced.norm?.name ?? "none",
      traits: ["\(products.count) iterations", "one projection for queries and keys"], input: view.original(of: x), output: view.original(of: branch.output),
      residualAdd: branch.residualAdd, residualSum: branch.residualSum, anchor: view.original(of: products[0]) ?? products[0],
      nodes: view.originals(of: nodes), parameters: view.constantElements(nodes), cost: view.cost(nodes.filter { view.graph[$0].op.isProduct }))
    // Queries and values may be parts of one projection.
    for (role, linear) in [("query", traced.linear), ("output", branch.linear)] {
      if let weight = linear.flatMap({ view.weight($0, as: role) }) { block.weights.append(weight) }
    }
    block.width = view.labels.factors(x, .channel).compactMap(\.size.value).checkedProduct
    block.formulas = [BlockFormula(view, sources: [x], output: branch.output)]
    return block
  }

  /// The iterations alone: VARS with convolutions, or where what stands around them cannot be told.
  private static func chain(
    _ products: [NodeID], _ matrix: ValueID, _ input: ValueID, _ last: NodeID, _ nodes: [NodeID], _ view: GraphView
  ) -> AttentionBlock {
    let isLearned = !view.isActivation(matrix)
    let output = view.graph[last].output(0)
    let tokens = output.flatMap { view.labels.factors($0, .token).size } ?? 1
    var block = AttentionBlock(
      family: .selfAttention, mechanism: "vars", queryTokens: tokens, keyTokens: tokens, traits: ["\(products.count) iterations"],
      input: view.original(of: input), output: output.flatMap { view.original(of: $0) }, anchor: view.original(of: products[0]) ?? products[0],
      weights: isLearned ? [view.original(of: matrix)].compactMap { $0 }.map { BlockWeight(role: "dictionary", value: $0) } : [],
      nodes: view.originals(of: nodes), parameters: isLearned ? view.shape(matrix)?.concrete?.checkedProduct ?? 0 : 0, cost: view.cost(products))
    if let output { block.formulas = [BlockFormula(view, sources: [input, matrix], output: output)] }
    if !isLearned, let layout = view.labels.layout(matrix), layout.axes.count > 2 {
      block.heads = layout.axes.dropLast(2).joined().filter { view.labels.kind($0) == .channel }.compactMap(\.size.value).checkedProduct ?? 1
    }
    return block
  }

  // MARK: Following the chain

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

  private static func multiplies(_ node: Node, by matrix: ValueID, _ view: GraphView) -> Bool {
    switch node.op {
    case .matrix(.matMul), .convolution: node.inputs.contains { $0.map { view.isSameConstant($0, matrix) } ?? false }
    default: false
    }
  }

  /// Whether the operand itself comes from a product with the same matrix.
  private static func earlier(_ input: ValueID, _ matrix: ValueID, _ view: GraphView) -> Bool {
    view.reaches(input, limit: reach) { multiplies($0, by: matrix, view) }
  }

  /// The next product with the same matrix, and the nodes between, other linear layers among them.
  private static func following(_ id: NodeID, _ matrix: ValueID, _ view: GraphView) -> (product: NodeID, between: [NodeID])? {
    guard let start = view.graph[id].output(0) else { return nil }
    var pending = [start]
    var next = 0
    var seen: Set<ValueID> = [start]
    var between: [NodeID] = []
    while between.count < reach, next < pending.count {
      let value = pending[next]
      next += 1
      for reader in view.uses.readers(of: value) {
        let node = view.graph[reader]
        guard let output = node.output(0) else { continue }
        switch node.op {
        case .matrix(.matMul), .convolution:
          guard reader != id, SoftThreshold.isPart(of: between, view) || view.graph[reader].inputs.contains(matrix) else { continue }
          if multiplies(node, by: matrix, view) { return (reader, between) }
          // The other half of a step that is written with the dictionary and its transpose.
          guard view.linearOperand(reader) == value, seen.insert(output).inserted else { continue }
          between.append(reader)
          pending.append(output)
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

  /// The product of the code with the features from which the matrix was made.
  private static func readOut(_ start: ValueID, _ made: Set<ValueID>, _ view: GraphView) -> (product: NodeID, features: ValueID)? {
    var pending = [start]
    var next = 0
    var seen: Set<ValueID> = [start]
    while next < min(pending.count, 2 * reach) {
      let value = pending[next]
      next += 1
      for reader in view.uses.readers(of: value) {
        let node = view.graph[reader]
        guard let output = node.output(0) else { continue }
        switch node.op {
        case .matrix(.matMul):
          guard let other = node.input(0) == value ? node.input(1) : node.input(0), view.isActivation(other) else { continue }
          if made.contains(other) || made.contains(view.trace(other).root) { return (reader, other) }
        case .unary, .binary, .select, .clip, .cast, .layout:
          if seen.insert(output).inserted { pending.append(output) }
        default: continue
        }
      }
    }
    return nil
  }
}

/// `S_t(u) = sign(u) max(|u| - t, 0)`, or with another rectifier, in any spelling.
enum SoftThreshold {
  /// Sign and absolute value, two rectifiers, comparisons and choices, what is clipped taken away, one operator.
  static func isPart(of nodes: [NodeID], _ view: GraphView) -> Bool {
    var names: [String: Int] = [:]
    for id in nodes { names[view.mnemonic(id), default: 0] += 1 }
    func has(_ name: String) -> Int { names[name] ?? 0 }
    return has("Sign") > 0 && has("Abs") > 0 || has("Relu") >= 2 || (has("Greater") > 0 || has("Less") > 0) && has("Where") > 0 || has("Shrink") > 0
      || (has("Clip") > 0 || has("Min") > 0 && has("Max") > 0) && has("Sub") > 0
  }

  /// The threshold that is applied to `start`, where one is: its nodes and what it gives.
  static func end(after start: ValueID, _ view: GraphView) -> (nodes: [NodeID], output: ValueID)? {
    var below: Set<ValueID> = [start]
    var order = [start]
    var next = 0
    while next < min(order.count, 64) {
      for id in view.uses.readers(of: order[next]) where isElementwise(view.graph[id].op) {
        if let output = view.graph[id].output(0), below.insert(output).inserted { order.append(output) }
      }
      next += 1
    }
    var known: Set<ValueID> = [start]
    var nodes: [NodeID] = []
    while nodes.count < 28 {
      // One is taken when all that it reads is there.
      let ready = known.lazy.flatMap { view.uses.readers(of: $0) }.first { id in
        !nodes.contains(id) && isElementwise(view.graph[id].op)
          && view.graph[id].inputs.allSatisfy { $0.map { known.contains($0) || !below.contains($0) } ?? true }
      }
      guard let id = ready, let output = view.graph[id].output(0) else { return nil }
      nodes.append(id)
      known.insert(output)
      let loose = known.filter { value in value == output || view.uses.readers(of: value).contains { !nodes.contains($0) } }
      if loose.count == 1, isPart(of: nodes, view) { return (nodes, output) }
    }
    return nil
  }

  private static func isElementwise(_ op: Op) -> Bool {
    switch op {
    case .unary, .binary, .select, .clip, .cast, .layout: true
    default: false
    }
  }
}

extension GraphView {
  /// Whether two values are one constant, or constants of the same elements: exporters write a matrix once for each use of
  /// its transpose. What is the same number everywhere is not told apart that way.
  func isSameConstant(_ a: ValueID, _ b: ValueID) -> Bool {
    if a == b { return true }
    guard let x = typed.constant(a), let y = typed.constant(b), x.dims.filter({ $0 != 1 }) == y.dims.filter({ $0 != 1 }), x.elementType == y.elementType,
      x.count > 1, x.byteCount <= 1 << 24,
      scalar(a) == nil
    else { return false }
    return x.elements(as: UInt8.self) == y.elements(as: UInt8.self)
  }
}
