internal import Diagnostics
internal import GraphIR
internal import Recognition

/// Writes a fitted block as nodes: from X~ to the merged heads, before the output projection.
struct FCViTPatch {
  private var writer: PatchWriter
  private let fit: FCViTFit
  private let weights: BlockWeights
  /// X~ as (batch, token, channel).
  private let x: ValueID
  private var keys: ValueID?
  private var transposedInput: ValueID?

  private var grid: PatchGrid { fit.grid }

  /// Gives the writer with all nodes added, and the merged heads (batch, token, channel).
  static func merged(_ fit: FCViTFit, _ weights: BlockWeights, x: ValueID, writer: PatchWriter) throws(Failure) -> (PatchWriter, ValueID) {
    var made = FCViTPatch(writer: writer, fit: fit, weights: weights, x: x)
    let rows = try made.rows()
    return (made.writer, rows)
  }

  private init(writer: PatchWriter, fit: FCViTFit, weights: BlockWeights, x: ValueID) {
    self.writer = writer
    self.fit = fit
    self.weights = weights
    self.x = x
  }

  private mutating func rows() throws(Failure) -> ValueID {
    let channels = weights.mergedChannels
    let values = try writer.linear(
      x, transposed(weights.value, rows: channels, columns: weights.inputChannels), weights.valueBias, inputs: weights.inputChannels, "value")
    let byHead = writer.transpose(
      try writer.reshape(values, [-1, grid.tokens, weights.heads, weights.valueDim], "value.heads"), [0, 2, 1, 3], "value.by_head")
    let patches = try patchRows(values: values, byHead: byHead)
    if grid.prefix == 0 { return patches }
    return writer.concat([try prefixRows(byHead), patches], axis: 1, "rows")
  }

  /// Class and other prefix tokens attend exactly, their queries folded into input channels.
  private mutating func prefixRows(_ byHead: ValueID) throws(Failure) -> ValueID {
    let tokens = try writer.slice(x, axis: 1, 0..<grid.prefix, "prefix")
    let q = try queries(tokens, "prefix.query")
    var bias: [Double] = []
    if !weights.scoreBias.isEmpty {
      for head in 0..<weights.heads {
        let start = head * grid.tokens * grid.tokens
        bias += weights.scoreBias[start..<(start + grid.prefix * grid.tokens)]
      }
    }
    return try attended(try scores(q, rows: grid.prefix, bias: bias, "prefix"), byHead, rows: grid.prefix, "prefix")
  }

  // MARK: Patch rows

  private mutating func patchRows(values: ValueID, byHead: ValueID) throws(Failure) -> ValueID {
    let channels = weights.mergedChannels
    let context = try contextRows(values: values, byHead: byHead)
    if fit.isExact { return context }
    var rest = try upsampled(context)
    rest = writer.product(rest, try writer.constant("gain", fit.gain, [channels]), "context.scaled")
    if grid.prefix > 0 {
      let prefix = try writer.slice(values, axis: 1, 0..<grid.prefix, "value.prefix")
      let gains = try writer.constant("prefix.gain", transposed(fit.prefixGain, rows: channels, columns: grid.prefix), [grid.prefix, channels])
      var share = writer.product(prefix, gains, "prefix.scaled")
      if grid.prefix > 1 { share = try writer.reduce(.sum, share, axis: 1, "prefix.sum") }
      rest = writer.sum(rest, share, "context.prefix")
    }
    guard fit.setting.kernel > 0 else { return try withoutFilter(rest) }
    return writer.sum(try filtered(values), rest, "patches")
  }

  /// Without a filter one context still has to reach every patch.
  private mutating func withoutFilter(_ rest: ValueID) throws(Failure) -> ValueID {
    let channels = weights.mergedChannels
    if fit.setting.contexts.count > 1 { return writer.sum(rest, try writer.constant("offset", fit.offset, [channels]), "patches") }
    let everywhere = (0..<grid.patches).flatMap { _ in fit.offset }
    return writer.sum(rest, try writer.constant("offset", everywhere, [grid.patches, channels]), "patches")
  }

  /// The depth-wise convolution over the patch grid, its offset included: (batch, patch, channel).
  private mutating func filtered(_ values: ValueID) throws(Failure) -> ValueID {
    let (channels, kernel) = (weights.mergedChannels, fit.setting.kernel)
    let patches = try writer.slice(values, axis: 1, grid.prefix..<grid.tokens, "value.patches")
    let image = try writer.reshape(writer.transpose(patches, [0, 2, 1], "value.channels"), [-1, channels, grid.height, grid.width], "value.grid")
    let filter = try writer.constant("filter", fit.taps, [channels, 1, kernel, kernel])
    let offset = try writer.constant("offset", fit.offset, [channels])
    let window = Window(kernel: [kernel, kernel], strides: [1, 1], dilations: [1, 1], padding: .explicit([Int](repeating: kernel / 2, count: 4)))
    let convolved = writer.add(.convolution(.conv(window, groups: channels)), [image, filter, offset], "filtered")
    return writer.transpose(try writer.reshape(convolved, [-1, channels, grid.patches], "filtered.channels"), [0, 2, 1], "filtered.patches")
  }

