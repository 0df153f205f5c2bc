internal import Diagnostics
internal import GraphIR
internal import Kernels
internal import Tensors

/// What follows a matrix product or convolution and can be done while its results are stored: bias, activation, scales,
/// residual sums.
struct Epilogue {
  /// The value that the fused kernel gives.
  var output: ValueID
  var nodes: [NodeID] = []
  var operations: [PostOperation] = []
  var operands: [View] = []
  /// A vector along the channel axis that comes first, for the kernel's own bias operand.
  var bias: View?
}

extension PlanBuilder {
  /// Follows the only readers of `value` as long as the kernel can take them along.
  ///
  /// - Parameters:
  ///   - channel: the axis along which biases and scales run.
  ///   - kernelRank: the rank of the result as the kernel sees it; `kernelChannel` is the channel axis there.
  ///   - takesBias: whether the first vector added may become the kernel's bias.
  ///   - fullSize: makes the kernel's view of an operand of the result's shape, or nil where it cannot.
  func epilogue(
    after value: ValueID, channel: Int, kernelRank: Int, kernelChannel: Int, takesBias: Bool, fullSize: (View) throws(Failure) -> View?
  ) throws(Failure) -> Epilogue {
    var result = Epilogue(output: value)
    let shape = try dims(of: value)
    guard try type(of: value).element == .float32 else { return result }

    func vector(_ view: View) throws(Failure) -> View? {
      // One element along every axis but the channel's, as broadcasting aligns them.
      let lead = shape.count - view.layout.rank
      guard lead >= 0, view.layout.count == shape[channel] else { return nil }
      for (axis, size) in view.dims.enumerated() where size != 1 && axis + lead != channel { return nil }
      guard channel - lead >= 0, view.dims[channel - lead] == shape[channel] else { return nil }
      var dims = [Int](repeating: 1, count: kernelRank)
      dims[kernelChannel] = shape[channel]
      return try reshaped(dense(view), dims)
    }

    /// Whether the kernels can go on with these.
    func supports(_ more: PostOperation...) -> Bool { PostOperation.supports(result.operations + more, channels: shape[channel]) }

    while result.operations.count < 8 {
      if !wanted.contains(result.output), let match = ActivationMatcher(self).match(on: result.output), supports(.function(match.function)),
        allReaders(result.output).allSatisfy({ match.nodes.contains($0) })
      {
        result.operations.append(.function(match.function))
        result.nodes += match.nodes
        result.output = match.output
        continue
      }
      guard let reader = onlyReader(result.output) else { break }
      let node = graph[reader]
      guard let output = node.output(0), node.outputs.count == 1 else { break }
      switch node.op {
      case .unary(let op):
        guard let function = op.function, supports(.function(function)) else { return result }
        result.operations.append(.function(function))
      case .clip:
        guard node.input(0) == result.output, node.input(1) == nil || scalar(node.input(1)) != nil, node.input(2) == nil || scalar(node.input(2)) != nil
        else { return result }
        let function = Pointwise.Function.clip(scalar(node.input(1)) ?? -.infinity, scalar(node.input(2)) ?? .infinity)
        guard supports(.function(function)) else { return result }
        result.operations.append(.function(function))
      case .normalization(.batch(let epsilon)):
        // The normalization runs over axis 1, and its factors have that axis alone.
        guard node.input(0) == result.output, channel == 1, shape.count >= 2, let (scale, shift) = try batchFactors(node, epsilon: epsilon),
          let scale = try vector(reshaped(scale, [shape[1]] + Array(repeating: 1, count: shape.count - 2))),
          let shift = try vector(reshaped(shift, [shape[1]] + Array(repeating: 1, count: shape.count - 2))),
          supports(.binary(.multiply, scale.layout), .binary(.add, shift.layout))
        else { return result }
        result.operations += [.binary(.multiply, scale.layout), .binary(.add, shift.layout)]
        result.operands += [scale, shift]
      case .binary(let op):
        guard let a = node.input(0), let b = node.input(1), a != b, try dims(of: output) == shape else { return result }
        let other = a == result.output ? b : a
        let isFirst = a == result.output
        guard isReady(other), try type(of: other).element == .float32 else { return result }
        if let c = scalar(other) {
          let function: Pointwise.Function
          switch op {
          case .multiply: function = .affine(c, 0)
          case .divide where isFirst && c != 0: function = .affine(1 / c, 0)
          case .add: function = .affine(1, c)
          case .subtract: function = isFirst ? .affine(1, -c) : .affine(-1, c)
          default: return result
          }
          guard supports(.function(function)) else { return result }
          result.operations.append(.function(function))
          break
        }
        let operation = op == .biasGelu ? .add : op.operation
        // Its activation has to fit, too.
        if op == .biasGelu, !result.operations.isEmpty { return result }
        guard let operation, isFirst || operation == .add || operation == .multiply else { return result }
        let view = try view(of: other)
        if let vector = try vector(view) {
          if operation == .add, takesBias, result.operations.isEmpty, result.bias == nil {
            result.bias = vector
          } else {
            guard supports(.binary(operation, vector.layout)) else { return result }
            result.operations.append(.binary(operation, vector.layout))
            result.operands.append(vector)
          }
        } else if view.dims == shape, let whole = try fullSize(view), supports(.binary(operation, whole.layout)) {
          result.operations.append(.binary(operation, whole.layout))
          result.operands.append(whole)
        } else {
          return result
        }
        if op == .biasGelu { result.operations.append(.function(.gelu)) }
      default: return result
      }
      result.nodes.append(reader)
      result.output = output
    }
    return result
  }
}
