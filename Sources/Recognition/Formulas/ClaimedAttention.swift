public import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Attention with a softmax (Vaswani et al. 2017), tokens to tokens or channels to channels, as its report claims it:
///
///     softmax(scale Q K' + bias) V W + b, heads side by side, Q, K and V linear layers of tokens
///
/// Groups of tokens that attend apart (samples, windows, lines) are one axis, so that windowed, dilated and axial families
/// differ in how tokens are laid out and in nothing else; fewer heads of keys than of queries are repeated.
public struct ClaimedAttention: ClaimedFormula {
  /// What happens to the scores between scale and softmax, and to the probabilities behind it, in order.
  enum Step: Sendable {
    /// A tensor added to them, laid out in roles.
    case bias(ValueID, [[AxisFactor]])
    /// A tensor that multiplies them: a temperature for each head.
    case factor(ValueID, [[AxisFactor]])
    /// Scores are replaced by a number where a condition holds, or where it does not.
    case mask(ValueID, [[AxisFactor]], fill: Double, whereTrue: Bool)
    /// Heads mixed by a constant (heads in, heads out) and a bias for each.
    case mix(WeightView, bias: ValueID?)
  }
  /// The last linear layer: what it reads lies as `axes` in roles, channels on `channelAxis`.
  struct Output: Sendable {
    var weight: WeightView
    var bias: ValueID?
    var axes: [[AxisFactor]]
    var channelAxis: Int
  }

  public var heads: Int
  /// Heads of keys and values.
  public var keyHeads: Int
  public var headDim: Int
  public var valueDim: Int
  /// What the scores are multiplied by, where queries and keys do not carry it yet.
  public var scale: Double
  /// Whether each query sees itself and what precedes it alone.
  public var causal: Bool
  public var query, key, value: ClaimedOperand
  /// Whether channels attend to channels.
  var contractsTokens: Bool
  var groups: [AxisFactor]
  var headParts: [AxisFactor]
  var before: [Step]
  var after: [Step]
  /// The axes of `gives` in roles.
  var axes: [[AxisFactor]]
  var output: Output?
  /// Queries and keys of the map, or the channels that stand for them.
  var queries, keys: AxisFactor
  /// What the result's axes besides groups and heads run over.
  var resultToken, resultElement: AxisFactor
  public let gives: ValueID
  public let isWhole: Bool

  public var reads: [ValueID] {
    query.reads + key.reads + value.reads
      + (before + after).compactMap { step in
        switch step {
        case .bias(let value, _), .factor(let value, _), .mask(let value, _, _, _): value
        case .mix(_, let bias): bias
        }
      }
  }

  // MARK: Writing

  public func write(_ writer: inout FormulaWriter) throws(Unwritten) -> ValueID {
    let count = try writer.sized(headParts).map(\.size).checkedProduct ?? 1
    guard count == heads, keyHeads > 0, heads % keyHeads == 0 else { throw .misfit }
    var q = try query.written(&writer, groups: groups, heads: headParts, count: heads, elements: headDim)
    var k = try key.written(&writer, groups: groups, heads: headParts, count: keyHeads, elements: headDim)
    var v = try value.written(&writer, groups: groups, heads: headParts, count: keyHeads, elements: valueDim)
    if contractsTokens { q = writer.transpose(q, [0, 1, 3, 2]) } else { k = writer.transpose(k, [0, 1, 3, 2]) }
    if contractsTokens { v = writer.transpose(v, [0, 1, 3, 2]) }
    var map = try writer.multiply(writer.matMul(q, k), scale)
    for step in before { map = try written(step, map, &writer) }
    if causal { map = writer.add(map, try mask(&writer)) }
    map = writer.softmax(map, axis: 3)
    for step in after { map = try written(step, map, &writer) }
    var result = writer.matMul(map, v)
    if contractsTokens { result = writer.transpose(result, [0, 1, 3, 2]) }
    return try joined(result, &writer)
  }

  private func written(_ step: Step, _ map: ValueID, _ writer: inout FormulaWriter) throws(Unwritten) -> ValueID {
    let target = [groups, headParts, [queries], [keys]]
    switch step {
    case .bias(let value, let axes):
      return writer.add(map, try writer.arranged(try writer.tensor(value), axes, target, expanding: true))
    case .factor(let value, let axes):
      return writer.multiply(map, try writer.arranged(try writer.tensor(value), axes, target, expanding: true))
    case .mask(let value, let axes, let fill, let whereTrue):
      let condition = try writer.arranged(try writer.tensor(value), axes, target, expanding: true)
      let number = try writer.constant([fill], dims: [])
      return writer.node(.select, whereTrue ? [condition, number, map] : [condition, map, number])
    case .mix(let weight, let bias):
      var mixed = try writer.linear(writer.transpose(map, [0, 2, 3, 1]), weight)
      if let bias { mixed = writer.add(mixed, try writer.reshape(try writer.tensor(bias), [weight.columns])) }
      return writer.transpose(mixed, [0, 3, 1, 2])
    }
  }

  /// 0 for keys up to the query, a number that hides for those behind it: (1, 1, query, key).
  private func mask(_ writer: inout FormulaWriter) throws(Unwritten) -> ValueID {
    let (rows, columns) = (try writer.size(queries.size), try writer.size(keys.size))
    guard let count = [rows, columns].checkedProduct, count <= 1 << 24 else { throw .open }
    return try writer.constant((0..<count).map { $0 % columns > $0 / columns ? -1e30 : 0 }, dims: [1, 1, rows, columns])
  }

  /// Heads side by side, through the last layer.
  private func joined(_ result: ValueID, _ writer: inout FormulaWriter) throws(Unwritten) -> ValueID {
    let own = [groups, headParts, [resultToken], [resultElement]]
    guard let output else { return try writer.arranged(result, own, axes) }
    let rank = output.axes.count
    guard output.axes.indices.contains(output.channelAxis) else { throw .open }
    var y = try writer.arranged(result, own, output.axes)
    let last = (0..<rank).filter { $0 != output.channelAxis } + [output.channelAxis]
    y = writer.transpose(y, last)
    y = try writer.linear(y, output.weight)
    if let bias = output.bias { y = writer.add(y, try writer.reshape(try writer.tensor(bias), [output.weight.columns])) }
    var back = [Int](repeating: 0, count: rank)
    for (place, axis) in last.enumerated() { back[axis] = place }
    return writer.transpose(y, back)
  }
}