  // MARK: Contexts

  /// The contexts as (batch, context, channel).
  private mutating func contextRows(values: ValueID, byHead: ValueID) throws(Failure) -> ValueID {
    let count = fit.setting.contexts.count
    let pooling = fit.setting.contexts.pooling(of: grid)
    var bias = AttentionNumerics(weights: weights, grid: grid).pooledBias(pooling, contexts: count)
    let size = count * grid.tokens
    for index in bias.indices { bias[index] *= fit.temperature[index / size] }

    if fit.setting.heads == .shared { return try sharedContextRows(values: values, count: count, bias: bias) }
    let scores: ValueID
    if let queries = fit.staticQueries {
      scores = try staticScores(queries, count: count, bias: bias)
    } else {
      let q = try tempered(try queries(try pooled(), "context.query"), count: count)
      scores = try self.scores(q, rows: count, bias: bias, "context")
    }
    return try attended(scores, byHead, rows: count, "context")
  }

  /// Queries of heads whose temperature is not one are scaled by it.
  private mutating func tempered(_ q: ValueID, count: Int) throws(Failure) -> ValueID {
    if fit.temperature.allSatisfy({ $0 == 1 }) { return q }
    let scale = fit.temperature.flatMap { [Double](repeating: $0, count: weights.headDim) }
    return writer.product(q, try writer.constant("temperature", scale, [scale.count]), "context.tempered")
  }

  /// Scores of queries that are constants: one product with the tokens.
  private mutating func staticScores(_ queries: [Double], count: Int, bias: [Double]) throws(Failure) -> ValueID {
    var u = AttentionNumerics(weights: weights, grid: grid).folded(queries, rows: count)
    let rows = weights.heads * count
    for index in u.indices { u[index] *= fit.temperature[index / (count * weights.inputChannels)] }
    let folded = try writer.constant("context.folded", transposed(u, rows: rows, columns: weights.inputChannels), [weights.inputChannels, rows])
    let scores = writer.transpose(writer.matMul(x, folded, "context.scores"), [0, 2, 1], "context.scores.rows")
    return try biased(try writer.reshape(scores, [-1, weights.heads, count, grid.tokens], "context.scores.by_head"), bias, rows: count, "context")
  }

  /// One map for all heads, from the mean of the folded queries: the contexts come out with heads already merged.
  private mutating func sharedContextRows(values: ValueID, count: Int, bias: [Double]) throws(Failure) -> ValueID {
    let channels = weights.inputChannels
    let heads = Double(weights.heads)
    var meanBias = [Double](repeating: 0, count: bias.isEmpty ? 0 : count * grid.tokens)
    for index in bias.indices { meanBias[index % meanBias.count] += bias[index] / heads }
    var scores: ValueID
    if let queries = fit.staticQueries {
      let u = AttentionNumerics(weights: weights, grid: grid).folded(queries, rows: count)
      var mean = [Double](repeating: 0, count: count * channels)
      for index in u.indices { mean[index % mean.count] += fit.temperature[0] * u[index] / heads }
      let folded = try writer.constant("context.folded", transposed(mean, rows: count, columns: channels), [channels, count])
      scores = writer.transpose(writer.matMul(x, folded, "context.scores"), [0, 2, 1], "context.scores.rows")
    } else {
      // sum over heads of Wk_h q_h is one product with all of Wk.
      let q = try tempered(try queries(try pooled(), "context.query"), count: count)
      let fold = transposed(weights.keyFold, rows: channels, columns: weights.heads * weights.headDim).map { $0 / heads }
      let u = writer.matMul(q, try writer.constant("context.fold", fold, [weights.heads * weights.headDim, channels]), "context.folded")
      scores = writer.matMul(u, inputTransposed(), "context.scores")
    }
    if !meanBias.isEmpty { scores = writer.sum(scores, try writer.constant("context.bias", meanBias, [1, count, grid.tokens]), "context.scores.biased") }
    let map = writer.add(.softmax(.softmax(axis: -1)), [scores], "context.map")
    return writer.matMul(map, values, "context.rows")
  }

  /// Means of the patch tokens over the cells of the contexts: (batch, context, channel).
  private mutating func pooled() throws(Failure) -> ValueID {
    let contexts = fit.setting.contexts
    let patches = grid.prefix == 0 ? x : try writer.slice(x, axis: 1, grid.prefix..<grid.tokens, "patches.in")
    if contexts.isExact(on: grid) { return patches }
    if contexts.count == 1 { return try writer.reduce(.mean, patches, axis: 1, "pooled") }
    return try resampled(
      patches, GridResampling.pooling(from: grid.height, to: contexts.height), GridResampling.pooling(from: grid.width, to: contexts.width),
      from: (grid.height, grid.width), to: (contexts.height, contexts.width), channels: weights.inputChannels, "pooled")
  }

