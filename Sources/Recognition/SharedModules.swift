internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// One attention module that several residual blocks of a stage apply (element-wise attention networks, Huang et al.
/// 2020): its weights are there once, and which blocks carry it is what such a network was searched for.
public struct SharedModule: Sendable, Hashable {
  /// Indices of the blocks that apply it, in order.
  public var attention: [Int]
  /// Which residual blocks of its stage those are, counted from 0 among those of their kind.
  public var carriers: [Int]
  /// How many residual blocks of that kind the stage has.
  public var residualBlocks: Int
  /// Elements of its weights.
  public var parameters: Int

  /// One digit for each residual block, 1 where it carries the module.
  public var bits: String { (0..<residualBlocks).map { carriers.contains($0) ? "1" : "0" }.joined() }
}

/// Finds gates that share their weights, gives each its own part of them, and says which residual blocks go without.
enum SharedModules {
  static func settled(_ given: [AttentionBlock], _ view: GraphView) -> (blocks: [AttentionBlock], modules: [SharedModule]) {
    var blocks = given
    let gates = blocks.indices.filter { blocks[$0].gate != nil }
    parted(&blocks, gates, view)
    let owned = Set(gates.flatMap { blocks[$0].gate?.nodes ?? [] })
    var modules: [SharedModule] = []
    for group in groups(blocks, gates, view) where group.count > 1 {
      let parameters = countedOnce(&blocks, group, view)
      guard let places = ResidualChain.places(of: group.compactMap { blocks[$0].gate?.multiplication }, gates: owned, view) else { continue }
      let module = SharedModule(attention: group, carriers: places.carriers, residualBlocks: places.count, parameters: parameters)
      let isWhole = places.carriers.count == places.count
      for (index, carrier) in zip(group, places.carriers) {
        if blocks[index].gate?.isRecurrent != true || !isWhole { blocks[index].mechanism = "ean" }
        blocks[index].traits.append("shared module \(modules.count) in residual block \(carrier) of \(places.count)")
      }
      modules.append(module)
    }
    return (blocks, modules)
  }

  /// A recurrent gate reads what the same cell gave in the blocks before: only its own step belongs to it.
  private static func parted(_ blocks: inout [AttentionBlock], _ gates: [Int], _ view: GraphView) {
    var claimed = Set<NodeID>()
    for index in gates {
      guard var parts = blocks[index].gate, parts.isRecurrent else { continue }
      let own = parts.nodes.filter { !claimed.contains($0) }
      claimed.formUnion(own)
      guard own.count < parts.nodes.count, let output = view.graph[parts.multiplication].output(0) else { continue }
      let made = Set(own)
      parts.nodes = own
      parts.linears = parts.linears.filter(made.contains)
      let read = own.flatMap { view.graph[$0].inputs.compactMap { $0 } }.filter { value in
        view.isActivation(value) && view.graph.producer(of: value).map { !made.contains($0) } ?? true
      }
      let kept = Set(parts.linears.flatMap { view.graph[$0].inputs.compactMap { $0 } }.compactMap { view.original(of: $0) })
      blocks[index].gate = parts
      blocks[index].weights.removeAll { !kept.contains($0.value) }
      // Those of the blocks before were counted as well.
      blocks[index].traits.removeAll { $0.hasSuffix(" descriptors") }
      blocks[index].nodes = view.originals(of: own)
      blocks[index].cost = view.cost(parts.linears)
      blocks[index].formulas = [BlockFormula(view, sources: read, output: output, law: blocks[index].formulas.first?.law)]
    }
  }

  /// Gates that have a weight in common.
  private static func groups(_ blocks: [AttentionBlock], _ gates: [Int], _ view: GraphView) -> [[Int]] {
    var groups: [(members: [Int], constants: [ValueID])] = []
    for index in gates {
      guard let parts = blocks[index].gate else { continue }
      let own = parts.linears.isEmpty ? parts.tables : parts.linears.compactMap { view.layerConstants($0).first }
      guard !own.isEmpty else { continue }
      let place = groups.firstIndex { group in own.contains { value in group.constants.contains { view.isSameConstant($0, value) } } }
      if let place {
        groups[place].members.append(index)
        groups[place].constants += own
      } else {
        groups.append(([index], own))
      }
    }
    return groups.map(\.members)
  }

