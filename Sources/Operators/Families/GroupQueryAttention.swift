internal import Diagnostics
internal import Glibc
internal import GraphIR
internal import Tensors

/// Rotary positions: pairs of channels are turned by angles that grow with the position (Su et al., "RoFormer", 2021).
struct RotaryAngles {
  let cosines, sines: [Double]
  /// Positions, and angles for each.
  let count, width: Int
  let interleaved: Bool

  /// Turns the first `2 * width` channels that start at `first`.
  func turn(_ values: inout [Double], from first: Int, position: Int) {
    for angle in 0..<width {
      let (a, b) = interleaved ? (first + 2 * angle, first + 2 * angle + 1) : (first + angle, first + angle + width)
      let (cosine, sine) = (cosines[position * width + angle], sines[position * width + angle])
      (values[a], values[b]) = (values[a] * cosine - values[b] * sine, values[a] * sine + values[b] * cosine)
    }
  }
}

extension CataloguedOperator {
  fileprivate func angles(_ cosine: Tensor, _ sine: Tensor, headSize: Int, interleaved: Bool) throws(Failure) -> RotaryAngles {
    guard cosine.dims.count == 2, cosine.dims == sine.dims, 2 * cosine.dims[1] <= headSize else {
      throw mismatch("caches of \(cosine.dims) and \(sine.dims) for heads of \(headSize) channels")
    }
    return RotaryAngles(
      cosines: try cosine.reals(for: mnemonic), sines: try sine.reals(for: mnemonic), count: cosine.dims[0], width: cosine.dims[1], interleaved: interleaved)
  }

  fileprivate func position(_ position: Int, of angles: RotaryAngles) throws(Failure) -> Int {
    guard 0..<angles.count ~= position else { throw Failure(.indexOutOfRange, "\(mnemonic): position \(position) of \(angles.count)") }
    return position
  }
}

/// RotaryEmbedding (com.microsoft): input (batch, token, channels) or (batch, head, token, channels), positions (1) or
/// (batch, token), cosines and sines (positions, half a head).
struct MicrosoftRotaryEmbedding: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(4...4) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkFloat(x.type.element)
    try checkElement(try operands.required(1), [.int64], "positions")
    if let shape = x.type.shape { try checkRank(shape, 3...4, "the input") }
    for index in 2...3 { try checkRank(operands.fact(index), 2, "a cache") }
    guard op.int("num_heads") >= 0, op.int("rotary_embedding_dim") >= 0 else { throw badAttribute("negative numbers of heads or channels") }
    if op.flag("is_packed_batching") { throw Failure(.operatorNotRunnable, "\(mnemonic) of a packed batch") }
    return [Fact(x.type)]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    var values = try operands.required(0).reals(for: mnemonic)
    let cosine = try operands.required(2)
    let heads: Int
    if dims.count == 4 {
      heads = dims[1]
    } else if op.int("num_heads") > 0 {
      heads = op.int("num_heads")
    } else {
      // Whole heads are turned.
      let width = (cosine.dims.last ?? 0) * 2
      guard width > 0, dims[2] % width == 0 else { throw mismatch("\(dims[2]) channels in heads of \(width)") }
      heads = dims[2] / width
    }
    guard dims.count == 4 || heads > 0 && dims[2] % heads == 0 else { throw mismatch("\(dims[2]) channels in \(heads) heads") }
    let headSize = dims.count == 4 ? dims[3] : dims[2] / heads
    let angles = try angles(cosine, try operands.required(3), headSize: headSize, interleaved: op.flag("interleaved"))
    let tokens = dims.count == 4 ? dims[2] : dims[1]
    let positions = try operands.required(1)
    let given = try positions.wholes(for: mnemonic)
    guard given.count == 1 || positions.dims == [dims[0], tokens] else { throw mismatch("positions of \(positions.dims)") }
    for batch in 0..<dims[0] {
      for token in 0..<tokens {
        let place = try position(given.count == 1 ? given[0] &+ token : given[batch * tokens + token], of: angles)
        for head in 0..<heads {
          let first = dims.count == 4 ? ((batch * heads + head) * tokens + token) * headSize : ((batch * tokens + token) * heads + head) * headSize
          angles.turn(&values, from: first, position: place)
        }
      }
    }
    let scale = op.float("scale")
    return [try Tensor(element, dims: dims, reals: scale == 1 || scale == 0 ? values : values.map { $0 * scale })]
  }
}

