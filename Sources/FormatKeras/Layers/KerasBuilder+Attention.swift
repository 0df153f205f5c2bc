internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// MultiHeadAttention, and GroupQueryAttention, whose keys and values have fewer heads.
  mutating func multiHeadAttention(_ call: LayerCall) throws(Failure) -> [ValueID] {
    let isGrouped = call.layer.className != "MultiHeadAttention"
    let heads = try call.positive(isGrouped ? "num_query_heads" : "num_heads")
    let keyHeads = isGrouped ? try call.positive("num_key_value_heads") : heads
    let headDim = try call.positive(isGrouped ? "head_dim" : "key_dim")
    let valueDim = isGrouped ? headDim : call.config["value_dim"] == nil ? headDim : try call.positive("value_dim")
    guard heads % keyHeads == 0 else { throw call.wrong("\(heads) query heads over \(keyHeads) key heads") }
    guard let (rows, overflow) = Optional(heads.multipliedReportingOverflow(by: max(headDim, valueDim))), !overflow, rows < 1 << 40 else {
      throw call.wrong("\(heads) heads of \(headDim)")
    }

    let queryArgument = call.argument(0, "query")
    let valueArgument = call.argument(1, "value")
    let keyArgument = call.argument(2, "key")
    let query = try autocast(try value(queryArgument, call), call)
    let values = try autocast(try value(valueArgument, call), call)
    let key = keyArgument == nil ? values : try autocast(try value(keyArgument, call), call)
    let rank = try e.rank(query)
    guard rank >= 3, try e.rank(key) == rank, try e.rank(values) == rank else { throw call.wrong("query, key and value have ranks that do not fit") }
    var axes: [Int] = []
    for axis in call.config["attention_axes"]?.ints ?? (call.config["attention_axes"]?.int).map({ [$0] }) ?? Array(1..<(rank - 1)) {
      axes.append(try e.axis(axis, rank: rank))
    }
    guard !axes.isEmpty, axes.allSatisfy({ (1..<(rank - 1)).contains($0) }), Set(axes).count == axes.count else {
      throw call.wrong("'attention_axes' is wrong")
    }
    axes.sort()

    // Other axes are a batch; attention axes become one.
    let free = (1..<(rank - 1)).filter { !axes.contains($0) }
    let order = [0] + free + axes + [rank - 1]
    func flattened(_ x: ValueID, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
      let turned = try builder.e.transpose(x, order)
      let dims = try builder.e.shape(turned)
      if rank == 3 { return turned }
      guard let batch = Shape.product(dims[...free.count]), let tokens = Shape.product(dims[(1 + free.count)..<(rank - 1)]) else {
        throw call.wrong("its shape overflows")
      }
      return try builder.e.reshape(turned, [batch, tokens, dims[rank - 1]])
    }
    let (q, k, v) = (try flattened(query, &self), key == values ? nil : try flattened(key, &self), try flattened(values, &self))
    let keys = k ?? v
    let tokens = try e.shape(q)[1]
    let sources = try e.shape(keys)[1]
    let batch = try e.shape(q)[0]

    // Projections
    func projected(_ x: ValueID, _ name: String, _ heads: Int, _ size: Int, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
      let width = try builder.e.size(x, 2)
      let path = call.path.sub(name, name == "gate" ? ["_gate_dense", "gate_dense"] : ["\(name)_dense", "_\(name)_dense"])
      let outer = builder.e.scope
      builder.e.scope = path.name
      defer { builder.e.scope = outer }
      let hasBias = call.flag("use_bias", true)
      var y = try builder.kernelProduct(x, DenseKernel(path: path, rows: [width], columns: [heads, size], hasBias: hasBias), call)
      if call.flag("use_bias", true) {
        y = try builder.e.add(
          y, try builder.variable(call, path, ["bias"], 1, dims: [heads, size]) { (tensor) throws(Failure) in try tensor.reshaped([heads * size]) })
      }
      return y
    }
    func split(_ x: ValueID, _ heads: Int, _ size: Int, _ tokens: Dim, _ order: [Int], _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
      let own = try builder.e.shape(x)
      return try builder.e.transpose(try builder.e.reshape(x, [own[0], tokens, Dim(heads), Dim(size)]), order)
    }
    let queryHeads = try split(try projected(q, "query", heads, headDim, &self), heads, headDim, tokens, [0, 2, 1, 3], &self)
    var valueHeads = try split(try projected(v, "value", keyHeads, valueDim, &self), keyHeads, valueDim, sources, [0, 2, 1, 3], &self)
    let keyProjection = try projected(keys, "key", keyHeads, headDim, &self)
    var keyHeadsValue: ValueID
    if heads == keyHeads {
      keyHeadsValue = try split(keyProjection, keyHeads, headDim, sources, [0, 2, 3, 1], &self)
    } else {
      keyHeadsValue = try e.transpose(try repeated(try split(keyProjection, keyHeads, headDim, sources, [0, 2, 1, 3], &self), heads / keyHeads), [0, 1, 3, 2])
      valueHeads = try repeated(valueHeads, heads / keyHeads)
    }
    let scaled = try e.multiply(queryHeads, 1 / Double(headDim).squareRoot(), "Scale")
    var scores = try e.matMul(scaled, keyHeadsValue, "Scores")

    // Masks
    let returnsScores = call.argument(Int.max, "return_attention_scores")?.bool ?? false
    let isFused = version == 3 && rank == 3 && !returnsScores && call.number("dropout", 0) == 0
    var condition: ValueID?
    func join(_ mask: ValueID, _ builder: inout KerasBuilder) throws(Failure) {
      condition = if let known = condition { try builder.e.emit(.binary(.and), [known, mask], "And") } else { mask }
    }
    let isCausal = call.argument(Int.max, "use_causal_mask")?.bool ?? false
    let window = call.config["sliding_window"]?.int
    if isCausal || window != nil, tokens.value == nil || sources.value == nil {
      try join(try openMask(scores, isCausal: isCausal, window: window), &self)
    } else if isCausal || window != nil {
      guard let rows = tokens.value, let columns = sources.value, let count = [rows, columns].checkedProduct, count <= 1 << 26 else {
        throw call.refused("a causal mask over so many tokens")
      }
      var allowed: [UInt8] = []
      allowed.reserveCapacity(count)
      for row in 0..<rows {
        for column in 0..<columns { allowed.append((!isCausal || column <= row) && (window.map { abs(row - column) < $0 } ?? true) ? 1 : 0) }
      }
      let isMasked = ["attention_mask", "query_mask", "value_mask", "key_mask"].contains { call.argument(Int.max, $0) != nil }
      if !isMasked, [queryArgument, valueArgument, keyArgument].allSatisfy({ implicitMask($0) == nil }) {
        // Known in full: a constant term, as exporters spell it.
        let blocked = version == 2 ? -1e9 : isFused ? lowest(try e.element(scores)) : try e.element(scores) == .float16 ? -3e4 : -1e9
        let term = try e.floats(allowed.map { $0 == 1 ? 0 : blocked }, dims: [1, 1, rows, columns], try e.element(scores), "mask")
        scores = try e.add(scores, term, "Mask")
      } else {
        try join(e.constant("mask", try Tensor(.bool, dims: [1, 1, rows, columns], values: allowed)), &self)
      }
    }
    if let mask = call.argument(Int.max, "attention_mask") ?? (call.positional.count > 3 ? call.argument(3, "") : nil) {
      var mask = try value(mask, call)
      if try e.element(mask) != .bool { mask = try e.emit(.cast(to: .bool), [mask], "Cast") }
      if rank == 3 {
        if try e.rank(mask) == 3 { mask = try e.unsqueeze(mask, [1]) }
      } else {
        guard axes.count == 1, free.count == 1, try e.rank(mask) == 4, try e.shape(mask)[0].value == 1 else {
          throw call.refused("a mask over several axes of tokens")
        }
        // (1, W, T, S) becomes a mask for each window, repeated over the batch.
        let dims = try e.shape(scores)
        let windows = try e.shape(mask)[1]
        guard let outer = dims[0].dividedExactly(by: windows) else { throw call.refused("a mask that does not divide the batch") }
        let split = try e.reshape(scores, [outer, windows, dims[1], dims[2], dims[3]])
        let masked = try masked(split, try e.unsqueeze(mask, [2]), isFused: isFused)
        scores = try e.reshape(masked, dims)
        condition = nil
      }
      if rank == 3 { try join(mask, &self) }
    }
    if rank == 3 {
      // (B, T, 1), (B, 1, S), (B, 1, S), at the heads' axis.
      if let mask = try operandMask(queryArgument, "query_mask", call) { try join(try e.unsqueeze(mask, [1, 3]), &self) }
      if let mask = try operandMask(valueArgument, "value_mask", call) { try join(try e.unsqueeze(mask, [1, 2]), &self) }
      if let mask = try operandMask(keyArgument, "key_mask", call) { try join(try e.unsqueeze(mask, [1, 2]), &self) }
    }
    if let condition {
      let type = try e.type(scores)
      scores = try masked(scores, condition, isFused: isFused)
      // A mask of open size does not widen them.
      e.declare(scores, type)
    }
    var weights = try e.softmax(scores)
    if let condition, version == 3, !isFused {
      // Keras 3 zeroes what was masked, so that a row without any source gives nothing.
      weights = try e.select(condition, weights, try e.scalar(0, like: weights))
    }

    // Results
    let mixed = try e.matMul(weights, valueHeads, "Context")
    var joined = try e.reshape(try e.transpose(mixed, [0, 2, 1, 3]), [batch, tokens, Dim(heads * valueDim)])
    if call.flag("use_gate", false) {
      joined = try e.multiply(joined, try e.unary(.sigmoid, try projected(q, "gate", heads, valueDim, &self), "Sigmoid"))
    }
    let path = call.path.sub("attention_output", ["output_dense", "_output_dense"])
    let outer = e.scope
    e.scope = path.name
    let width = try e.size(query, rank - 1)
    let outputShape = isGrouped ? [width] : call.config["output_shape"]?.ints ?? (call.config["output_shape"]?.int).map { [$0] } ?? [width]
    guard let columns = outputShape.checkedProduct, columns > 0 else { throw call.wrong("'output_shape' is wrong") }
    var y = try kernelProduct(
      joined, DenseKernel(path: path, rows: [heads, valueDim], columns: outputShape, hasBias: call.flag("use_bias", true)), call)
    if call.flag("use_bias", true) {
      y = try e.add(y, try variable(call, path, ["bias"], 1, dims: outputShape.map { $0 }) { (tensor) throws(Failure) in try tensor.reshaped([columns]) })
    }
    e.scope = outer

    // Back to the axes of the query
    if rank > 3 {
      let dims = try e.shape(query)
      let back = [dims[0]] + free.map { dims[$0] } + axes.map { dims[$0] } + [Dim(columns)]
      y = try e.reshape(y, back)
      var inverse = [Int](repeating: 0, count: rank)
      for (position, axis) in order.enumerated() { inverse[axis] = position }
      y = try e.transpose(y, inverse)
    }
    if outputShape.count > 1 { y = try e.reshape(y, (try e.shape(y)).dropLast() + outputShape.map { Dim($0) }) }
    let queryMask = try operandMask(queryArgument, "query_mask", call)
    if version == 3 {
      // Keras 3 takes the masks off its operands, so that whoever reads them later sees none.
      for argument in [queryArgument, valueArgument, keyArgument] { if case .tensor(let id)? = argument { masks[id] = nil } }
    }
    masks[y] = queryMask
    guard returnsScores else { return [y] }
    if rank == 3 { return [y, weights] }
    // (batch, free…, heads, queries…, keys…)
    let (own, other) = (try e.shape(query), try e.shape(key))
    let split = try e.reshape(weights, [own[0]] + free.map { own[$0] } + [Dim(heads)] + axes.map { own[$0] } + axes.map { other[$0] })
    return [y, split]
  }

  /// The mask that the call gives for an operand, or else the one that the operand bears.
  private mutating func operandMask(_ argument: Argument?, _ name: String, _ call: LayerCall) throws(Failure) -> ValueID? {
    // MultiHeadAttention takes no other mask for queries than the one that they bear.
    let isPassedOver = name == "query_mask" && call.layer.className == "MultiHeadAttention"
    guard !isPassedOver, let given = call.argument(Int.max, name) else { return implicitMask(argument) }
    let mask = try value(given, call)
    return try e.element(mask) == .bool ? mask : try e.emit(.cast(to: .bool), [mask], "Cast")
  }

  private func implicitMask(_ argument: Argument?) -> ValueID? {
    if case .tensor(let id)? = argument { masks[id] } else { nil }
  }

  /// Keras's number for "blocked" on its fused path: -0.7 times the largest of the type.
  private func lowest(_ type: ElementType) -> Double { type == .float16 ? -0.7 * 65504 : -0.7 * Double(Float.greatestFiniteMagnitude) }

  private mutating func masked(_ scores: ValueID, _ condition: ValueID, isFused: Bool) throws(Failure) -> ValueID {
    if version == 2 {
      // scores + (1 − mask)·(−1e9)
      let blocked = try e.select(condition, try e.scalar(0, like: scores), try e.scalar(-1e9, like: scores))
      return try e.add(scores, blocked, "Mask")
    }
    let element = try e.element(scores)
    let number = isFused ? lowest(element) : element == .float16 ? -3e4 : -1e9
    return try e.select(condition, scores, try e.scalar(number, like: scores), "Mask")
  }

  /// Which keys a query may see where only the run knows how many there are: (T, S) of bool for scores (…, T, S).
  mutating func openMask(_ scores: ValueID, isCausal: Bool, window: Int?) throws(Failure) -> ValueID {
    let rank = try e.rank(scores)
    func places(_ axis: Int, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
      let size = try builder.e.emit(.generator(.shape(start: axis, end: axis + 1)), [scores], "Shape")
      let (start, step) = (try builder.e.constantScalar(0), try builder.e.constantScalar(1))
      return try builder.e.emit(.generator(.range), [start, try builder.e.squeeze(size, [0]), step], "Range")
    }
    let rows = try e.unsqueeze(try places(rank - 2, &self), [1])
    let distance = try e.subtract(rows, try e.unsqueeze(try places(rank - 1, &self), [0]))
    var allowed: ValueID?
    if isCausal { allowed = try e.emit(.binary(.greaterOrEqual), [distance, try e.constantScalar(0)], "GreaterOrEqual") }
    if let window {
      let isNear = try e.emit(.binary(.less), [try e.unary(.abs, distance, "Abs"), try e.constantScalar(Int64(window))], "Less")
      allowed = try allowed.map { (other) throws(Failure) in try e.emit(.binary(.and), [other, isNear], "And") } ?? isNear
    }
    guard let allowed else { throw Failure(.internalError, "a mask that masks nothing", at: .element(e.scope)) }
    return allowed
  }

  /// Each head of (B, H, T, d) several times in a row.
  mutating func repeated(_ x: ValueID, _ times: Int) throws(Failure) -> ValueID {
    let dims = try e.shape(x)
    let tiled = try e.emit(.layout(.tile), [try e.unsqueeze(x, [2]), try e.integers([1, 1, times, 1, 1])], "Repeat")
    guard let heads = dims[1].multiplied(by: Dim(times)) else { throw Failure(.sizeOverflow, "too many heads", at: .element(e.scope)) }
    return try e.reshape(tiled, [dims[0], heads, dims[2], dims[3]])
  }

  /// Attention (dot or concatenated scores) and AdditiveAttention: one head, no projections; called with [query, value, key].
  mutating func scoreAttention(_ call: LayerCall) throws(Failure) -> [ValueID] {
    let entries = try tensors(call.argument(0, "inputs"), call)
    guard entries.count == 2 || entries.count == 3 else { throw call.wrong("it is called with \(entries.count) values") }
    let query = try autocast(try value(entries[0], call), call)
    let values = try autocast(try value(entries[1], call), call)
    let key = entries.count == 3 ? try autocast(try value(entries[2], call), call) : values
    let isAdditive = call.layer.className == "AdditiveAttention"
    let usesScale = call.flag("use_scale", isAdditive)
    var scores: ValueID
    if !isAdditive, call.word("score_mode", "dot") == "dot" || call.config["score_mode"]?.object != nil {
      scores = try e.matMul(query, try e.transpose(key, [0, 2, 1]), "Scores")
      if usesScale { scores = try e.multiply(scores, try variable(call, ["scale"], 0)) }
    } else {
      var sum = try e.add(try e.unsqueeze(query, [2]), try e.unsqueeze(key, [1]))
      if isAdditive {
        sum = try e.unary(.tanh, sum, "Tanh")
        if usesScale { sum = try e.multiply(sum, try variable(call, ["scale"], 0)) }
        scores = try e.reduce(.sum, sum, axes: [-1], keep: false, "ReduceSum")
      } else {
        if usesScale { sum = try e.multiply(sum, try variable(call, ["scale"], 0)) }
        scores = try e.reduce(.sum, try e.unary(.tanh, sum, "Tanh"), axes: [-1], keep: false, "ReduceSum")
        scores = try e.multiply(scores, try variable(call, ["concat_score_weight"], usesScale ? 1 : 0))
      }
    }
    let blocked = try e.element(scores) == .float16 ? -65504.0 : -1e9
    if call.argument(Int.max, "use_causal_mask")?.bool ?? call.flag("causal", false) {
      let dims = try e.shape(scores)
      let term: ValueID
      if let rows = dims[1].value, let columns = dims[2].value {
        guard let count = [rows, columns].checkedProduct, count <= 1 << 26 else { throw call.refused("a causal mask over so many tokens") }
        var terms: [Double] = []
        terms.reserveCapacity(count)
        for row in 0..<rows { for column in 0..<columns { terms.append(column <= row ? 0 : blocked) } }
        term = try e.floats(terms, dims: [1, rows, columns], try e.element(scores), "mask")
      } else {
        let allowed = try openMask(scores, isCausal: true, window: nil)
        term = try e.select(allowed, try e.scalar(0, like: scores), try e.scalar(blocked, like: scores))
      }
      let type = try e.type(scores)
      scores = try e.add(scores, term, "Mask")
      e.declare(scores, type)
    }
    var maskEntries: [Argument] = []
    if case .list(let given)? = call.argument(1, "mask") { maskEntries = given }
    let queryMask = try maskEntries.first.flatMap { (entry) throws(Failure) in entry.isNone ? nil : try value(entry, call) } ?? implicitMask(entries[0])
    let valueMask =
      try maskEntries.dropFirst().first.flatMap { (entry) throws(Failure) in entry.isNone ? nil : try value(entry, call) } ?? implicitMask(entries[1])
    if let valueMask {
      let term = try e.select(try e.unsqueeze(valueMask, [1]), try e.scalar(0, like: scores), try e.scalar(blocked, like: scores))
      scores = try e.add(scores, term, "Mask")
    }
    let weights = try e.softmax(scores)
    var y = try e.matMul(weights, values, "Context")
    if let queryMask {
      y = try e.multiply(y, try e.cast(try e.unsqueeze(queryMask, [2]), try e.element(y)))
      masks[y] = queryMask
    }
    return call.argument(Int.max, "return_attention_scores")?.bool ?? false ? [y, weights] : [y]
  }
}

extension Optional {
  /// `flatMap` with the project's error type.
  fileprivate func flatMap<R>(_ body: (Wrapped) throws(Failure) -> R?) throws(Failure) -> R? {
    if let value = self { try body(value) } else { nil }
  }
}
