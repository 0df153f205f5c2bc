internal import Diagnostics
internal import GraphIR
internal import Kernels
internal import Tensors

/// Attention, spelled out or as one operator, by the tiled kernel on views of its operands. Of the operators those with
/// earlier keys, soft caps and masks that are only known in the run go to the reference kernel.
extension PlanBuilder {
  /// Attention that begins with this product is left to its second product, where all operands are there; and there it is
  /// planned.
  func planSpelledAttention(_ id: NodeID) throws(Failure) -> Bool {
    if let match = attentions[id] {
      try plan(match)
      return true
    }
    guard let match = try AttentionMatcher(self).match(at: id), let last = match.nodes.last else { return false }
    attentions[last] = match
    markDone(match.nodes.dropLast())
    return true
  }

  private func plan(_ match: AttentionMatcher.Match) throws(Failure) {
    let lead = Array(match.finest.dropLast(2))
    let (x, y) = (try view(of: match.query), try view(of: match.transposedKey))
    var swapped = Array(0..<y.layout.rank)
    swapped.swapAt(y.layout.rank - 1, y.layout.rank - 2)
    let query = try split(x.unscaled, match.scores, lead)
    let key = try split(y.unscaled.with(y.layout.permuted(swapped)), match.scores, lead)
    let shape = try dims(of: match.output)
    let value = try split(plain(view(of: match.value)), shape, lead)
    var biases: [View] = []
    for bias in match.biases {
      let view = try plain(view(of: bias.value))
      guard let wide = view.layout.broadcast(to: bias.dims) else { throw Failure(.shapeMismatch, "\(view.dims) does not broadcast to \(bias.dims)") }
      biases.append(try reshaped(view.with(wide), match.finest))
    }
    let target = try newView((.float32, shape), order: orderOfReader(match.output, rank: shape.count))
    let results = target.with(try reshapedInPlace(target.layout, lead + shape.suffix(2)))
    try attend(
      match.nodes, query, key, value, scales: match.scales.map { $0 * x.factor * y.factor }, bias: try sum(biases), results, written: target)
    set(match.output, target)
  }

  /// An operand with the leading axes of its product repeated where they broadcast, then split as `lead`.
  private func split(_ view: View, _ product: [Int], _ lead: [Int]) throws(Failure) -> View {
    let tail = Array(view.dims.suffix(2))
    guard let wide = view.layout.broadcast(to: product.dropLast(2) + tail) else { throw Failure(.shapeMismatch, "\(view.dims) is no operand of \(product)") }
    return try reshaped(view.with(wide), lead + tail)
  }

  private func reshapedInPlace(_ layout: Strided, _ dims: [Int]) throws(Failure) -> Strided {
    guard let result = layout.reshaped(dims) else { throw Failure(.internalError, "\(layout.dims) cannot be written as \(dims)") }
    return result
  }

  /// The biases' sum, repeated along no axis along which all of them repeat; computed now where all are constant.
  private func sum(_ biases: [View]) throws(Failure) -> View? {
    guard var total = biases.first else { return nil }
    for other in biases.dropFirst() {
      let dims = total.dims
      let kept = dims.indices.map { total.layout.strides[$0] == 0 && other.layout.strides[$0] == 0 ? 1 : dims[$0] }
      let (x, y) = (total.with(Strided(dims: kept, strides: total.layout.strides)), other.with(Strided(dims: kept, strides: other.layout.strides)))
      var result: View
      if let a = slots[x.slot].constant, let b = slots[y.slot].constant {
        let buffer = unsafe TensorBuffer(byteCount: kept.reduce(4, *)) { target in
          unsafe a.withUnsafeBytes { a in
            unsafe b.withUnsafeBytes { b in
              guard let a = a.baseAddress, let b = b.baseAddress, let z = target.baseAddress else { return }
              unsafe Pointwise.apply(
                .add, a.assumingMemoryBound(to: Float.self) + x.offset, x.layout, b.assumingMemoryBound(to: Float.self) + y.offset, y.layout,
                z.assumingMemoryBound(to: Float.self), Strided(dense: kept))
            }
          }
        }
        result = try constantView(try Tensor(.float32, dims: kept, storage: .memory(buffer)))
      } else {
        result = try binary([], .add, x, y, kept)
      }
      guard let wide = result.layout.broadcast(to: dims) else { throw Failure(.internalError, "a sum of biases that does not broadcast") }
      result.layout = wide
      total = result
    }
    return total
  }

