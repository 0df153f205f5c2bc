internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Settles which findings are blocks of their own and which are parts of others.
enum BlockResolution {
  static func resolved(_ blocks: [AttentionBlock], _ view: GraphView) -> [AttentionBlock] {
    var result = blocks
    for join in [CascadedGroups.joined, ChunkedQueries.joined, Landmarks.joined, Agents.joined, GlobalVectors.joined] { result = join(result, view) }
    // What mixes or gates inside a larger block is a part of it.
    var owners: [NodeID: Int] = [:]
    let contexts = Set(result.filter { $0.family == .globalContext && $0.mechanism == "fcvit" && isSoftmax($0.anchor, view) }.flatMap(\.nodes))
    for (index, block) in result.enumerated() where !isSmall(block.family) || isSoftmax(block.anchor, view) { for node in block.nodes { owners[node] = index } }
    // Nor are the plain parts of a mechanism blocks of their own.
    let named = Set(result.filter { $0.mechanism != "softmax" }.flatMap(\.nodes))
    result = result.enumerated().filter { index, block in
      // Prefix tokens that attend beside a context, and the products that pool and spread, are parts of one block.
      if contexts.contains(block.anchor) { return block.family == .globalContext && block.mechanism == "fcvit" }
      if isSmall(block.family), block.mechanism == "softmax", named.contains(block.anchor) { return false }
      guard isSmall(block.family), let owner = owners[block.anchor] else { return true }
      return owner == index
    }.map(\.element)
    result.sort { $0.anchor < $1.anchor }
    EvolvingMaps.part(&result)
    return LoneBlocks.remarked(WholeWindows.named(result))
  }

  private static func isSoftmax(_ node: NodeID, _ view: GraphView) -> Bool { if case .softmax = view.original[node].op { true } else { false } }

  private static func isSmall(_ family: AttentionFamily) -> Bool {
    switch family {
    case .channelGate, .spatialGate, .tokenMixing, .convMixing: true
    default: false
    }
  }
}

/// Cascaded group attention (Liu et al. 2023): each head attends by itself, and what it gives is added to what the next
/// one reads. One block for all heads of a cascade.
enum CascadedGroups {
  static func joined(_ blocks: [AttentionBlock], _ view: GraphView) -> [AttentionBlock] {
    var result: [AttentionBlock] = []
    for block in blocks {
      guard block.heads == 1, let last = result.last, last.family == .cascaded || last.heads == 1, feeds(last, block, view) else {
        result.append(block)
        continue
      }
      var merged = last
      merged.family = .cascaded
      merged.heads = (last.heads ?? 1) + 1
      merged.nodes = Set(last.nodes + block.nodes).sorted()
      merged.parameters = last.parameters &+ block.parameters
      merged.cost = Cost(macs: last.cost.macs &+ block.cost.macs, elementwise: last.cost.elementwise &+ block.cost.elementwise)
      merged.weights += block.weights
      merged.formulas += block.formulas
      merged.output = block.output
      merged.projected = nil
      merged.residualAdd = block.residualAdd
      merged.residualSum = block.residualSum
      result[result.count - 1] = merged
    }
    return result
  }

  /// Whether the input of `next` is the sum of a part of the tensor and what `previous` gives.
  private static func feeds(_ previous: AttentionBlock, _ next: AttentionBlock, _ view: GraphView) -> Bool {
    guard let add = previous.residualAdd, let sum = previous.residualSum, let input = next.input else { return false }
    guard sum == input || view.ancestry(input, limit: 4).contains(sum) else { return false }
    // The other operand is a part of the channels, as the first head's input is.
    return view.original[add].inputs.compactMap { $0 }.contains { operand in
      guard let producer = view.original.producer(of: operand) else { return false }
      if case .layout(let op) = view.original[producer].op { return op == .slice || { if case .split = op { true } else { false } }() }
      return false
    }
  }
}

/// A block that attends to all of a small grid is one whole window, where the same model has windows of that size with the
/// same kind of bias.
enum WholeWindows {
  static func named(_ blocks: [AttentionBlock]) -> [AttentionBlock] {
    var windows: [Int: [Int]] = [:]
    for block in blocks where block.family == .window || block.family == .grid {
      guard hasTable(block), block.geometry.window.count == 2, let tokens = block.keyTokens.value else { continue }
      windows[tokens] = block.geometry.window
    }
    if windows.isEmpty { return blocks }
    return blocks.map { block in
      guard block.family == .selfAttention, hasTable(block), let tokens = block.keyTokens.value, let window = windows[tokens] else { return block }
      var whole = block
      whole.family = .window
      whole.geometry.window = window
      whole.projected = nil
      return whole
    }
  }

  private static func hasTable(_ block: AttentionBlock) -> Bool { if case .constant = block.bias { true } else { false } }
}

/// Score maps that are handed on (Wang et al. 2021): what made the map that a block was handed belongs to the block before.
enum EvolvingMaps {
  static func part(_ blocks: inout [AttentionBlock]) {
    var claimed = Set<NodeID>()
    for index in blocks.indices where blocks[index].mechanism == "evolving-attention" {
      let own = blocks[index].nodes.filter { !claimed.contains($0) }
      claimed.formUnion(own)
      blocks[index].nodes = own
    }
  }
}

/// A block without a residual connection among others of its kind that have one.
enum LoneBlocks {
  private struct Kind: Hashable {
    var family: AttentionFamily
    var heads, headDim, width: Int?
  }

  static func remarked(_ blocks: [AttentionBlock]) -> [AttentionBlock] {
    func kind(_ block: AttentionBlock) -> Kind { Kind(family: block.family, heads: block.heads, headDim: block.headDim, width: block.width) }
    let joined = Set(blocks.filter { $0.residualAdd != nil }.map(kind))
    // What is gated first joins the stream behind its gate.
    let gated = Set(blocks.filter { $0.gate != nil }.compactMap(\.input))
    return blocks.map { block in
      guard block.residualAdd == nil, block.heads != nil, joined.contains(kind(block)), !(block.output.map(gated.contains) ?? false) else { return block }
      var lone = block
      lone.remarks.append("its result is joined to no residual stream, unlike that of the others of its kind")
      return lone
    }
  }
}
