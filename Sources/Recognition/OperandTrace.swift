internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// A query, key or value followed up to the linear layer that makes it, through whatever stands between.
struct OperandTrace {
  /// The product or convolution with a constant that makes the operand, if one does.
  var linear: NodeID?
  var weight: ValueID?
  var bias: ValueID?
  /// What the linear layer reads, or where the walk ended.
  var source: ValueID
  var scale = 1.0
  /// `l2`, `layer` or `rms`, with the kind of axis it ran over.
  var norm: (name: String, axis: AxisKind?)?
  var rotary = false
  /// A function applied to each element between linear layer and product.
  var featureMap: String?
  /// Convolutions and pools of places behind the linear layer.
  var spatial: [NodeID] = []
  /// Constant permutations between linear layer and product.
  var permutations: [AxisPermutation] = []
  /// Multiplications by one number, which `scale` gathers.
  var factors: [NodeID] = []
  var nodes: [NodeID] = []

  init(_ source: ValueID) { self.source = source }
}

extension GraphView {
  static let walkLimit = 48

  func operandTrace(_ operand: ValueID, depth: Int = 0) -> OperandTrace {
    var trace = OperandTrace(operand)
    var steps = 0
    while steps < GraphView.walkLimit, isActivation(trace.source), let (id, node) = producer(trace.source), let input = node.input(0) {
      steps += 1
      var next = input
      switch node.op {
      case .matrix(.matMul):
        guard let other = node.input(1), isActivation(input) != isActivation(other) else { return trace }
        trace.linear = id
        trace.weight = isActivation(input) ? other : input
        trace.source = isActivation(input) ? input : other
        trace.nodes.append(id)
        return trace
      case .convolution(.conv(_, let groups)):
        guard let w = node.input(1), !isActivation(w) else { return trace }
        trace.nodes.append(id)
        if groups > 1, shape(input)?.dims.dropFirst().first?.value == groups {
          trace.spatial.append(id)
        } else {
          trace.linear = id
          trace.weight = w
          trace.bias = node.input(2) ?? trace.bias
          trace.source = input
          return trace
        }
      case .layout(.concat):
        if let found = permutation(id), found.kind != .token { trace.permutations.append(found) }
        next = largest(node) ?? input
      case .indexing:
        if let found = permutation(id) { trace.permutations.append(found) }
      case .layout: break
      case .cast, .clip, .unary(.identity), .unary(.abs), .unary(.neg): break
      case .unary(let function): trace.featureMap = trace.featureMap ?? String(describing: function)
      case .softmax: trace.featureMap = "softmax"
      case .pooling: trace.spatial.append(id)
      case .normalization(let norm):
        let name: String? =
          switch norm {
          case .layer: "layer"
          case .rms: "rms"
          case .lp: "l2"
          default: nil
          }
        if let name, trace.norm == nil { trace.norm = (name, normalizedKind(norm, input)) }
      case .binary(.add), .binary(.multiply), .binary(.subtract), .binary(.divide), .binary(.power), .binary(.maximum):
        guard let passed = passedOperand(node, id, &trace, depth) else { return trace }
        next = passed
      default: return trace
      }
      trace.nodes.append(id)
      trace.source = next
    }
    return trace
  }

  /// Which operand of an element-wise node carries the projection.
  private func passedOperand(_ node: Node, _ id: NodeID, _ trace: inout OperandTrace, _ depth: Int) -> ValueID? {
    guard let a = node.input(0), let b = node.input(1) else { return nil }
    if node.op == .binary(.add), let (source, nodes) = rotated(id) {
      trace.rotary = true
      trace.nodes += nodes
      return source
    }
    if !isActivation(b) {
      // What stands before a norm is taken out by it.
      if node.op == .binary(.multiply), trace.norm == nil, let factor = scalar(b) {
        trace.scale *= factor
        trace.factors.append(id)
      }
      if node.op == .binary(.add) { trace.bias = b }
      return a
    }
    if !isActivation(a) { return b }
    switch node.op {
    case .binary(.divide):
      if trace.norm == nil { trace.norm = ("l2", nil) }
      return a
    case .binary(.add), .binary(.multiply), .binary(.subtract):
      guard depth < 3 else { return nil }
      // A sum of parts: the one that is projected and has the result's shape.
      let whole = node.output(0).flatMap(shape)
      for choice in [a, b] where shape(choice) == whole {
        if operandTrace(choice, depth: depth + 1).linear != nil { return choice }
      }
      return nil
    default: return nil
    }
  }

  private func normalizedKind(_ norm: NormalizationOp, _ input: ValueID) -> AxisKind? {
    guard let layout = labels.layout(input) else { return nil }
    let axis: Int =
      switch norm {
      case .layer(let axis, _), .rms(let axis, _), .lp(let axis, _): axis
      default: -1
      }
    let index = axis < 0 ? axis + layout.axes.count : axis
    return layout.axes.indices.contains(index) ? labels.kind(layout.axes[index]) : nil
  }

  /// Rows and columns that a convolution or a pool spans; empty where it spans all.
  func kernel(of id: NodeID) -> [Int] {
    switch graph[id].op {
    case .convolution: graph[id].input(1).flatMap { shape($0)?.concrete.map { Array($0.dropFirst(2)) } } ?? []
    case .pooling(.max(let window, _)), .pooling(.average(let window, _, _)): window.kernel
    default: []
    }
  }

  /// The activation that gives most of a concatenation's elements.
  func largest(_ node: Node) -> ValueID? {
    var best: (ValueID, Int)?
    for case let input? in node.inputs where isActivation(input) {
      let size = shape(input)?.dims.compactMap(\.value).checkedProduct ?? 0
      if size > best?.1 ?? -1 { best = (input, size) }
    }
    return best?.0
  }

  /// The values from which a value is made by what works on one tensor: rearrangements, norms, convolutions, pools.
  func ancestry(_ value: ValueID, limit: Int = 64) -> [ValueID] {
    var result = [value]
    var value = value
    while result.count < limit, let (_, node) = producer(value), let input = node.input(0) {
      var next: ValueID?
      switch node.op {
      case .layout(.concat): next = largest(node)
      case .layout, .indexing, .cast, .clip, .unary, .softmax, .normalization, .pooling, .reduction: next = isActivation(input) ? input : nil
      case .convolution: next = input
      case .matrix(.matMul):
        if let other = node.input(1), isActivation(input) != isActivation(other) { next = isActivation(input) ? input : other }
      case .binary:
        guard let other = node.input(1) else { break }
        if isActivation(input) != isActivation(other) {
          next = isActivation(input) ? input : other
        } else {
          // Branches that part and meet again, a residual say, come from where they part.
          next = parting(value)
        }
      case .select:
        next = node.inputs.dropFirst().lazy.compactMap { $0 }.first { isActivation($0) }
      default: break
      }
      guard let next, isActivation(next) else { break }
      result.append(next)
      value = next
    }
    return result
  }
}