  /// Adds `softmax(scales * Q K^T + bias) V` as a step; all operands of one rank, the bias with the scores' dimensions.
  private func attend(
    _ nodes: [NodeID], _ query: View, _ key: View, _ value: View, scales: [Float], bias: View?, _ results: View, written: View
  ) throws(Failure) {
    let (q, k, v) = (try aligned(query), try aligned(key), try aligned(value))
    let rows = try bias.map { (view) throws(Failure) in
      let last = view.layout.rank - 1
      return view.layout.strides[last] == 1 || view.dims[last] == 1 ? try aligned(view) : try dense(view)
    }
    let uniform = scales.dropFirst().allSatisfy { $0 == scales[0] } ? [scales[0]] : scales
    let kernel = try TiledAttention(q: q.layout, k: k.layout, v: v.layout, y: results.layout, bias: rows?.layout, scales: uniform, workspace: workspace)
    emit(nodes, "Attention", reads: [q, k, v] + (rows.map { [$0] } ?? []), writes: [written]) { (memory) throws(Failure) in
      unsafe kernel.run(
        q: memory.address(q), k: memory.address(k), v: memory.address(v), bias: rows.map { unsafe UnsafeRawPointer(memory.address($0)) },
        y: memory.address(results))
    }
  }

  func planAttention(_ id: NodeID, _ node: Node, _ op: AttentionOp) throws(Failure) -> Bool {
    guard let first = node.input(0), let output = node.output(0), node.outputs.dropFirst().allSatisfy({ $0 == nil }),
      try type(of: first).element == .float32
    else { return false }
    switch op {
    case .standard(let form): return try planStandard(id, node, form, first, output)
    case .packedProjection(let heads, let scale, let hidden, let causal):
      return try planPacked(id, node, heads: heads, scale: scale, hidden: hidden, causal: causal, first, output)
    case .multiHead(let heads, let scale, let causal):
      return try planMultiHead(id, node, heads: heads, scale: scale, causal: causal, first, output)
    }
  }

  private func planStandard(_ id: NodeID, _ node: Node, _ form: StandardAttention, _ first: ValueID, _ output: ValueID) throws(Failure) -> Bool {
    guard let second = node.input(1), let third = node.input(2), node.input(4) == nil, node.input(5) == nil, node.input(6) == nil, form.softcap == 0,
      form.leftWindow == nil, form.rightWindow == nil
    else { return false }
    var (query, key, value) = (try view(of: first), try view(of: second), try view(of: third))
    if query.layout.rank == 3 {
      guard form.queryHeads > 0, form.keyHeads > 0 else { return false }
      query = try heads(query, form.queryHeads)
      key = try heads(key, form.keyHeads)
      value = try heads(value, form.keyHeads)
    }
    guard query.layout.rank == 4, key.layout.rank == 4, value.layout.rank == 4 else { return false }
    var mask: Tensor?
    if let operand = node.input(3) {
      guard let tensor = constantTensor(operand) else { return false }
      mask = tensor
    }
    return try attend(id, query, key, value, scale: form.scale, mask: mask, causal: form.causal, output)
  }

  /// Attention (com.microsoft): one product makes queries, keys and values, which are views of its result.
  private func planPacked(
    _ id: NodeID, _ node: Node, heads count: Int, scale: Float?, hidden: [Int], causal: Bool, _ input: ValueID, _ output: ValueID
  ) throws(Failure) -> Bool {
    guard let weight = node.input(1), (3...5).allSatisfy({ node.input($0) == nil }) else { return false }
    let (shape, matrix) = (try dims(of: input), try view(of: weight))
    guard shape.count == 3, matrix.layout.rank == 2, count > 0 else { return false }
    let columns = matrix.dims[1]
    let widths = hidden.isEmpty ? [columns / 3, columns / 3, columns / 3] : hidden
    guard widths.count == 3, widths.reduce(0, +) == columns, widths.allSatisfy({ $0 % count == 0 }), widths[0] == widths[1] else { return false }
    let bias = try node.input(2).map { (value) throws(Failure) in try reshaped(dense(view(of: value)), [1, columns]) }
    let rows = try reshaped(plain(view(of: input)), [shape[0] * shape[1], shape[2]])
    let packed = try flatProduct([], rows, matrix, shape: [shape[0], shape[1], columns], axes: [0, 1, 2], bias: bias)
    var (parts, start) = ([View](), 0)
    for width in widths {
      let part = packed.with(Strided(dims: [shape[0], shape[1], width], strides: packed.layout.strides), offset: start)
      parts.append(try heads(part, count))
      start += width
    }
    return try attend(id, parts[0], parts[1], parts[2], scale: scale, mask: nil, causal: causal, output)
  }