  /// The contexts spread over the patch grid; a single one stays as it is and is broadcast.
  private mutating func upsampled(_ context: ValueID) throws(Failure) -> ValueID {
    let contexts = fit.setting.contexts
    if contexts.count == 1 { return context }
    return try resampled(
      context, GridResampling.upsampling(from: contexts.height, to: grid.height), GridResampling.upsampling(from: contexts.width, to: grid.width),
      from: (contexts.height, contexts.width), to: (grid.height, grid.width), channels: weights.mergedChannels, "context.map_grid")
  }

  /// Rows and columns of a (batch, place, channel) grid brought to other sizes by one constant product each.
  private mutating func resampled(
    _ value: ValueID, _ rows: [Double], _ columns: [Double], from: (height: Int, width: Int), to: (height: Int, width: Int), channels: Int, _ name: String
  ) throws(Failure) -> ValueID {
    var result = value
    if from.height != to.height {
      result = try writer.reshape(result, [-1, from.height, from.width * channels], "\(name).rows")
      result = writer.matMul(try writer.constant("\(name).row_weights", rows, [to.height, from.height]), result, "\(name).rows_resampled")
    }
    if from.width != to.width {
      result = try writer.reshape(result, [-1, to.height, from.width, channels], "\(name).columns")
      result = writer.matMul(try writer.constant("\(name).column_weights", columns, [to.width, from.width]), result, "\(name).columns_resampled")
    }
    return try writer.reshape(result, [-1, to.height * to.width, channels], name)
  }

  // MARK: Attention of some queries

  /// `s (z Wq + bq)`: (batch, row, heads * headDim).
  private mutating func queries(_ z: ValueID, _ name: String) throws(Failure) -> ValueID {
    let width = weights.heads * weights.headDim
    let weight = transposed(weights.query, rows: width, columns: weights.inputChannels).map { $0 * weights.scale }
    return try writer.linear(z, weight, weights.queryBias.map { $0 * weights.scale }, inputs: weights.inputChannels, name)
  }

  /// Scores of `rows` queries against all tokens, (batch, head, row, token), by the cheaper of two ways: queries folded
  /// into input channels, or keys projected once.
  private mutating func scores(_ q: ValueID, rows: Int, bias: [Double], _ name: String) throws(Failure) -> ValueID {
    let (heads, dim, channels) = (weights.heads, weights.headDim, weights.inputChannels)
    let split = try writer.reshape(q, [-1, rows, heads, dim], "\(name).query.heads")
    let byHead = writer.transpose(split, [0, 2, 1, 3], "\(name).query.by_head")
    let result: ValueID
    if FCViTCost.foldsKeys(rows: rows, weights: weights, tokens: grid.tokens, keysAreThere: keys != nil) {
      var fold = [Double](repeating: 0, count: weights.keyFold.count)
      for c in 0..<channels {
        for h in 0..<(heads * dim) { fold[h * channels + c] = weights.keyFold[c * heads * dim + h] }
      }
      let folded = writer.matMul(byHead, try writer.constant("\(name).fold", fold, [heads, dim, channels]), "\(name).folded")
      let flat = try writer.reshape(folded, [-1, heads * rows, channels], "\(name).folded.rows")
      result = try writer.reshape(writer.matMul(flat, inputTransposed(), "\(name).scores.rows"), [-1, heads, rows, grid.tokens], "\(name).scores")
    } else {
      result = writer.matMul(byHead, try projectedKeys(), "\(name).scores")
    }
    return try biased(result, bias, rows: rows, name)
  }

  private mutating func biased(_ scores: ValueID, _ bias: [Double], rows: Int, _ name: String) throws(Failure) -> ValueID {
    if bias.isEmpty { return scores }
    return writer.sum(scores, try writer.constant("\(name).bias", bias, [1, weights.heads, rows, grid.tokens]), "\(name).scores.biased")
  }

  /// Softmax over the tokens, the product with V, and heads merged: (batch, row, channel).
  private mutating func attended(_ scores: ValueID, _ byHead: ValueID, rows: Int, _ name: String) throws(Failure) -> ValueID {
    let map = writer.add(.softmax(.softmax(axis: -1)), [scores], "\(name).map")
    let sums = writer.transpose(writer.matMul(map, byHead, "\(name).sums"), [0, 2, 1, 3], "\(name).sums.by_row")
    return try writer.reshape(sums, [-1, rows, weights.mergedChannels], "\(name).rows")
  }

  /// X~ as (batch, channel, token).
  private mutating func inputTransposed() -> ValueID {
    if let transposedInput { return transposedInput }
    let result = writer.transpose(x, [0, 2, 1], "input.channels")
    transposedInput = result
    return result
  }

  /// K as (batch, head, channel, token), without its bias, which cancels in the softmax.
  private mutating func projectedKeys() throws(Failure) -> ValueID {
    if let keys { return keys }
    let width = weights.heads * weights.headDim
    let projected = try writer.linear(x, weights.keyFold, [Double](repeating: 0, count: width), inputs: weights.inputChannels, "key")
    let split = try writer.reshape(projected, [-1, grid.tokens, weights.heads, weights.headDim], "key.heads")
    let result = writer.transpose(split, [0, 2, 3, 1], "key.by_head")
    keys = result
    return result
  }
}