/// GroupQueryAttention (com.microsoft): query, key?, value?, past key?, past value?, lengths less one, total length,
/// cosines?, sines?, positions?, attention bias?, sinks?; results output, present key, present value. Causal unless the
/// attribute says no; the heads of queries share those of keys in groups.
struct GroupQueryAttention: CataloguedOperator {
  let op: CataloguedOp
  // Seven are there at least, and of those key and value may be left out.
  var arity: Arity { Arity(1...12, results: 1...3) }

  private func sizes(_ query: Shape, packed: Bool) throws(Failure) -> (heads: Int, keyHeads: Int, size: Dim) {
    let (heads, keyHeads) = (op.int("num_heads"), op.int("kv_num_heads"))
    guard heads > 0, keyHeads > 0, heads % keyHeads == 0, heads < 1 << 20 else { throw badAttribute("\(heads) query heads share \(keyHeads) key heads") }
    try checkRank(query, 3...3, "the query")
    let parts = Dim(packed ? heads + 2 * keyHeads : heads)
    guard let size = query[2].dividedExactly(by: parts) ?? (query[2].value == nil ? .unknown : nil) else {
      throw mismatch("\(query[2]) channels in \(parts) heads")
    }
    return (heads, keyHeads, size)
  }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let query = try operands.required(0)
    try checkFloat(query.type.element)
    let element = query.type.element
    let packed = operands.fact(1) == nil
    guard packed == (operands.fact(2) == nil), (operands.fact(3) == nil) == (operands.fact(4) == nil) else {
      throw Failure(.operandCount, "\(mnemonic) has only one of key and value, or of their past")
    }
    for index in 5...6 { try checkElement(try operands.required(index), [.int32], "operand \(index)") }
    guard op.flag("causal") || op.int("local_window_size") <= 0 else { throw badAttribute("a window of what is not causal") }
    if let shape = operands.fact(11)?.type.shape, shape.rank != 1 || !shape[0].agrees(with: Dim(op.int("num_heads"))) {
      throw mismatch("sinks of \(shape) for \(op.int("num_heads")) heads")
    }
    if op.flag("do_rotary"), operands.fact(7) == nil || operands.fact(8) == nil {
      throw Failure(.operandCount, "\(mnemonic) turns positions without their angles")
    }
    guard let shape = query.type.shape else { return [TensorType](repeating: TensorType(element, nil), count: resultCount).map { Fact($0) } }
    let form = try sizes(shape, packed: packed)
    let width: Dim = form.size == .unknown ? .unknown : try form.size.times(Dim(form.keyHeads))
    for index in 1...2 {
      guard let own = operands.fact(index)?.type.shape else { continue }
      try checkRank(own, 3...3, "operand \(index)")
      if width != .unknown { try checkAgree(own[2], width, "channels of operand \(index)") }
      try checkAgree(own[0], shape[0], "batches of operand \(index)")
      try checkAgree(own[1], shape[1], "tokens of operand \(index)")
    }
    var past = Dim(0)
    for index in 3...4 {
      guard let own = operands.fact(index)?.type.shape else { continue }
      try checkRank(own, 4...4, "operand \(index)")
      try checkAgree(own[0], shape[0], "batches of operand \(index)")
      try checkAgree(own[1], Dim(form.keyHeads), "heads of operand \(index)")
      if form.size != .unknown { try checkAgree(own[3], form.size, "channels of operand \(index)") }
      past = own[2]
    }
    if let lengths = operands.fact(5)?.type.shape, lengths.rank > 0 { try checkAgree(lengths[0], shape[0], "numbers of lengths") }
    let total = knownWhole(operands.fact(6)).map { Dim($0) }
    let present: Dim = try total.map { (total) throws(Failure) in past.value == 0 ? total : try past.atLeast(total) } ?? .unknown
    let cache = Shape([shape[0], Dim(form.keyHeads), present, form.size])
    let output = Shape([shape[0], shape[1], form.size == .unknown ? .unknown : try form.size.times(Dim(form.heads))])
    return Array([Fact(TensorType(element, output)), Fact(TensorType(element, cache)), Fact(TensorType(element, cache))].prefix(resultCount))
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    guard let output = results.first?.shape?.concrete, output.count == 3 else { return Cost() }
    let scores = output[0] &* op.int("num_heads") &* output[1] &* output[1]
    return Cost(macs: 2 &* scores &* (output[2] / max(op.int("num_heads"), 1)), elementwise: scores &* 5)
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let types = try resultTypes(operands, 3)
    let query = try operands.required(0)
    let packed = operands.tensor(1) == nil
    let (heads, keyHeads) = (op.int("num_heads"), op.int("kv_num_heads"))
    let (batch, tokens, size) = (query.dims[0], query.dims[1], types[1].dims[3])
    let present = types[1].dims[2]
    let lengths = try operands.required(5).wholes(for: mnemonic).map { $0 &+ 1 }
    let total = try whole(try operands.required(6), "the total length")
    var values = try query.reals(for: mnemonic)
    var newKeys = try operands.tensor(1)?.reals(for: mnemonic) ?? []
    let newValues = try operands.tensor(2)?.reals(for: mnemonic) ?? []
    let oldKeys = try operands.tensor(3)?.reals(for: mnemonic) ?? []
    let oldValues = try operands.tensor(4)?.reals(for: mnemonic) ?? []
    let past = operands.tensor(3)?.dims[2] ?? 0
    // Where a head's channels of a token start, in the query and in keys and values.
    let row = packed ? (heads + 2 * keyHeads) * size : heads * size
    let keyRow = packed ? row : keyHeads * size
    let (keyFirst, valueFirst) = packed ? (heads * size, (heads + keyHeads) * size) : (0, 0)
    var keys = [Double](repeating: 0, count: batch * keyHeads * present * size)
    var cached = keys
    var starts: [Int] = []
    for sample in 0..<batch {
      let length = lengths.count == 1 ? lengths[0] : lengths[sample]
      // All tokens at once are a prompt; else they come behind what is there.
      let start = tokens == total ? 0 : length - tokens
      guard start >= 0, start <= past, start + tokens <= present else {
        throw mismatch("\(tokens) tokens behind \(start), with a past of \(past) and room for \(present)")
      }
      starts.append(start)
    }
    if op.flag("do_rotary"), let cosine = operands.tensor(7), let sine = operands.tensor(8) {
      let angles = try angles(cosine, sine, headSize: size, interleaved: op.flag("rotary_interleaved"))
      let positions = try operands.tensor(9)?.wholes(for: mnemonic)
      if let positions, positions.count != batch * tokens { throw mismatch("\(positions.count) positions for \(batch * tokens) tokens") }
      for sample in 0..<batch {
        for token in 0..<tokens {
          let place = try position(positions?[sample * tokens + token] ?? starts[sample] + token, of: angles)
          for head in 0..<heads { angles.turn(&values, from: (sample * tokens + token) * row + head * size, position: place) }
          for head in 0..<keyHeads {
            let first = (sample * tokens + token) * keyRow + keyFirst + head * size
            if packed { angles.turn(&values, from: first, position: place) } else { angles.turn(&newKeys, from: first, position: place) }
          }
        }
      }
    }
    for sample in 0..<batch {
      for head in 0..<keyHeads {
        let target = (sample * keyHeads + head) * present * size
        let source = (sample * keyHeads + head) * past * size
        for index in 0..<starts[sample] * size { (keys[target + index], cached[target + index]) = (oldKeys[source + index], oldValues[source + index]) }
        for token in 0..<tokens {
          let from = (sample * tokens + token) * keyRow + head * size
          let to = target + (starts[sample] + token) * size
          for channel in 0..<size {
            keys[to + channel] = packed ? values[from + keyFirst + channel] : newKeys[from + channel]
            cached[to + channel] = packed ? values[from + valueFirst + channel] : newValues[from + channel]
          }
        }
      }
    }
    let output = try attended(
      values, keys, cached, sizes: (batch, tokens, heads, keyHeads, size, present, row), starts: starts, bias: operands.tensor(10), sinks: operands.tensor(11))
    let results = [
      try Tensor(types[0].element, dims: types[0].dims, reals: output), try Tensor(types[1].element, dims: types[1].dims, reals: keys),
      try Tensor(types[2].element, dims: types[2].dims, reals: cached),
    ]
    return Array(results.prefix(resultCount))
  }

  private func attended(
    _ query: [Double], _ keys: [Double], _ values: [Double],
    sizes: (batch: Int, tokens: Int, heads: Int, keyHeads: Int, size: Int, present: Int, row: Int), starts: [Int], bias: Tensor?, sinks: Tensor?
  ) throws(Failure) -> [Double] {
    let (batch, tokens, heads, keyHeads, size, present, row) = sizes
    let scale = op.float("scale") == 0 ? 1 / Double(size).squareRoot() : op.float("scale")
    let (softcap, window) = (op.float("softcap"), op.int("local_window_size"))
    let biases = try bias?.reals(for: mnemonic)
    let sinks = try sinks?.reals(for: mnemonic) ?? (op.flag("smooth_softmax") ? [Double](repeating: 0, count: heads) : nil)
    if let bias {
      let fits =
        bias.dims.count == 4 && [1, batch].contains(bias.dims[0]) && [1, heads].contains(bias.dims[1]) && bias.dims[2] == tokens
        && bias.dims[3] >= (starts.max() ?? 0) + tokens
      guard fits else { throw mismatch("a bias of \(bias.dims)") }
    }
    var result = [Double](repeating: 0, count: batch * tokens * heads * size)
    for sample in 0..<batch {
      for head in 0..<heads {
        let keyFirst = (sample * keyHeads + head / (heads / keyHeads)) * present * size
        for token in 0..<tokens {
          let last = op.flag("causal") ? starts[sample] + token : starts[sample] + tokens - 1
          let first = window > 0 ? max(0, last - window + 1) : 0
          let from = (sample * tokens + token) * row + head * size
          var scores = (first...last).map { key -> Double in
            var sum = 0.0
            for channel in 0..<size { sum += query[from + channel] * keys[keyFirst + key * size + channel] }
            return sum * scale
          }
          if softcap > 0 { scores = scores.map { softcap * tanh($0 / softcap) } }
          if let biases, let bias {
            let start = (((bias.dims[0] == 1 ? 0 : sample) * bias.dims[1] + (bias.dims[1] == 1 ? 0 : head)) * tokens + token) * bias.dims[3]
            for index in scores.indices { scores[index] += biases[start + first + index] }
          }
          // A smooth softmax has one more score, of 0 or the head's own sink, that no value answers.
          let weights = sinks.map { Array(softmaxRow(scores + [$0[head]]).dropLast()) } ?? softmaxRow(scores)
          let to = (sample * tokens + token) * heads * size + head * size
          for (index, weight) in weights.enumerated() {
            for channel in 0..<size { result[to + channel] += weight * values[keyFirst + (first + index) * size + channel] }
          }
        }
      }
    }
    return result
  }
}

