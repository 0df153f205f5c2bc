internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Recognition
internal import Tensors

/// A block that Keras's MultiHeadAttention computes.
struct RaisedAttention: Sendable {
  /// Tokens (batch, token, channel) that queries are made of, and those of keys and values.
  var query, value: ValueID
  var block: ProjectedAttention
}

extension LayerRaising {
  /// The blocks that are MultiHeadAttention, by the value of the canonical graph that is their result.
  func raisedAttention(_ blocks: [AttentionBlock]) -> [ValueID: RaisedAttention] {
    // What stands in the canonical graph for a value of the graph as read.
    var present: [ValueID: ValueID] = [:]
    for input in graph.inputs { present[input] = input }
    for (_, node) in graph.liveNodes {
      for output in node.outputs.compactMap({ $0 }) {
        present[output] = output
        if let origin = graph[output].origin, present[origin] == nil { present[origin] = output }
      }
    }
    var result: [ValueID: RaisedAttention] = [:]
    for block in blocks {
      guard let plain = block.projected, isExpressible(plain), let output = present[plain.output], let query = present[plain.input],
        let value = present[plain.keyInput], precedes(query, output), precedes(value, output)
      else { continue }
      result[output] = RaisedAttention(query: query, value: value, block: plain)
    }
    return result
  }

  private func isExpressible(_ block: ProjectedAttention) -> Bool {
    let hasMask: Bool
    switch block.bias {
    case .none: hasMask = false
    case .mask: hasMask = true
    case .constant, .computed: return false
    }
    guard block.mechanism == "softmax", [.selfAttention, .causal, .cross].contains(block.family), block.qkNorm == "none", !block.rotary,
      hasMask == block.causal, !hasMask || maskCount(block) == 1, block.inputLayout == .batchFirst, block.outputLayout == .batchFirst, block.outputHasBias,
      let output = block.outputProjection, block.heads > 0, block.headDim > 0, block.valueDim > 0
    else { return false }
    let inner = block.heads.multipliedReportingOverflow(by: block.headDim)
    let values = block.heads.multipliedReportingOverflow(by: block.valueDim)
    return !inner.overflow && !values.overflow && block.query.weight.columns == inner.partialValue && block.key.weight.columns == inner.partialValue
      && block.value.weight.columns == values.partialValue && output.weight.rows == values.partialValue
      && [block.input, block.keyInput, block.output].allSatisfy { typed.shape(of: $0).map { $0.rank == 3 } ?? true }
  }

  /// How many masks are put on the block's scores; nil where something else is done to them. Keras's own causal mask
  /// stands for the causal one alone.
  private func maskCount(_ block: ProjectedAttention) -> Int? {
    let core: NodeID
    switch block.core {
    case .softmax(let node, _, _, _), .fused(let node): core = node
    }
    guard
      let softmax = graph.liveNodes.first(where: { id, node in
        if case .softmax(.softmax) = node.op { id == core || node.origins.contains(core) } else { false }
      })?.1
    else { return nil }
    var count = 0
    var value = softmax.input(0)
    while let current = value, let producer = graph.producer(of: current) {
      let node = graph[producer]
      switch node.op {
      case .binary(.add) where constant(node.input(1)) != nil:
        count += 1
        value = node.input(0)
      case .select where constant(node.input(0)) != nil && (constant(node.input(1)) == nil) != (constant(node.input(2)) == nil):
        count += 1
        value = constant(node.input(1)) == nil ? node.input(1) : node.input(2)
      case .binary(.multiply) where constant(node.input(1))?.count == 1, .layout(.reshape), .layout(.transpose): value = node.input(0)
      case .matrix: return count
      default: return nil
      }
    }
    return nil
  }

  /// Whether `value` is made before `other`.
  private func precedes(_ value: ValueID, _ other: ValueID) -> Bool {
    guard let later = graph.producer(of: other) else { return false }
    guard let earlier = graph.producer(of: value) else { return true }
    for id in graph.order {
      if id == earlier { return true }
      if id == later { return false }
    }
    return false
  }

  mutating func raised(_ attention: RaisedAttention) throws(Failure) -> PlacedValue {
    let block = attention.block
    let query = try plain(attention.query)
    let value = attention.value == attention.query ? query : try plain(attention.value)
    guard let output = block.outputProjection, let width = query.dims.last?.value else {
      throw Failure(.notExpressible, "the channels of the block are open", at: .element(block.name))
    }
    let (heads, size, valueSize, out) = (block.heads, block.headDim, block.valueDim, output.weight.columns)
    // Keras scales by 1/√d; what the block scales by beside that goes into the queries.
    let factor = block.scale * Double(size).squareRoot()
    let own = abs(factor - 1) < 1e-6 ? 1 : factor
    let hasBias = [block.query.bias, block.key.bias, block.value.bias, output.bias].contains { $0 != nil }
    let element = query.element

    func group(_ attribute: String, _ owner: String, _ projection: Projection, _ kernel: [Int], _ bias: [Int], times factor: Double = 1) -> VariableGroup {
      var variables = [
        VariableDraft("kernel") { () throws(Failure) in try LayerRaising.tensor(projection.weight, kernel, element, times: factor) }
      ]
      if hasBias {
        variables.append(
          VariableDraft("bias") { () throws(Failure) in
            guard let row = projection.bias else { return try Tensor.filled([Double](repeating: 0, count: bias.reduce(1, *)), dims: bias, element) }
            return try LayerRaising.tensor(row, bias, element, times: factor)
          })
      }
      return VariableGroup(attribute: attribute, owner: owner, variables: variables)
    }
    let groups = [
      group("query_dense", "query", block.query, [block.query.weight.rows, heads, size], [heads, size], times: own),
      group("key_dense", "key", block.key, [block.key.weight.rows, heads, size], [heads, size]),
      group("value_dense", "value", block.value, [block.value.weight.rows, heads, valueSize], [heads, valueSize]),
      group("output_dense", "attention_output", output, [heads, valueSize, out], [out]),
    ]
    var dims = query.dims
    dims[2] = Dim(out)
    let config: [String: JSON] = [
      "num_heads": .integer(heads), "key_dim": .integer(size), "value_dim": .integer(valueSize), "dropout": .number(0), "use_bias": .bool(hasBias),
      "output_shape": out == width ? .null : .integer(out), "attention_axes": .integers([1]),
    ]
    let result = try layer(
      "MultiHeadAttention", config, [.tensor(query), .tensor(value)], dims, element, stem: block.name.isEmpty ? nil : block.name,
      keywords: block.causal ? ["use_causal_mask": .bool(true)] : [:], groups: groups)
    return PlacedValue(result)
  }

  private static func tensor(_ view: WeightView, _ dims: [Int], _ element: ElementType, times factor: Double) throws(Failure) -> Tensor {
    guard let values = view.materialized(), values.count == dims.checkedProduct else {
      throw Failure(.notExpressible, "a projection of attention has no weights of its own")
    }
    return try Tensor.filled(factor == 1 ? values : values.map { $0 * factor }, dims: dims, element)
  }
}
