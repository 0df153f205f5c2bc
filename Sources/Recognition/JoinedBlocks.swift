internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Attention that asks with a part of the queries at a time to keep its maps small (Rabe and Staats 2021): the parts ask
/// the same keys for the same values, and together they are all tokens.
enum ChunkedQueries {
  static func joined(_ blocks: [AttentionBlock], _ view: GraphView) -> [AttentionBlock] {
    var result: [AttentionBlock] = []
    var index = 0
    while index < blocks.count {
      var end = index + 1
      while end < blocks.count, asksTheSame(blocks[index], blocks[end], view) { end += 1 }
      let parts = blocks[index..<end]
      result += whole(parts).map { [$0] } ?? Array(parts)
      index = end
    }
    return result
  }

  /// Whether two blocks with different queries of one tensor have the same keys and values.
  private static func asksTheSame(_ a: AttentionBlock, _ b: AttentionBlock, _ view: GraphView) -> Bool {
    guard let first = a.operands, let second = b.operands, a.heads == b.heads, first.query != second.query else { return false }
    return arranged(first.key, view) == arranged(second.key, view) && arranged(first.value, view) == arranged(second.value, view)
      && (view.trace(first.query, passing: [.scale, .norm, .rotary]).root == view.trace(second.query, passing: [.scale, .norm, .rotary]).root
        || areProjectedAlike(first.query, second.query, view))
  }

  /// Whether two parts of one tensor went through the same linear layer, each by itself.
  private static func areProjectedAlike(_ a: ValueID, _ b: ValueID, _ view: GraphView) -> Bool {
    let (x, y) = (view.operandTrace(a), view.operandTrace(b))
    guard x.linear != nil, y.linear != nil, let w = x.weight, let v = y.weight else { return false }
    return view.isSameConstant(w, v) && view.trace(x.source).root == view.trace(y.source).root
  }

  /// The value behind transposes, which exporters write once for each reader.
  private static func arranged(_ value: ValueID, _ view: GraphView) -> ValueID {
    var value = value
    while let (_, node) = view.producer(value), case .layout(.transpose) = node.op, let input = node.input(0) { value = input }
    return value
  }

  private static func whole(_ parts: ArraySlice<AttentionBlock>) -> AttentionBlock? {
    guard parts.count > 1, let first = parts.first, let keys = first.keyTokens.value else { return nil }
    var queries = 0
    for part in parts {
      guard let own = part.queryTokens.value, own <= keys, [.pooled, .selfAttention, .cross, .classAttention].contains(part.family) else { return nil }
      queries &+= own
    }
    guard queries == keys else { return nil }
    var block = first
    block.family = .selfAttention
    block.queryTokens = first.keyTokens
    block.traits = first.traits.filter { $0 != "a part of the tokens asks" } + ["queries in \(parts.count) chunks"]
    block.nodes = Set(parts.flatMap(\.nodes)).sorted()
    block.cost = parts.dropFirst().reduce(first.cost) { Cost(macs: $0.macs &+ $1.cost.macs, elementwise: $0.elementwise &+ $1.cost.elementwise) }
    block.formulas = parts.flatMap(\.formulas)
    block.projected = nil
    return block
  }
}

/// One map made of three through a few landmarks (Xiong et al. 2021): tokens ask landmarks, landmarks each other, and
/// landmarks all tokens.
enum Landmarks {
  static func joined(_ blocks: [AttentionBlock], _ view: GraphView) -> [AttentionBlock] {
    var result: [AttentionBlock] = []
    var index = 0
    while index < blocks.count {
      if index + 2 < blocks.count, let block = whole(Array(blocks[index...(index + 2)]), view) {
        result.append(block)
        index += 3
      } else {
        result.append(blocks[index])
        index += 1
      }
    }
    return result
  }

