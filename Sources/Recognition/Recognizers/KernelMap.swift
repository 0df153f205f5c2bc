internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// A map of positive random features (Choromanski et al. 2021) that is written out, query by key, and whose rows are
/// divided by their sums before they weigh values: the kernel attention that VARS (Shi et al. 2022) is measured against.
/// The same features without the map are linear attention.
enum KernelMap {
  static func recognize(_ id: NodeID, _ view: GraphView) -> Finding? {
    guard view.graph[id].op == .matrix(.matMul), let a = view.graph[id].input(0), let b = view.graph[id].input(1), view.isActivation(a), view.isActivation(b),
      let map = view.graph[id].output(0), view.labels.kinds(map).suffix(2) == [.token, .token], let divided = Self.divided(map, view),
      let features = Self.features(a, view), let others = Self.features(b, view), let layout = view.axes(a), let operand = ProductOperand(layout, isLeft: true)
    else { return nil }
    let node = view.graph[divided.product]
    guard let position = node.inputs.firstIndex(of: divided.value), let values = node.input(1 - position), let gathered = node.output(0),
      view.isActivation(values)
    else { return nil }
    let value = view.operandTrace(values)
    let branch = view.branch(from: gathered, own: Set([features.linear, others.linear, value.linear].compactMap { $0 }))
    let sources = Set([features.source, others.source, value.source])
    let nodes = Set(view.upstream(gathered, stoppingAt: sources, limit: 192) + branch.nodes)
    var block = AttentionBlock(
      family: .linear, mechanism: "vars",
      heads: operand.batch.joined().filter { view.labels.kind($0) == .channel }.compactMap(\.size.value).checkedProduct ?? 1,
      headDim: view.shape(values)?.dims.last?.value, valueDim: view.shape(values)?.dims.last?.value, queryTokens: operand.free.size ?? 1,
      keyTokens: view.shape(map)?.dims.last ?? 1, qkNorm: features.norm?.name ?? "none", traits: ["feature map exp", "rows divided by their sums"],
      input: view.original(of: features.source), output: view.original(of: branch.output), residualAdd: branch.residualAdd, residualSum: branch.residualSum,
      anchor: view.original(of: id) ?? id, nodes: view.originals(of: nodes), parameters: view.constantElements(nodes),
      cost: view.cost(nodes.filter { view.graph[$0].op.isProduct }))
    for (role, linear) in [("query", features.linear), ("key", others.linear), ("value", value.linear), ("output", branch.linear)] {
      if let weight = linear.flatMap({ view.weight($0, as: role) }) { block.weights.append(weight) }
    }
    block.formulas = [BlockFormula(view, sources: Array(sources), output: branch.output)]
    return .block(block)
  }

  /// From a map through the division by its rows' sums to the product with values.
  private static func divided(_ map: ValueID, _ view: GraphView) -> (product: NodeID, value: ValueID)? {
    var value = map
    var isDivided = false
    for _ in 0..<8 {
      // Its sums and sizes are read from it as well.
      let readers = view.uses.readers(of: value).filter { id in
        switch view.graph[id].op {
        case .normalization(.lp(_, p: 1)), .matrix(.matMul), .layout, .cast: true
        case .binary(.divide): view.graph[id].input(0) == value
        case .binary(.multiply): view.scalarFactor(view.graph[id]) != nil
        default: false
        }
      }
      guard readers.count == 1, let reader = readers.first, let next = view.graph[reader].output(0) else { return nil }
      let node = view.graph[reader]
      switch node.op {
      case .normalization(.lp(_, p: 1)): isDivided = true
      case .binary(.divide):
        guard let sums = node.input(1), view.isActivation(sums) else { return nil }
        let rows = view.upstream(sums, stoppingAt: [value], limit: 8).contains { id in
          guard case .reduction(let reduction) = view.graph[id].op else { return false }
          return reduction.kind == .l1 || reduction.kind == .sum
        }
        guard rows else { return nil }
        isDivided = true
      case .matrix(.matMul): return isDivided ? (reader, value) : nil
      case .layout, .cast, .binary(.multiply): break
      default: return nil
      }
      value = next
    }
    return nil
  }

  /// A projection of tokens whose product with constant directions went through an exponential; what it reads.
  static func features(_ value: ValueID, _ view: GraphView) -> OperandTrace? {
    let outer = view.operandTrace(value)
    guard outer.featureMap == "exp", outer.linear != nil else { return nil }
    let inner = view.operandTrace(outer.source)
    return inner.linear == nil ? outer : inner
  }
}

extension GraphView {
  /// Floating-point elements of the constants that nodes read, each once; single numbers aside.
  func constantElements(_ nodes: some Sequence<NodeID>) -> Int {
    var seen = Set<ValueID>()
    var counted: [Int: [ValueID]] = [:]
    var sum = 0
    var pending = nodes.flatMap { graph[$0].inputs.compactMap { $0 } }.filter { !isActivation($0) }
    while let value = pending.popLast() {
      guard seen.insert(value).inserted, typed.type(of: value)?.element.isFloatingPoint == true else { continue }
      guard typed.constant(value) != nil else {
        // Laid out by the number of samples: what it was made of counts.
        if let (_, node) = producer(value), seen.count < 4096 { pending += node.inputs.compactMap { $0 } }
        continue
      }
      guard let size = shape(value)?.concrete?.checkedProduct, size > 1, scalar(value) == nil,
        !(counted[size]?.contains { isSameConstant($0, value) } ?? false)
      else { continue }
      counted[size, default: []].append(value)
      sum = sum &+ size / copies(value)
    }
    return sum
  }

  /// How often a constant repeats along its first axis, where that is the axis of samples.
  private func copies(_ value: ValueID) -> Int {
    guard let tensor = typed.constant(value), let count = tensor.dims.first, count > 1, tensor.dims.count >= 3, tensor.byteCount <= 1 << 22,
      graph.inputs.contains(where: { shape($0)?.dims.first?.value == count })
    else { return 1 }
    let bytes = tensor.elements(as: UInt8.self)
    let size = bytes.count / count
    return (1..<count).allSatisfy { bytes[($0 * size)..<(($0 + 1) * size)] == bytes[..<size] } ? count : 1
  }
}