  /// Each block keeps the count of those weights that none before it has; the sum of all.
  private static func countedOnce(_ blocks: inout [AttentionBlock], _ group: [Int], _ view: GraphView) -> Int {
    var counted: [ValueID] = []
    var total = 0
    for index in group {
      guard let parts = blocks[index].gate else { continue }
      let constants = parts.linears.isEmpty ? view.tables(parts.nodes) : parts.linears.flatMap { view.layerConstants($0) }
      var own = 0
      for value in constants where !counted.contains(where: { view.isSameConstant($0, value) }) {
        counted.append(value)
        own = own &+ (view.shape(value)?.concrete?.checkedProduct ?? 0)
      }
      blocks[index].parameters = own
      total = total &+ own
    }
    return total
  }
}

/// The sums along one residual stream.
enum ResidualChain {
  /// Which of the stage's residual blocks hold the gates, among those whose branches do the same work.
  /// nil where the gates' results are not added to one stream.
  static func places(of gates: [NodeID], gates owned: Set<NodeID>, _ view: GraphView) -> (carriers: [Int], count: Int)? {
    let sums = gates.compactMap { sum(behind: $0, view) }
    guard sums.count == gates.count, Set(sums).count == sums.count, let last = sums.last else { return nil }
    var chain = [last]
    while chain.count < 1024, let before = previous(chain[0], view) { chain.insert(before, at: 0) }
    while chain.count < 1024, let end = chain.last, let after = next(end, view) { chain.append(after) }
    guard sums.allSatisfy(chain.contains) else { return nil }
    let kinds = Set(sums.map { work($0, owned, view) })
    let alike = chain.filter { sums.contains($0) || kinds.contains(work($0, owned, view)) }
    return (sums.compactMap { alike.firstIndex(of: $0) }, alike.count)
  }

  /// The addition to the residual stream that a gate's result reaches.
  private static func sum(behind gate: NodeID, _ view: GraphView) -> NodeID? {
    guard var value = view.graph[gate].output(0) else { return nil }
    walk: for _ in 0..<16 {
      for id in view.uses.readers(of: value) {
        if isSum(id, view) { return id }
        guard let output = view.graph[id].output(0), isStep(id, view) || view.linearOperand(id) == value else { continue }
        value = output
        continue walk
      }
      return nil
    }
    return nil
  }

  private static func isSum(_ id: NodeID, _ view: GraphView) -> Bool {
    let node = view.graph[id]
    guard node.op == .binary(.add), let a = node.input(0), let b = node.input(1), a != b, view.isActivation(a), view.isActivation(b), let shape = view.shape(a)
    else { return false }
    return shape == view.shape(b) && shape.rank >= 2
  }

  /// What stands between one sum and the next on the stream itself.
  private static func isStep(_ id: NodeID, _ view: GraphView) -> Bool {
    switch view.graph[id].op {
    case .unary, .clip, .cast, .normalization: true
    case .layout: Rearrangement.isRearrangement(view.graph[id])
    case .binary: view.graph[id].inputs.contains { $0.map { !view.isActivation($0) } ?? false }
    default: false
    }
  }

  /// The value on the stream from which an operand of a sum comes.
  private static func onStream(_ operand: ValueID, _ view: GraphView) -> ValueID {
    var value = operand
    for _ in 0..<6 {
      guard let (id, node) = view.producer(value), isStep(id, view), let input = node.inputs.lazy.compactMap({ $0 }).first(where: { view.isActivation($0) })
      else { break }
      value = input
    }
    return value
  }

