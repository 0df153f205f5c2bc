internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// One pass over a graph: what was replaced so far, and what is known of the values that were made.
struct Sweep {
  let typed: TypedGraph
  let purpose: Canonicalizer.Purpose
  private let rules: [Rule]
  private(set) var patch: Patch
  private let valueCount: Int
  private let outputs: Set<ValueID>
  private var replacement: [ValueID: ValueID] = [:]
  private var made: [ValueID: (site: Site, fact: Fact?)] = [:]
  private var depth = 0
  private var madeCount = 0

  init(_ typed: TypedGraph, for purpose: Canonicalizer.Purpose) {
    self.typed = typed
    self.purpose = purpose
    rules = Canonicalizer.rules(for: purpose)
    patch = Patch(typed.graph)
    valueCount = typed.graph.values.count
    outputs = Set(typed.graph.outputs)
  }

  mutating func visit(_ id: NodeID) {
    let node = typed.graph[id]
    guard node.captures.isEmpty else { return }
    let site = Site(
      op: node.op, inputs: node.inputs.map { $0.map(resolved) }, resultCount: node.outputs.count, origins: node.origins, name: node.name,
      results: node.outputs)
    guard let results = simplified(site) else { return }
    for (old, new) in zip(node.outputs, results) {
      guard let old, let new, old != new else { continue }
      // An output of the graph keeps its own value unless a new one can take its name.
      if outputs.contains(old), new.index < valueCount { continue }
      replacement[old] = new
      patch.replace(old, with: new)
    }
  }

  private mutating func simplified(_ site: Site) -> [ValueID?]? {
    guard depth < 16 else { return nil }
    depth += 1
    defer { depth -= 1 }
    for rule in rules {
      if let results = rule.apply(site, &self) { return results }
    }
    return nil
  }

  func resolved(_ value: ValueID) -> ValueID {
    var value = value
    while let next = replacement[value] { value = next }
    return value
  }

  // MARK: What is known

  func fact(_ value: ValueID) -> Fact? { value.index < valueCount ? typed.fact(of: value) : made[value]?.fact }
  func shape(_ value: ValueID) -> Shape? { fact(value)?.type.shape }
  func element(_ value: ValueID) -> ElementType? { fact(value)?.type.element }
  func constant(_ value: ValueID?) -> Tensor? {
    guard let value, case .tensor(let tensor)? = fact(value)?.value else { return nil }
    return tensor
  }
  func integers(_ value: ValueID?) -> [Int]? { value.flatMap { fact($0)?.value?.integers } }
  /// The element of a constant with one element, or with elements that are all alike.
  func scalar(_ value: ValueID?) -> Double? {
    guard let tensor = constant(value), tensor.count >= 1, tensor.count <= Inference.foldingLimit else { return nil }
    if tensor.count == 1 { return tensor.scalar }
    guard let all = tensor.doubles(), let first = all.first, all.allSatisfy({ $0 == first }) else { return nil }
    return first
  }

  /// The shape of a node's first result.
  func resultShape(_ site: Site) -> Shape? {
    if let result = site.results.first ?? nil { return shape(result) }
    guard let semantics = site.op.semantics else { return nil }
    return try? semantics.infer(site.inputs.map { $0.flatMap(fact) }, resultCount: site.resultCount).first?.type.shape
  }

  /// The node that makes `value`, its operands resolved.
  func producer(_ value: ValueID?) -> Site? {
    guard let value else { return nil }
    if value.index >= valueCount { return made[value]?.site }
    guard let id = typed.graph.producer(of: value) else { return nil }
    let node = typed.graph[id]
    return Site(
      op: node.op, inputs: node.inputs.map { $0.map(resolved) }, resultCount: node.outputs.count, origins: node.origins, name: node.name,
      results: node.outputs)
  }

  /// The operands of the binary node that makes `value`.
  func operands(_ value: ValueID?, of op: BinaryOp) -> (ValueID, ValueID, OriginSet)? {
    guard let site = producer(value), site.op == .binary(op), let a = site.input(0), let b = site.input(1) else { return nil }
    return (a, b, site.origins)
  }

  func operand(_ value: ValueID?, of op: UnaryOp) -> (ValueID, OriginSet)? {
    guard let site = producer(value), site.op == .unary(op), let a = site.input(0) else { return nil }
    return (a, site.origins)
  }

  // MARK: Making