  private func planMultiHead(
    _ id: NodeID, _ node: Node, heads count: Int, scale: Float?, causal: Bool, _ first: ValueID, _ output: ValueID
  ) throws(Failure) -> Bool {
    guard count > 0, (4...7).allSatisfy({ node.input($0) == nil }), let second = node.input(1), let third = node.input(2) else { return false }
    var parts = [try view(of: first), try view(of: second), try view(of: third)]
    guard parts.allSatisfy({ $0.layout.rank == 3 && $0.dims[2] % count == 0 }) else { return false }
    if let bias = node.input(3) {
      let vector = try dense(view(of: bias))
      guard vector.layout.count == parts.reduce(0, { $0 + $1.dims[2] }) else { return false }
      var start = 0
      for index in parts.indices {
        let width = parts[index].dims[2]
        let piece = vector.with(Strided(dense: [width]), offset: vector.offset + start)
        parts[index] = try binary([], .add, try plain(parts[index]), piece, parts[index].dims)
        start += width
      }
    }
    return try attend(id, try heads(parts[0], count), try heads(parts[1], count), try heads(parts[2], count), scale: scale, mask: nil, causal: causal, output)
  }

  /// (batch, token, head * channel) as (batch, head, token, channel).
  private func heads(_ view: View, _ count: Int) throws(Failure) -> View {
    let split = try reshaped(view, [view.dims[0], view.dims[1], count, view.dims[2] / count])
    return split.with(split.layout.permuted([0, 2, 1, 3]))
  }

  /// `softmax(scale Q K^T + mask) V`; groups of query heads share a key head.
  private func attend(
    _ id: NodeID, _ query: View, _ key: View, _ value: View, scale: Float?, mask: Tensor?, causal: Bool, _ output: ValueID
  ) throws(Failure) -> Bool {
    let (batch, queryHeads, queries, channels) = (query.dims[0], query.dims[1], query.dims[2], query.dims[3])
    let (keyHeads, keys, valueChannels) = (key.dims[1], key.dims[2], value.dims[3])
    guard keyHeads > 0, queryHeads % keyHeads == 0, key.dims[0] == batch, value.dims[0] == batch, key.dims[3] == channels,
      value.dims[1] == keyHeads, value.dims[2] == keys, channels > 0
    else { return false }
    var summand: View?
    if mask != nil || causal {
      guard let constant = try scoreBias(mask, causal: causal, scores: [batch, queryHeads, queries, keys]) else { return false }
      summand = constant
    }
    // (batch, key head, group, token, channel): the group axis of keys and values repeats.
    let group = queryHeads / keyHeads
    let lead = [batch, keyHeads, group]
    let q = try reshaped(query, lead + [queries, channels])
    let k = try reshaped(key, [batch, keyHeads, 1, keys, channels])
    let v = try reshaped(plain(value), [batch, keyHeads, 1, keys, valueChannels])
    let wide = try summand.map { (view) throws(Failure) in try reshaped(view, lead + [queries, keys]) }
    let merged = try dims(of: output).count == 3
    let target = try newView((.float32, lead + [queries, valueChannels]), order: merged ? [0, 3, 1, 2, 4] : [0, 1, 2, 3, 4])
    let factor = (scale ?? 1 / Float(channels).squareRoot()) * q.factor * k.factor
    try attend([id], q.unscaled, k.unscaled, v, scales: [factor], bias: wide, target, written: target)
    set(output, merged ? try reshaped(target.with(target.layout.permuted([0, 3, 1, 2, 4])), try dims(of: output)) : try reshaped(target, try dims(of: output)))
    return true
  }

  /// A constant mask as numbers to add, broadcast to the scores; nil where a query sees no key at all (the operators then
  /// give zeros, which a softmax does not).
  private func scoreBias(_ mask: Tensor?, causal: Bool, scores: [Int]) throws(Failure) -> View? {
    let (queries, keys) = (scores[2], scores[3])
    var dims = mask?.dims ?? []
    var values: [Float] = [0]
    if let mask {
      guard let numbers = mask.elementType == .bool ? mask.doubles()?.map({ $0 == 0 ? -Float.infinity : 0 }) : mask.floats() else { return nil }
      values = numbers
      // Keys behind the mask's end are hidden; leave that to the reference kernel.
      guard let last = dims.last, last == keys || last == 1 else { return nil }
    }
    if causal || (dims.last ?? 1) != keys {
      // One row per query, written out.
      let lead = Array(dims.dropLast(2))
      let wide = lead + [queries, keys]
      guard let layout = Strided(dense: dims).broadcast(to: wide) else { return nil }
      var full: [Float] = []
      full.reserveCapacity(wide.reduce(1, *))
      for outer in 0..<lead.reduce(1, *) {
        let base = lead.isEmpty ? 0 : outer * (dims.suffix(2).reduce(1, *))
        for i in 0..<queries {
          for j in 0..<keys {
            let own = values[base + i * layout.strides[wide.count - 2] + j * layout.strides[wide.count - 1]]
            full.append(causal && j > i ? -.infinity : own)
          }
        }
      }
      (values, dims) = (full, wide)
    }
    for row in stride(from: 0, to: values.count, by: keys) where values[row..<row + keys].allSatisfy({ $0 == -.infinity }) { return nil }
    let view = try constantView(try Tensor(float32: values, dims: dims))
    guard let layout = view.layout.broadcast(to: scores) else { return nil }
    return view.with(layout)
  }
}
