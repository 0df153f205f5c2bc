internal import Diagnostics
internal import GraphIR
internal import Kernels
internal import Tensors

/// Element-wise operators.
extension PlanBuilder {
  func planUnary(_ id: NodeID, _ node: Node, _ op: UnaryOp) throws(Failure) -> Bool {
    guard let input = node.input(0), let output = node.output(0) else { return false }
    if op == .identity {
      set(output, try view(of: input))
      markDone([id])
      return true
    }
    guard try type(of: input).element == .float32, let function = op.function else { return false }
    if op == .sigmoid, let match = ActivationMatcher(self).match(at: id) {
      return try planFunction(match.nodes, match.function, match.input, match.output)
    }
    return try planFunction([id], function, input, output)
  }

  func planClip(_ id: NodeID, _ node: Node) throws(Failure) -> Bool {
    guard let input = node.input(0), let output = node.output(0), try type(of: input).element == .float32 else { return false }
    let (low, high) = (node.input(1), node.input(2))
    guard low == nil || scalar(low) != nil, high == nil || scalar(high) != nil else { return false }
    return try planFunction([id], .clip(scalar(low) ?? -.infinity, scalar(high) ?? .infinity), input, output)
  }

  func planCast(_ id: NodeID, _ node: Node, _ target: ElementType) throws(Failure) -> Bool {
    guard let input = node.input(0), let output = node.output(0), try type(of: input).element == target else { return false }
    set(output, try view(of: input))
    markDone([id])
    return true
  }

  /// `output = function(input)`, the memory order of the input kept.
  func planFunction(_ nodes: [NodeID], _ function: Pointwise.Function, _ input: ValueID, _ output: ValueID) throws(Failure) -> Bool {
    let given = try view(of: input)
    let source = try plain(given)
    let target = try newView((.float32, source.dims), order: source.layout.memoryOrder)
    emit(nodes, "\(function)", reads: [source], writes: [target], inPlace: source.layout.isPacked) { (memory) throws(Failure) in
      unsafe Pointwise.apply(function, memory.floats(source), source.layout, memory.floats(target), target.layout)
    }
    set(output, target)
    return true
  }

  func planBinary(_ id: NodeID, _ node: Node, _ op: BinaryOp) throws(Failure) -> Bool {
    guard let a = node.input(0), let b = node.input(1), let output = node.output(0), try type(of: output).element == .float32,
      try type(of: a).element == .float32
    else { return false }
    if let match = ActivationMatcher(self).match(at: id) {
      return try planFunction(match.nodes, match.function, match.input, match.output)
    }
    if op == .power, let exponent = scalar(b), try dims(of: output) == dims(of: a) {
      switch exponent {
      case 2: return try planFunction([id], .square, a, output)
      case 0.5: return try planFunction([id], .squareRoot, a, output)
      case -1: return try planFunction([id], .reciprocal, a, output)
      default: return false
      }
    }
    if op == .biasGelu {
      let sum = try binary([], .add, a, b, try dims(of: output))
      let target = sum
      emit([id], "BiasGelu", reads: [sum], writes: [target]) { (memory) throws(Failure) in
        unsafe Pointwise.apply(.gelu, memory.floats(sum), sum.layout, memory.floats(target), target.layout)
      }
      set(output, target)
      return true
    }
    if try planScalar(id, op, a, b, output) { return true }
    guard let operation = op.operation else { return false }
    if operation == .add, try deferToSoftmax(id, a, b, output) { return true }
    set(output, try binary([id], operation, a, b, try dims(of: output)))
    return true
  }

  /// With a constant of one element: a factor carried along to the matrix product that reads it, or one pass.
  private func planScalar(_ id: NodeID, _ op: BinaryOp, _ a: ValueID, _ b: ValueID, _ output: ValueID) throws(Failure) -> Bool {
    let target = try dims(of: output)
    if let c = scalar(b), try dims(of: a) == target {
      switch op {
      case .multiply: return try planScale(id, c, a, output)
      case .divide where c != 0: return try planScale(id, 1 / c, a, output)
      case .add: return try planFunction([id], .affine(1, c), a, output)
      case .subtract: return try planFunction([id], .affine(1, -c), a, output)
      default: return false
      }
    }
    if let c = scalar(a), try dims(of: b) == target {
      switch op {
      case .multiply: return try planScale(id, c, b, output)
      case .add: return try planFunction([id], .affine(1, c), b, output)
      case .subtract: return try planFunction([id], .affine(-1, c), b, output)
      default: return false
      }
    }
    return false
  }

