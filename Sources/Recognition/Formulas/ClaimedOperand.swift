internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Queries, keys or values as a report claims them.
public struct ClaimedOperand: Sendable {
  /// A norm over the elements of a head, of all heads, or over tokens.
  struct Norm: Sendable {
    enum Span: Sendable { case head, channels, tokens }
    var op: NormalizationOp
    var tables: [ValueID]
    var span: Span
  }

  /// Tokens of a tensor through one linear layer.
  struct Projected: Sendable {
    /// What the layer reads: its axes are `.base(0)`, `.base(1)`, ...
    var source: ValueID
    var channelAxis: Int
    /// The source's tokens, a part of them where `offset` or the sizes of `groups` and `tokens` say so.
    var offsets: [Int: Int]
    /// Axes of the source that are groups, one list for each role, and those that are tokens.
    var groups: [(role: AxisFactor, factors: [AxisFactor])]
    var tokens: [AxisFactor]
    /// Where the channels of each head lie among those of the layer: heads outermost, then their elements.
    var heads: [(role: AxisFactor, channels: AxisFactor)]
    var elements: AxisFactor?
    var start: Int
    /// One number for each channel of the layer.
    var bias: [Double]?
    var norm: Norm?
    /// What the operand is multiplied by, where the scale of the scores does not hold it.
    var factor = 1.0
  }

  enum Form: Sendable {
    case projected(Projected)
    /// As the graph has it: each axis in roles, `.query(0)` for tokens and `.dim` for elements.
    case given(ValueID, [[AxisFactor]])
  }
  var form: Form
  /// The layer's constant, rows in, columns out.
  public var weight: WeightView?

  var isProjected: Bool { if case .projected = form { true } else { false } }
  var reads: [ValueID] {
    switch form {
    case .projected(let projected): [projected.source] + (projected.norm?.tables ?? [])
    case .given(let value, _): [value]
    }
  }

  /// (group, head, token, element) of as many groups and heads as the roles say, or 1 of them where all share it.
  ///
  /// - Parameter count: the heads that it has by itself, of `elements` elements each.
  func written(_ writer: inout FormulaWriter, groups: [AxisFactor], heads: [AxisFactor], count: Int, elements: Int) throws(Unwritten) -> ValueID {
    let token = AxisFactor(.query(0), size: 1)
    switch form {
    case .given(let value, let axes):
      let tokens = axes.joined().filter { $0.source == token.source }
      let dims = axes.joined().filter { $0.source == .dim }
      guard try writer.sized(dims).map(\.size).checkedProduct ?? 1 == elements else { throw .misfit }
      return try writer.arranged(try writer.tensor(value), axes, [groups, heads, tokens, dims], expanding: true)
    case .projected(let own):
      guard let weight else { throw .open }
      let channels = try writer.sized(own.heads.map(\.channels)).map(\.size).checkedProduct ?? 1
      let width = try own.elements.map { factor throws(Unwritten) in try writer.size(factor.size) } ?? 1
      guard channels == count, width == elements else { throw .misfit }
      return try own.written(&writer, weight, groups, heads)
    }
  }
}

extension ClaimedOperand.Projected {
  fileprivate func written(_ writer: inout FormulaWriter, _ weight: WeightView, _ groupRoles: [AxisFactor], _ headRoles: [AxisFactor]) throws(Unwritten)
    -> ValueID
  {
    // Tokens as (group, ..., token, channel).
    var dims = try writer.dims(source)
    guard dims.indices.contains(channelAxis), dims[channelAxis] == weight.rows else { throw .open }
    var x = try writer.tensor(source)
    let used = try writer.sized(groups.flatMap(\.factors) + tokens)
    for axis in dims.indices where axis != channelAxis {
      let own = used.filter { $0.source == .base(axis) }
      let count = own.map(\.size).checkedProduct ?? 0
      let first = offsets[axis] ?? 0
      if count == dims[axis], first == 0 { continue }
      // A part of the places: every so many of one run.
      let step = own.map(\.stride).min() ?? 1
      guard own.allSatisfy({ $0.stride % step == 0 }), count > 0, step > 0 else { throw .open }
      x = try writer.slice(x, axis: axis, start: first, count: count, step: step)
      dims[axis] = count
    }
    // Behind a slice the places that are left follow each other.
    func packed(_ factors: [AxisFactor]) throws(Unwritten) -> [AxisFactor] {
      var result: [AxisFactor] = []
      for factor in try writer.sized(factors) {
        let step = used.filter { $0.source == factor.source }.map(\.stride).min() ?? 1
        result.append(AxisFactor(factor.source, stride: Dim(factor.stride / step), size: Dim(factor.size)))
      }
      return result
    }
    let from = dims.enumerated().map { [AxisFactor(.base($0.offset), size: Dim($0.element))] }
    var to: [[AxisFactor]] = []
    for group in groups { to.append(try packed(group.factors)) }
    to.append(try packed(tokens))
    to.append(from[channelAxis])
    x = try writer.arranged(x, from, to)

    // The layer, the columns of its heads in order.
    var columns = [start]
    for channels in heads.map(\.channels) + [elements].compactMap({ $0 }) {
      let (count, stride) = (try writer.size(channels.size), try writer.size(channels.stride))
      guard count <= weight.columns, stride <= weight.columns, columns.count.multipliedReportingOverflow(by: count).partialValue <= weight.columns else {
        throw .open
      }
      columns = columns.flatMap { column in (0..<count).map { column + $0 * stride } }
    }
    guard columns.allSatisfy({ $0 >= 0 && $0 < weight.columns }) else { throw .open }
    x = try writer.linear(x, weight, columns: columns, bias: bias.map { all in columns.map { all.indices.contains($0) ? all[$0] : 0 } })
    if let norm, norm.span == .channels {
      guard columns == columns.sorted() else { throw .open }
      x = try normalized(&writer, x, norm, axis: groups.count + 1)
    }

    // (group, head, token, element)
    let token = AxisFactor(.query(0), size: Dim(try writer.sized(tokens).map(\.size).checkedProduct ?? 1))
    let element = elements.map { [AxisFactor(.dim, size: $0.size)] } ?? []
    x = try writer.arranged(
      x, groups.map { [$0.role] } + [[token], heads.map(\.role) + element], [groupRoles, headRoles, [token], element], expanding: true)
    if let norm, norm.span != .channels { x = try normalized(&writer, x, norm, axis: norm.span == .head ? 3 : 2) }
    return try writer.multiply(x, factor)
  }

  private func normalized(_ writer: inout FormulaWriter, _ x: ValueID, _ norm: ClaimedOperand.Norm, axis: Int) throws(Unwritten) -> ValueID {
    var operands = [x]
    for table in norm.tables { operands.append(try writer.tensor(table)) }
    switch norm.op {
    case .layer(_, let epsilon): return writer.node(.normalization(.layer(axis: axis, epsilon: epsilon)), operands)
    case .rms(_, let epsilon): return writer.node(.normalization(.rms(axis: axis, epsilon: epsilon)), operands)
    case .lp(_, let p): return writer.node(.normalization(.lp(axis: axis, p: p)), operands)
    default: throw .open
    }
  }
}
