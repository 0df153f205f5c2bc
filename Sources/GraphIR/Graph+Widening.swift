public import Diagnostics
public import Tensors

extension Graph {
  /// Whether a value that is no constant is known to have elements of type `element`, here or in a body. Constants count
  /// where something else than a cast reads them.
  public func computes(in element: ElementType) -> Bool {
    if values.handles.contains(where: { constant($0) == nil && values[$0].declaredType?.element == element }) { return true }
    return liveNodes.contains { _, node in
      if case .cast(let target) = node.op { return target == element }
      return node.op.widened(element) != node.op || node.op.bodies.contains { $0.graph.computes(in: element) }
        || node.reads.contains { constant($0)?.elementType == element }
    }
  }

  /// The same computation with float32 in the place of the floating-point type `narrow`: inputs and results are float32.
  /// Constants keep their elements and are cast for those who read them; a single number becomes a float32. Ids stay the
  /// same, and what a file kept of the graph is let go.
  ///
  /// - Throws: `notExpressible` where bits are read as elements: those of a float32 are others.
  public func widened(_ narrow: ElementType) throws(Failure) -> Graph {
    var result = self
    result.source = nil
    for id in values.handles where constant(id) == nil {
      result.values[id].declaredType = values[id].declaredType?.widened(narrow)
      result.values[id].declaredContainer = values[id].declaredContainer?.widened(narrow)
    }
    for id in order {
      let node = nodes[id]
      if case .conversion(.bits) = node.op { throw Failure(.notExpressible, "BitCast reads bits that a float32 does not have", at: .element(node.name)) }
      let op = try node.op.widened(narrow).mappingBodies { (body) throws(Failure) in
        Subgraph(try body.graph.widened(narrow), captures: body.captures)
      }
      result.nodes[id] = Node(op, node.inputs, outputs: node.outputs, captures: node.captures, name: node.name, origins: node.origins)
    }
    try result.castConstants(of: narrow)
    try StructuralVerifier.verify(result)
    return result
  }

  private mutating func castConstants(of narrow: ElementType) throws(Failure) {
    var wide: [ValueID: ValueID] = [:]
    var casts: [NodeID] = []
    var names = FreshNames(self)
    for id in Array(values.handles) {
      guard let tensor = constant(id), tensor.elementType == narrow else { continue }
      values[id].record = nil
      if let number = tensor.scalar {
        let single = try Tensor(float32: [Float(number)], dims: tensor.dims)
        values[id].definition = .constant(single)
        values[id].declaredType = single.type
        continue
      }
      let own = values[id].name
      let isOutput = outputs.contains(id)
      let fresh = names.make("\(own)/\((isOutput ? narrow : .float32).name)")
      // An output's name is that of what it gives.
      if isOutput { values[id].name = fresh }
      let node = NodeID(raw: UInt32(nodes.count))
      let type = TensorType(.float32, Shape(tensor.dims.map { Dim($0) }))
      let result = values.append(Value(name: isOutput ? own : fresh, definition: .node(node, result: 0), declaredType: type))
      casts.append(nodes.append(Node(.cast(to: .float32), [id], outputs: [result], name: values[result].name)))
      wide[id] = result
    }
    guard !wide.isEmpty else { return }
    outputs = outputs.map { wide[$0] ?? $0 }
    var read = Set(outputs)
    for id in order {
      if nodes[id].reads.contains(where: { wide[$0] != nil }) {
        nodes[id].inputs = nodes[id].inputs.map { $0.map { wide[$0] ?? $0 } }
        nodes[id].captures = nodes[id].captures.map { wide[$0] ?? $0 }
      }
      read.formUnion(nodes[id].reads)
    }
    order = casts.filter { node in nodes[node].output(0).map(read.contains) ?? false } + order
  }
}

extension TensorType {
  fileprivate func widened(_ narrow: ElementType) -> TensorType { element == narrow ? TensorType(.float32, shape) : self }
}

extension ValueType {
  fileprivate func widened(_ narrow: ElementType) -> ValueType {
    switch self {
    case .tensor(let type): .tensor(type.widened(narrow))
    case .sequence(let element): .sequence(of: element?.widened(narrow))
    case .optional(let element): .optional(of: element?.widened(narrow))
    case .map(let key, let value): .map(key: key, value: value?.widened(narrow))
    }
  }
}

extension Op {
  /// The operator with float32 where it names the narrow type, its bodies as they are.
  fileprivate func widened(_ narrow: ElementType) -> Op {
    switch self {
    case .cast(to: narrow): return .cast(to: .float32)
    case .generator(.constantOfShape(let fill)) where fill.elementType == narrow:
      return .generator(.constantOfShape(FillValue(.float32, fill.value)))
    case .generator(.eyeLike(narrow, let diagonal)): return .generator(.eyeLike(.float32, diagonal: diagonal))
    case .random(var op) where op.element == narrow:
      op.element = .float32
      return .random(op)
    case .attention(.standard(var op)) where op.softmaxPrecision == narrow:
      op.softmaxPrecision = .float32
      return .attention(.standard(op))
    case .control(.flexAttention(var op)) where op.precision == narrow:
      op.precision = .float32
      return .control(.flexAttention(op))
    case .sequence(.empty(narrow)): return .sequence(.empty(.float32))
    case .catalogued(let op): return .catalogued(op.widened(narrow))
    default: return self
    }
  }
}

extension CataloguedOp {
  /// Attributes that hold the number of an element type.
  private static let elementAttributes: Set<String> = ["output_dtype", "output_datatype", "precision"]

  fileprivate func widened(_ narrow: ElementType) -> CataloguedOp {
    guard attributes.contains(where: { CataloguedOp.elementAttributes.contains($0.name) }) else { return self }
    var given = Dictionary(uniqueKeysWithValues: attributes.map { ($0.name, $0.value) })
    for name in CataloguedOp.elementAttributes where given[name] == .int(Int(narrow.rawValue)) { given[name] = .int(Int(ElementType.float32.rawValue)) }
    return (try? CataloguedOp(kind, given)) ?? self
  }
}