/// Inverse (com.microsoft): of square matrices, by elimination with the largest pivot.
struct MatrixInverse: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkFloat(x.type.element)
    if let shape = x.type.shape {
      guard shape.rank >= 2 else { throw mismatch("\(shape) is no matrix") }
      try checkAgree(shape[shape.rank - 1], shape[shape.rank - 2], "rows and columns of \(shape)")
    }
    return [Fact(x.type)]
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(macs: results.elementCount &* (results.first?.shape?.concrete?.last ?? 0)) }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let size = dims[dims.count - 1]
    let values = try operands.required(0).reals(for: mnemonic)
    var result: [Double] = []
    for start in stride(from: 0, to: values.count, by: max(size * size, 1)) {
      var left = (0..<size).map { Array(values[start + $0 * size..<start + ($0 + 1) * size]) }
      var right = (0..<size).map { row in (0..<size).map { $0 == row ? 1.0 : 0 } }
      for column in 0..<size {
        var pivot = column
        for row in column..<size where abs(left[row][column]) > abs(left[pivot][column]) { pivot = row }
        guard left[pivot][column] != 0, left[pivot][column].isFinite else { throw Failure(.kernelFailure, "\(mnemonic): a matrix has no inverse") }
        left.swapAt(column, pivot)
        right.swapAt(column, pivot)
        let factor = 1 / left[column][column]
        for index in 0..<size {
          left[column][index] *= factor
          right[column][index] *= factor
        }
        for row in 0..<size where row != column && left[row][column] != 0 {
          let share = left[row][column]
          for index in 0..<size {
            left[row][index] -= share * left[column][index]
            right[row][index] -= share * right[column][index]
          }
        }
      }
      result += right.flatMap { $0 }
    }
    return [try Tensor(element, dims: dims, reals: result)]
  }
}