  /// A node with one result in canonical form, or the value that already is it; nil when its types do not fit.
  mutating func make(_ op: Op, _ inputs: [ValueID?], for site: Site, origins: OriginSet = []) -> ValueID? {
    let new = Site(op: op, inputs: inputs, resultCount: 1, origins: site.origins.union(origins), name: site.name)
    if let results = simplified(new) { return results.first ?? nil }
    return append(new)
  }

  /// The node as it is, without looking for a rule.
  mutating func append(_ site: Site) -> ValueID? {
    guard let semantics = site.op.semantics else { return nil }
    let operands = site.inputs.map { $0.flatMap(fact) }
    guard zip(site.inputs, operands).allSatisfy({ $0 == nil || $1 != nil }), var result = try? semantics.infer(operands, resultCount: 1).first else {
      return nil
    }
    if let folded = fold(semantics, operands, result) {
      result.value = .tensor(folded)
      return constant(folded, for: site)
    }
    let value = patch.add(site.op, site.inputs, name: stem(site), origins: site.origins)
    made[value] = (site, result)
    return value
  }

  private func fold(_ semantics: any Operator, _ operands: [Fact?], _ result: Fact) -> Tensor? {
    guard let count = result.type.shape?.concrete?.checkedProduct, count <= Inference.foldingLimit else { return nil }
    var tensors: [Tensor?] = []
    for operand in operands {
      guard let operand else {
        tensors.append(nil)
        continue
      }
      guard case .tensor(let tensor)? = operand.value, tensor.count <= Inference.foldingLimit else { return nil }
      tensors.append(tensor)
    }
    return try? semantics.evaluate(tensors, resultCount: 1).first
  }

  mutating func constant(_ tensor: Tensor, for site: Site) -> ValueID {
    let value = patch.addConstant(stem(site), tensor)
    made[value] = (Site(op: .unary(.identity), inputs: [], resultCount: 0, origins: [], name: ""), Fact(tensor.type, value: .tensor(tensor)))
    return value
  }

  mutating func vector(_ values: [Int], for site: Site) -> ValueID? {
    guard let tensor = try? Tensor(int64: values.map(Int64.init), dims: [values.count]) else { return nil }
    return constant(tensor, for: site)
  }

  /// A small constant of the element type of `value` with the given dimensions.
  mutating func number(_ number: Double, like value: ValueID, dims: [Int] = [], for site: Site) -> ValueID? {
    guard let element = element(value), let count = dims.checkedProduct, count <= Inference.foldingLimit,
      let tensor = try? Tensor.filled(element, dims: dims, count: count, with: number)
    else { return nil }
    return constant(tensor, for: site)
  }

  /// `value` under other dimensions; nil when they cannot be said with one -1.
  mutating func reshape(_ value: ValueID, to dims: [Dim], for site: Site, origins: OriginSet = []) -> ValueID? {
    if shape(value)?.dims == dims { return value }
    guard let target = Sweep.reshapeTarget(dims), let vector = vector(target, for: site) else { return nil }
    return make(.layout(.reshape(allowZero: dims.contains(0))), [value, vector], for: site, origins: origins)
  }

  /// Numbers, with -1 for the one symbolic dimension.
  static func reshapeTarget(_ dims: [Dim]) -> [Int]? {
    guard dims.count(where: { $0.value == nil }) <= (dims.contains(0) ? 0 : 1) else { return nil }
    return dims.map { $0.value ?? -1 }
  }

  /// A number makes each name its own: looking for a free one would cost time for every one that is taken.
  private mutating func stem(_ site: Site) -> String {
    madeCount += 1
    return "\(site.name.isEmpty ? "canonical" : site.name).\(madeCount)"
  }
}

extension Tensor {
  /// A floating tensor whose elements are all alike.
  static func filled(_ element: ElementType, dims: [Int], count: Int, with number: Double) throws -> Tensor {
    switch element {
    case .float64: try Tensor(.float64, dims: dims, values: [Double](repeating: number, count: count))
    case .float16: try Tensor(.float16, dims: dims, values: [Float16](repeating: Float16(number), count: count))
    case .bfloat16: try Tensor(.bfloat16, dims: dims, values: [UInt16](repeating: UInt16(Float(number).bitPattern >> 16), count: count))
    default: try Tensor(float32: [Float](repeating: Float(number), count: count), dims: dims)
    }
  }
}
