internal import Diagnostics
internal import GraphIR
internal import Kernels
internal import Tensors

/// Softmax attention that a graph spells out: a product of queries and keys, factors, biases and masks, a softmax along
/// the last axis and a product with the values, between them only operators that keep the last two axes.
///
/// Nothing else may read what is computed on the way, since the attention kernel never holds it.
struct AttentionMatcher {
  struct Match {
    /// From the first product to the second, in graph order.
    var nodes: [NodeID]
    /// Operands of the products; the keys as the first product takes them, channels before tokens.
    var query, transposedKey, value: ValueID
    /// Of the first product: leading axes, queries, keys.
    var scores: [Int]
    /// The factors on the scores: one, or one for each item of the leading axes.
    var scales: [Float]
    /// What is added to the scores, each with the dimensions that the scores have there.
    var biases: [(value: ValueID, dims: [Int])] = []
    /// The scores' dimensions where they have most axes: windows of an image, say, split off the batch for their masks.
    var finest: [Int]
    var output: ValueID
  }

  let builder: PlanBuilder
  init(_ builder: PlanBuilder) { self.builder = builder }

  /// The attention whose first product is node `id`.
  func match(at id: NodeID) throws(Failure) -> Match? {
    let graph = builder.graph
    guard case .matrix(.matMul) = graph[id].op, let query = graph[id].input(0), let key = graph[id].input(1), let scores = graph[id].output(0),
      try isFloat(scores)
    else { return nil }
    var dims = try builder.dims(of: scores)
    guard dims.count >= 3, try builder.dims(of: query).count >= 3, try builder.dims(of: key).count >= 3 else { return nil }
    let items = dims.dropLast(2).reduce(1, *)
    var match = Match(nodes: [id], query: query, transposedKey: key, value: key, scores: dims, scales: [1], finest: dims, output: scores)
    var current = scores
    var isNormalized = false
    while let reader = builder.onlyReader(current) {
      let node = graph[reader]
      guard let next = node.output(0), node.outputs.count == 1 else { return nil }
      let target = try builder.dims(of: next)
      switch node.op {
      case .binary(let op):
        guard !isNormalized, target == dims, let a = node.input(0), let b = node.input(1), a != b, try isFloat(a), try isFloat(b) else { return nil }
        let other = a == current ? b : a
        switch op {
        case .multiply, .divide:
          guard match.biases.isEmpty, op == .multiply || a == current, let factors = try factors(other, dims: dims, items: items) else { return nil }
          let applied = op == .multiply ? factors : factors.map { 1 / $0 }
          let wide = Swift.max(match.scales.count, applied.count)
          match.scales = (0..<wide).map { match.scales[match.scales.count == 1 ? 0 : $0] * applied[applied.count == 1 ? 0 : $0] }
          guard match.scales.allSatisfy({ $0.isFinite }) else { return nil }
        case .add: match.biases.append((other, dims))
        default: return nil
        }
      case .layout(.reshape), .layout(.unsqueeze), .layout(.squeeze):
        guard node.input(0) == current, target.count >= 3, target.suffix(2) == dims.suffix(2) else { return nil }
        dims = target
        if dims.count > match.finest.count { match.finest = dims }
      case .unary(.identity): break
      case .softmax(.softmax(let axis)):
        guard !isNormalized, axis == -1 || axis == dims.count - 1 else { return nil }
        isNormalized = true
      case .matrix(.matMul):
        guard isNormalized, node.input(0) == current, let value = node.input(1), value != current, try isFloat(next),
          try builder.dims(of: value).count >= 3, target.dropLast() == dims.dropLast()
        else { return nil }
        match.nodes.append(reader)
        (match.value, match.output) = (value, next)
        return match
      default: return nil
      }
      match.nodes.append(reader)
      current = next
    }
    return nil
  }

  private func isFloat(_ value: ValueID) throws(Failure) -> Bool { try builder.type(of: value).element == .float32 }

  /// A constant that is one number for each item of the leading axes, or for all.
  private func factors(_ value: ValueID, dims: [Int], items: Int) throws(Failure) -> [Float]? {
    if let scalar = builder.scalar(value) { return [scalar] }
    guard let tensor = builder.constantTensor(value), tensor.dims.suffix(2).allSatisfy({ $0 == 1 }), items <= 1 << 20, let numbers = tensor.floats(),
      let layout = Strided(dense: tensor.dims).broadcast(to: Array(dims.dropLast(2)) + [1, 1])
    else { return nil }
    return (0..<items).map { item in
      var (rest, offset) = (item, 0)
      for axis in (0..<layout.rank - 2).reversed() {
        offset += rest % layout.dims[axis] * layout.strides[axis]
        rest /= layout.dims[axis]
      }
      return numbers[offset]
    }
  }
}
