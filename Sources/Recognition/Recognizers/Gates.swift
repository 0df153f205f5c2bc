internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Gates: a product of a tensor with a squashed descriptor that lacks its places (channel gates: squeeze-and-excitation,
/// ECA, CBAM, gather-excite) or its channels (spatial gates).
enum Gates {
  static func recognize(_ id: NodeID, _ view: GraphView) -> Finding? {
    let node = view.graph[id]
    guard node.op == .binary(.multiply), let a = node.input(0), let b = node.input(1), view.isActivation(a), view.isActivation(b), a != b,
      let output = node.output(0), let whole = view.shape(output), whole.rank >= 3
    else { return nil }
    for (x, gate) in [(a, b), (b, a)] where view.shape(x) == whole {
      if let block = channelGate(id, x, gate, view) ?? spatialGate(id, x, gate, view) ?? deviationGate(id, x, gate, view) ?? stripGate(id, x, gate, view) {
        return .block(block)
      }
    }
    return nil
  }

  private static func channelGate(_ id: NodeID, _ x: ValueID, _ gate: ValueID, _ view: GraphView) -> AttentionBlock? {
    let places = view.labels.factors(x, .token)
    let own = view.labels.factors(gate, .token)
    let isPoint = places.isEmpty && (view.shape(x)?.rank ?? 0) == 4
    guard own.count < places.count || (isPoint && own.isEmpty), !view.labels.factors(gate, .channel).isEmpty else { return nil }
    if own.isEmpty {
      let descriptor = Descriptor(view, of: gate)
      guard !descriptor.pools.isEmpty, !descriptor.squashes.isEmpty || (squeezed(descriptor, view)) else { return nil }
      if isPoint, !descriptor.sources.contains(x) { return nil }
      // A softmax that weighs places is a global context, not a gate of its own.
      if descriptor.pools.allSatisfy({ if case .matrix = view.graph[$0].op { true } else { false } }), descriptor.squashes.isEmpty { return nil }
      return make(.channelGate, id, x, descriptor, view)
    }
    // Some axes of places are left: gates along rows or columns.
    let descriptor = Descriptor(view, of: gate, limit: 24)
    guard let squash = descriptor.squashes.first, squash == view.producer(unwrapped(gate, view))?.id, poolsAlongOneAxis(descriptor, view) else { return nil }
    return make(.spatialGate, id, x, descriptor, view)
  }

  /// Two linear layers or more between pool and gate, though without a squashing function (scales, normed gates).
  private static func squeezed(_ descriptor: Descriptor, _ view: GraphView) -> Bool { false }

  /// A floating constant of more than one number.
  private static func isTable(_ value: ValueID, _ view: GraphView) -> Bool {
    !view.isActivation(value) && view.typed.type(of: value)?.element.isFloatingPoint == true && (view.shape(value)?.concrete?.checkedProduct ?? 1) > 1
  }

  private static func poolsAlongOneAxis(_ descriptor: Descriptor, _ view: GraphView) -> Bool {
    descriptor.nodes.contains { id in
      if case .reduction = view.graph[id].op { true } else if case .pooling = view.graph[id].op { true } else { false }
    }
  }

  /// The value behind rearrangements and broadcasts.
  private static func unwrapped(_ value: ValueID, _ view: GraphView) -> ValueID {
    var value = value
    for _ in 0..<8 {
      guard let (_, node) = view.producer(value), case .layout = node.op, let input = node.input(0), node.inputs.count <= 5 else { break }
      value = input
    }
    return value
  }

  private static func spatialGate(_ id: NodeID, _ x: ValueID, _ gate: ValueID, _ view: GraphView) -> AttentionBlock? {
    guard let whole = view.shape(x), let own = view.shape(gate), whole.rank == own.rank, let axes = view.labels.layout(x)?.axes,
      !view.labels.factors(gate, .token).isEmpty
    else { return nil }
    // One number for all channels of a place, or for a group of them.
    let lost = whole.dims.indices.filter { whole[$0] != own[$0] }
    guard !lost.isEmpty, lost.allSatisfy({ own[$0] == 1 && view.labels.kind(axes[$0]) == .channel }) else { return nil }
    var value = gate
    var nodes: [NodeID] = []
    var squashed = false
    var linear: NodeID?
    walk: for _ in 0..<16 {
      guard let (made, node) = view.producer(value), let input = node.input(0), view.isActivation(input) else { break }
      switch node.op {
      case .unary(.sigmoid), .unary(.hardSigmoid), .unary(.tanh): squashed = true
      case .clip: squashed = true
      case .convolution, .matrix: linear = linear ?? made
      default: break
      }
      nodes.append(made)
      if case .reduction = node.op { break walk }
      if linear != nil, squashed { break walk }
      value = input
    }
    guard squashed else { return nil }
    var descriptor = Descriptor(view, of: gate, limit: 0)
    // All of what makes it, where it is made from what it multiplies alone.
    descriptor.nodes = view.closed(between: [x], and: gate, limit: 64) ?? nodes
    descriptor.linears = linear.map { [$0] } ?? []
    descriptor.tables = nodes.compactMap { made in view.graph[made].inputs.compactMap { $0 }.first { isTable($0, view) } }
    return make(.spatialGate, id, x, descriptor, view)
  }

  /// A squashed statistic of the tensor itself, of its distance to the mean say, with no weights (Yang et al. 2021).
  private static func deviationGate(_ id: NodeID, _ x: ValueID, _ gate: ValueID, _ view: GraphView) -> AttentionBlock? {
    guard view.shape(gate) == view.shape(x), let (_, squash) = view.producer(gate), Descriptor.isSquash(squash.op)
    else { return nil }
    var descriptor = Descriptor(view, of: gate, limit: 0)
    var pending = [gate]
    var seen: Set<ValueID> = [gate]
    while let value = pending.popLast() {
      if value == x { continue }
      guard descriptor.nodes.count < 32, let (made, node) = view.producer(value) else { return nil }
      switch node.op {
      case .unary, .binary, .clip, .cast: break
      case .reduction where !view.labels.factors(x, .token).isEmpty: descriptor.pools.append(made)
      default: return nil
      }
      descriptor.nodes.append(made)
      for input in node.inputs.compactMap({ $0 }) where view.isActivation(input) && seen.insert(input).inserted { pending.append(input) }
    }
    guard !descriptor.pools.isEmpty else { return nil }
    return make(.spatialGate, id, x, descriptor, view)
  }

  /// A squashed sum of two descriptors, one pooled along rows and one along columns: all places and channels have a gate, which
  /// two strips of numbers make.
  private static func stripGate(_ id: NodeID, _ x: ValueID, _ gate: ValueID, _ view: GraphView) -> AttentionBlock? {
    guard let whole = view.shape(x), view.shape(gate) == whole, let axes = view.labels.layout(x)?.axes, let (_, squash) = view.producer(gate),
      Descriptor.isSquash(squash.op), let inside = squash.input(0), let (sum, add) = view.producer(inside),
      add.op == .binary(.add) || add.op == .binary(.multiply), let a = add.input(0), let b = add.input(1), view.isActivation(a), view.isActivation(b)
    else { return nil }
    func isStrip(_ value: ValueID) -> Bool {
      guard let own = view.shape(value), own.rank == whole.rank else { return false }
      let lost = whole.dims.indices.filter { own[$0] != whole[$0] }
      return !lost.isEmpty && lost.allSatisfy { own[$0] == 1 && view.labels.kind(axes[$0]) == .token }
        && poolsAlongOneAxis(Descriptor(view, of: value, limit: 24), view)
    }
    guard isStrip(a), isStrip(b) else { return nil }
    var descriptor = Descriptor(view, of: a, limit: 24)
    let other = Descriptor(view, of: b, limit: 24)
    descriptor.nodes += other.nodes + [sum]
    descriptor.linears += other.linears
    descriptor.pools += other.pools
    descriptor.sources.formUnion(other.sources)
    return make(.spatialGate, id, x, descriptor, view)
  }

  private static func make(_ family: AttentionFamily, _ id: NodeID, _ x: ValueID, _ descriptor: Descriptor, _ view: GraphView) -> AttentionBlock {
    let output = view.graph[id].output(0)
    var block = AttentionBlock(
      family: family, queryTokens: view.labels.factors(x, .token).size ?? 1, keyTokens: view.labels.factors(x, .token).size ?? 1,
      input: view.original(of: x), output: output.flatMap { view.original(of: $0) }, anchor: view.original(of: id) ?? id,
      weights: descriptor.linears.reversed().compactMap { linear in
        view.graph[linear].inputs.compactMap { $0 }.first { !view.isActivation($0) }.flatMap { view.original(of: $0) }.map {
          BlockWeight(role: "gate", value: $0)
        }
      },
      nodes: view.originals(of: descriptor.nodes + [id]), cost: view.cost(descriptor.linears))
    if let output {
      if family == .channelGate, let gate = view.graph[id].inputs.compactMap({ $0 }).first(where: { $0 != x }) {
        block.claims = ClaimedGate(view, input: x, gate: gate, output: output).map { [$0] } ?? []
      }
      block.formulas = [
        BlockFormula(
          view, sources: [x] + descriptor.sources, output: output,
          law: view.graph[id].inputs.compactMap { $0 }.first { $0 != x }.flatMap { BlockLaw.gate(view, x, by: $0) })
      ]
    }
    if block.weights.isEmpty { block.weights = descriptor.tables.compactMap { view.original(of: $0) }.map { BlockWeight(role: "gate", value: $0) } }
    let mechanism = GateMechanism(view, family, x: x, descriptor)
    if let name = mechanism.name {
      block.mechanism = name
      block.nodes = Set(block.nodes + view.originals(of: mechanism.nodes)).sorted()
      block.weights += mechanism.linears.compactMap { view.weight($0, as: "query") }
      let products = descriptor.pools.filter { view.graph[$0].op.isProduct && name == "fan" }
      block.cost = view.cost(descriptor.linears + mechanism.linears + products)
    }
    var parameters = 0
    for linear in Set(descriptor.linears + mechanism.linears) {
      parameters = parameters &+ view.parameterCount(linear, bias: view.graph[linear].input(2) ?? view.addedBias(linear))
    }
    // A spatial gate may have no more than a gain and a shift for each group of channels.
    if descriptor.linears.isEmpty { parameters = parameters &+ view.constantElements(descriptor.tables.isEmpty ? [] : descriptor.nodes) }
    block.parameters = parameters
    block.gate = GateParts(
      multiplication: id, nodes: descriptor.nodes + [id] + mechanism.nodes, linears: descriptor.linears, tables: descriptor.tables,
      isRecurrent: mechanism.name == "dia")
    if family == .channelGate {
      if descriptor.pools.count > 1 { block.traits.append("\(descriptor.pools.count) descriptors") }
      if descriptor.picksToken { block.traits.append("a token among the descriptors") }
      if let only = descriptor.linears.first, descriptor.linears.count == 1, case .convolution = view.graph[only].op, let w = view.graph[only].input(1),
        let dims = view.shape(w)?.concrete, dims.count == 3, dims[0] == 1, dims[1] == 1
      {
        block.traits.append("a convolution over channels")
        block.geometry.kernel = [dims[2]]
      }
    }
    return block
  }
}

/// A gate in terms of the canonical graph, for what is settled when all gates are known.
struct GateParts: Sendable {
  var multiplication: NodeID
  var nodes: [NodeID]
  var linears: [NodeID]
  var tables: [ValueID]
  var isRecurrent: Bool
}

extension GraphView {
  /// The constant added right behind a linear layer.
  func addedBias(_ linear: NodeID) -> ValueID? {
    guard let output = graph[linear].output(0), let reader = uses.onlyReader(of: output), graph[reader].op == .binary(.add), let b = graph[reader].input(1),
      !isActivation(b)
    else { return nil }
    return b
  }
}
