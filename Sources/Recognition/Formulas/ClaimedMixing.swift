public import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Mixing of tokens by constants as it is claimed (Tolstikhin et al. 2021): linear layers over the tokens of each channel,
/// functions of single elements between them.
public struct ClaimedMixing: ClaimedFormula {
  enum Step: Sendable {
    /// Tokens in rows, tokens in columns.
    case layer(WeightView)
    case function(UnaryOp)
    /// A constant that is added or multiplies, its axes as those of the tensor.
    case constant(BinaryOp, ValueID, [[AxisFactor]])
  }

  /// What is mixed: its axes are `.base(0)`, `.base(1)`, ...
  var input: ValueID
  var tokenAxis: Int
  var steps: [Step]
  /// The axes of `gives`, tokens as `.query(n)` behind the n-th layer.
  var axes: [[AxisFactor]]
  public let gives: ValueID
  public var isWhole: Bool { true }
  public var reads: [ValueID] {
    [input]
      + steps.compactMap { step in
        if case .constant(_, let value, _) = step { value } else { nil }
      }
  }

  public func write(_ writer: inout FormulaWriter) throws(Unwritten) -> ValueID {
    let dims = try writer.dims(input)
    guard dims.indices.contains(tokenAxis) else { throw .misfit }
    let from = dims.enumerated().map { [AxisFactor(.base($0.offset), size: Dim($0.element))] }
    let others = dims.indices.filter { $0 != tokenAxis }.map { from[$0] }
    var tokens = AxisFactor(.base(tokenAxis), size: Dim(dims[tokenAxis]))
    var x = try writer.arranged(try writer.tensor(input), from, others + [[tokens]])
    var layers = 0
    for step in steps {
      switch step {
      case .layer(let weight):
        guard tokens.size.value == weight.rows else { throw .misfit }
        layers += 1
        tokens = AxisFactor(.query(layers), size: Dim(weight.columns))
        x = try writer.linear(x, weight)
      case .function(let function): x = writer.node(.unary(function), [x])
      case .constant(let op, let value, let own):
        x = writer.node(.binary(op), [x, try writer.arranged(try writer.tensor(value), own, others + [[tokens]])])
      }
    }
    return try writer.arranged(x, others + [[tokens]], axes)
  }

  /// - Parameters:
  ///   - nodes: what stands between input and output, in order.
  ///   - tokenAxis: the axis that the first layer runs over.
  init?(_ view: GraphView, input: ValueID, tokenAxis: Int, nodes: [NodeID], output: ValueID) {
    guard let shape = view.shape(input), shape.rank > tokenAxis else { return nil }
    self.input = input
    self.tokenAxis = tokenAxis
    steps = []
    gives = output
    var layout = AxisLayout(identity: shape)
    var tokens = AxisFactor(.base(tokenAxis), size: shape[tokenAxis])
    var layers = 0
    var value = input
    for id in nodes {
      let node = view.graph[id]
      guard let next = node.output(0), node.inputs.contains(value) else { return nil }
      switch node.op {
      case .matrix(.matMul):
        guard let other = node.input(0) == value ? node.input(1) : node.input(0), view.shape(other)?.rank == 2 else { return nil }
        let isLeft = node.input(0) == value
        let axis = layout.axes.count - (isLeft ? 1 : 2)
        guard layout.axes.indices.contains(axis), layout.axes[axis] == [tokens],
          let weight = view.weightView(other, rows: isLeft ? 0 : 1, columns: isLeft ? 1 : 0, take: nil)
        else { return nil }
        layers += 1
        tokens = AxisFactor(.query(layers), size: Dim(weight.columns))
        layout.axes[axis] = AxisLayout.normalized([tokens])
        steps.append(.layer(weight))
      case .convolution(.conv(let window, groups: 1)):
        guard node.input(0) == value, let w = node.input(1), view.shape(w)?.dims.dropFirst(2).allSatisfy({ $0 == 1 }) == true,
          window.strides.allSatisfy({ $0 == 1 }), layout.axes.count > 2, layout.axes[1] == [tokens],
          let weight = view.weightView(w, rows: 1, columns: 0, take: nil)
        else { return nil }
        layers += 1
        tokens = AxisFactor(.query(layers), size: Dim(weight.columns))
        layout.axes[1] = AxisLayout.normalized([tokens])
        steps.append(.layer(weight))
        if let bias = node.input(2) { steps.append(.constant(.add, bias, [[tokens]])) }
      case .binary(let op) where op == .add || op == .multiply:
        guard let other = node.input(0) == value ? node.input(1) : node.input(0), other != value, !view.isActivation(other), let own = view.shape(other),
          own.rank <= layout.axes.count, view.shape(next) == view.shape(value)
        else { return nil }
        steps.append(.constant(op, other, zip(own.dims, layout.axes.suffix(own.rank)).map { $0 == 1 ? [] : $1 }))
      case .unary(let function): steps.append(.function(function))
      case .cast: break
      default:
        guard node.input(0) == value, let moved = Rearrangement.apply(node, to: layout, in: view.typed), moved.offsets.isEmpty else { return nil }
        layout = moved
      }
      value = next
    }
    guard value == output, layers > 0 else { return nil }
    axes = layout.axes
  }
}