  private static func previous(_ sum: NodeID, _ view: GraphView) -> NodeID? {
    let shape = view.graph[sum].output(0).flatMap { view.shape($0) }
    for case let operand? in view.graph[sum].inputs {
      let value = onStream(operand, view)
      if let (id, _) = view.producer(value), isSum(id, view), view.shape(value) == shape { return id }
    }
    return nil
  }

  private static func next(_ sum: NodeID, _ view: GraphView) -> NodeID? {
    guard let start = view.graph[sum].output(0) else { return nil }
    var pending = [start]
    var index = 0
    while index < min(pending.count, 12) {
      for id in view.uses.readers(of: pending[index]) {
        if isSum(id, view), previous(id, view) == sum { return id }
        if isStep(id, view), let output = view.graph[id].output(0) { pending.append(output) }
      }
      index += 1
    }
    return nil
  }

  private struct Work: Hashable {
    var linears = 0
    var products = 0
  }

  /// How much a residual branch computes, its gate left out: blocks of a stage are alike in it.
  private static func work(_ sum: NodeID, _ owned: Set<NodeID>, _ view: GraphView) -> Work {
    let operands = view.graph[sum].inputs.compactMap { $0 }
    guard operands.count == 2 else { return Work() }
    let sides = [(branch: operands[0], stream: operands[1]), (branch: operands[1], stream: operands[0])]
    let before = previous(sum, view).flatMap { view.graph[$0].output(0) }
    // The stream is what comes from the sum before, or what the other operand is made from.
    if let before, let side = sides.first(where: { onStream($0.stream, view) == before }) { return work(side.branch, side.stream, owned, view) }
    if let side = sides.first(where: { side in
      let start = onStream(side.stream, view)
      return view.upstream(side.branch, stoppingAt: [start], limit: 96).contains { view.graph[$0].inputs.contains(start) }
    }) {
      return work(side.branch, side.stream, owned, view)
    }
    // A shortcut with a layer of its own: the branch is the side that does more.
    return sides.map { work($0.branch, $0.stream, owned, view) }.max { $0.linears + $0.products < $1.linears + $1.products } ?? Work()
  }

  private static func work(_ branch: ValueID, _ stream: ValueID, _ owned: Set<NodeID>, _ view: GraphView) -> Work {
    var work = Work()
    var seen = Set(view.ancestry(stream) + [onStream(stream, view)])
    guard seen.insert(branch).inserted else { return work }
    var pending = [branch]
    var index = 0
    while index < min(pending.count, 96) {
      let value = pending[index]
      index += 1
      guard let (id, node) = view.producer(value) else { continue }
      let isGate = owned.contains(id)
      if !isGate {
        if view.linearOperand(id) != nil { work.linears += 1 } else if node.op.isProduct { work.products += 1 }
      }
      for case let input? in node.inputs where view.isActivation(input) {
        // What a gate is made of leads to other blocks; what it multiplies is the branch.
        if isGate, view.graph.producer(of: input).map(owned.contains) ?? false { continue }
        if seen.insert(input).inserted { pending.append(input) }
      }
    }
    return work
  }
}

extension GraphView {
  /// The weight of a linear layer and its bias, where it has one.
  func layerConstants(_ linear: NodeID) -> [ValueID] {
    let weight = graph[linear].inputs.prefix(2).compactMap { $0 }.first { !isActivation($0) }
    let bias = graph[linear].input(2) ?? addedBias(linear)
    return [weight, bias.flatMap { scalar($0) == 0 ? nil : $0 }].compactMap { $0 }
  }

  /// Floating-point constants of more than one number that nodes read.
  func tables(_ nodes: [NodeID]) -> [ValueID] {
    let values = Set(nodes.flatMap { graph[$0].inputs.compactMap { $0 } }.filter { !isActivation($0) })
    return values.filter { typed.type(of: $0)?.element.isFloatingPoint == true && (shape($0)?.concrete?.checkedProduct ?? 1) > 1 }.sorted()
  }
}