  private func planScale(_ id: NodeID, _ factor: Float, _ input: ValueID, _ output: ValueID) throws(Failure) -> Bool {
    if feedsProductOnly(output) {
      var view = try view(of: input)
      view.factor *= factor
      if view.factor.isNormal {
        set(output, view)
        markDone([id])
        return true
      }
    }
    return try planFunction([id], .affine(factor, 0), input, output)
  }

  /// Whether all readers, through layout operators, are matrix products of two activations, or a softmax.
  private func feedsProductOnly(_ value: ValueID, depth: Int = 0) -> Bool {
    guard !wanted.contains(value), depth < 6 else { return false }
    let list = allReaders(value)
    guard !list.isEmpty else { return false }
    return list.allSatisfy { reader in
      let node = graph[reader]
      switch node.op {
      case .matrix(.matMul), .matrix(.fusedMatMul): return true
      case .softmax: return true
      case .layout(.transpose), .layout(.reshape), .layout(.squeeze), .layout(.unsqueeze), .unary(.identity):
        return node.output(0).map { feedsProductOnly($0, depth: depth + 1) } ?? false
      default: return false
      }
    }
  }

  /// Adds `a op b` as a step and gives its view.
  func binary(_ nodes: [NodeID], _ operation: Pointwise.Operation, _ a: ValueID, _ b: ValueID, _ target: [Int]) throws(Failure) -> View {
    try binary(nodes, operation, try plain(view(of: a)), try plain(view(of: b)), target)
  }

  func binary(_ nodes: [NodeID], _ operation: Pointwise.Operation, _ x: View, _ y: View, _ target: [Int]) throws(Failure) -> View {
    guard let xs = x.layout.broadcast(to: target), let ys = y.layout.broadcast(to: target) else {
      throw Failure(.shapeMismatch, "\(x.dims) and \(y.dims) do not broadcast")
    }
    // The result lies as the operand of full size does, the first one where both are.
    let leader = x.dims == target ? x : y.dims == target ? y : nil
    let result = try newView((.float32, target), order: leader.map(\.layout.memoryOrder))
    let (first, second) = (x.with(xs), y.with(ys))
    let sharesX = x.dims == target && x.layout.isPacked && Strided(dims: target, order: x.layout.memoryOrder) == result.layout && x.slot != y.slot
    let sharesY = y.dims == target && y.layout.isPacked && y.layout == result.layout && x.slot != y.slot
    let reads = sharesX || !sharesY ? [first, second] : [second, first]
    emit(nodes, "\(operation)", reads: reads, writes: [result], inPlace: sharesX || sharesY) { (memory) throws(Failure) in
      unsafe Pointwise.apply(
        operation, memory.floats(first), first.layout, memory.floats(second), second.layout, memory.floats(result), result.layout)
    }
    return result
  }
}

extension UnaryOp {
  /// The fast loop for it.
  var function: Pointwise.Function? {
    switch self {
    case .abs: .abs
    case .neg: .negate
    case .sqrt: .squareRoot
    case .reciprocal: .reciprocal
    case .exp: .exp
    case .log: .log
    case .erf: .erf
    case .tanh: .tanh
    case .sigmoid: .sigmoid
    case .relu: .relu
    case .leakyRelu(let alpha): .leakyRelu(alpha)
    case .elu(let alpha): .elu(alpha)
    case .gelu(.exact): .gelu
    case .gelu(.tanh): .geluTanh
    case .swish(let alpha): .swish(alpha)
    case .hardSigmoid(let alpha, let beta): .hardSigmoid(alpha, beta)
    case .hardSwish: .hardSwish
    default: nil
    }
  }
}

extension BinaryOp {
  var operation: Pointwise.Operation? {
    switch self {
    case .add: .add
    case .subtract: .subtract
    case .multiply: .multiply
    case .divide: .divide
    case .minimum: .minimum
    case .maximum: .maximum
    default: nil
    }
  }
}