  private static func whole(_ parts: [AttentionBlock], _ view: GraphView) -> AttentionBlock? {
    // Only the last map weighs projected values; the others weigh what the next one gave.
    func isProjected(_ block: AttentionBlock) -> Bool { block.weights.contains { $0.role == "value" } }
    guard Set(parts.map(\.heads)).count == 1, Set(parts.map(\.headDim)).count == 1, parts.count(where: isProjected) == 1 else { return nil }
    func part(_ queries: Dim, _ keys: Dim) -> AttentionBlock? { parts.first { $0.queryTokens == queries && $0.keyTokens == keys } }
    guard let tokens = parts.map(\.queryTokens.value).max(by: { ($0 ?? 0) < ($1 ?? 0) }) ?? nil,
      let few = parts.map(\.queryTokens.value).min(by: { ($0 ?? 0) < ($1 ?? 0) }) ?? nil, few < tokens, var block = part(Dim(tokens), Dim(few)),
      part(Dim(few), Dim(few)) != nil, let last = part(Dim(few), Dim(tokens)), isProjected(last)
    else { return nil }
    block.family = .linear
    block.keyTokens = Dim(tokens)
    block.traits = ["\(few) landmarks"]
    block.weights += last.weights
    block.nodes = Set(parts.flatMap(\.nodes)).sorted()
    block.cost = parts.dropFirst().reduce(parts[0].cost) { Cost(macs: $0.macs &+ $1.cost.macs, elementwise: $0.elementwise &+ $1.cost.elementwise) }
    (block.output, block.residualAdd, block.residualSum) = (last.output, last.residualAdd, last.residualSum)
    block.claims = []
    block.projected = nil
    return block
  }
}

/// A few tokens, pools of the queries, gather from all tokens and hand out to all tokens: one attention by way of agents
/// (Han et al. 2024), not two.
enum Agents {
  static func joined(_ blocks: [AttentionBlock], _ view: GraphView) -> [AttentionBlock] {
    var result: [AttentionBlock] = []
    for block in blocks {
      // Scores of both may be computed before values, in either order.
      if let last = result.last, let whole = whole(last, block, view) ?? whole(block, last, view) {
        result[result.count - 1] = whole
      } else {
        result.append(block)
      }
    }
    return result
  }

  private static func whole(_ gathering: AttentionBlock, _ spreading: AttentionBlock, _ view: GraphView) -> AttentionBlock? {
    guard gathering.heads == spreading.heads, gathering.headDim == spreading.headDim, gathering.queryTokens == spreading.keyTokens,
      gathering.keyTokens == spreading.queryTokens, let few = gathering.queryTokens.value, let tokens = gathering.keyTokens.value, few < tokens,
      let first = gathering.operands, let second = spreading.operands
    else { return nil }
    func root(_ value: ValueID) -> ValueID { view.trace(value, passing: [.scale]).root }
    guard let (made, _) = view.producer(root(second.value)), Set(gathering.nodes).isSuperset(of: view.originals(of: [made])),
      root(second.key) == root(first.query)
    else { return nil }
    var block = spreading
    block.family = .linear
    block.keyTokens = gathering.keyTokens
    block.traits = ["\(few) agents"]
    block.input = gathering.input
    block.weights = gathering.weights + spreading.weights
    block.nodes = Set(gathering.nodes + spreading.nodes).sorted()
    block.parameters = gathering.parameters &+ spreading.parameters
    block.cost = Cost(macs: gathering.cost.macs &+ spreading.cost.macs, elementwise: gathering.cost.elementwise &+ spreading.cost.elementwise)
    block.formulas = gathering.formulas + spreading.formulas
    block.claims = []
    block.projected = nil
    return block
  }
}

/// A vector gathered from all tokens multiplies tokens that are gathered into a vector again: one additive attention, not
/// two (Wu et al. 2021).
enum GlobalVectors {
  static func joined(_ blocks: [AttentionBlock], _ view: GraphView) -> [AttentionBlock] {
    var result: [AttentionBlock] = []
    for block in blocks {
      guard let last = result.last, last.family == .linear, block.family == .linear, last.heads == nil, block.heads == nil, multiplies(last, block, view) else {
        result.append(block)
        continue
      }
      var merged = last
      merged.family = .additive
      merged.nodes = Set(last.nodes + block.nodes).sorted()
      merged.parameters = last.parameters &+ block.parameters
      merged.cost = Cost(macs: last.cost.macs &+ block.cost.macs, elementwise: last.cost.elementwise &+ block.cost.elementwise)
      merged.weights += block.weights
      (merged.output, merged.residualAdd, merged.residualSum) = (block.output, block.residualAdd, block.residualSum)
      result[result.count - 1] = merged
    }
    return result
  }

  /// Whether the tokens of `next` are a product with what `previous` gathered.
  private static func multiplies(_ previous: AttentionBlock, _ next: AttentionBlock, _ view: GraphView) -> Bool {
    guard let input = next.input, let id = view.original.producer(of: input), view.original[id].op == .binary(.multiply) else { return false }
    let own = Set(previous.nodes)
    return view.original[id].inputs.compactMap { $0 }.contains { operand in
      var value = operand
      for _ in 0..<4 {
        guard let made = view.original.producer(of: value) else { return false }
        if own.contains(made) { return true }
        guard case .layout = view.original[made].op, let next = view.original[made].input(0) else { return false }
        value = next
      }
      return false
    }
  }
}
