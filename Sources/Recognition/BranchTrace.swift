internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// What follows a block's last product: heads merged, projected, joined to the residual stream.
struct BranchTrace {
  var output: ValueID
  var linear: NodeID?
  var bias: ValueID?
  /// Convolutions of places on the way.
  var spatial: [NodeID] = []
  /// Constant permutations on the way.
  var permutations: [AxisPermutation] = []
  var residualAdd: NodeID?
  /// What the result is added to.
  var residual: ValueID?
  var residualSum: ValueID?
  var nodes: [NodeID] = []
}

extension GraphView {
  /// - Parameter own: linear layers whose results may be added before the output projection without being the residual.
  func branch(from start: ValueID, own: Set<NodeID>) -> BranchTrace {
    var trace = BranchTrace(output: start)
    var value = start
    var steps = 0
    walk: while steps < 32 {
      steps += 1
      // Shifted windows go back to where they came from.
      if let shift = cyclicShift(of: value) {
        trace.nodes += shift.nodes
        value = shift.result
        trace.output = value
        continue
      }
      // Where a norm reads the result as well, the sum is the residual and the norm what follows.
      let readers = uses.readers(of: value)
      for id in trace.linear == nil ? readers : readers.filter(isSum) + readers.filter({ !isSum($0) }) {
        let node = graph[id]
        guard let output = node.output(0) else { continue }
        switch node.op {
        case .binary(.add), .binary(.subtract):
          guard let a = node.input(0), let b = node.input(1) else { continue }
          let other = a == value ? b : a
          if !isActivation(other) {
            if trace.linear != nil, trace.bias == nil {
              trace.bias = other
            } else if isOneToken(other), shape(other)?.dims.suffix(2) == shape(output)?.dims.suffix(2) {
              // The stream of a class token that no block has changed yet is the token itself.
              trace.residualAdd = original(of: id)
              trace.residualSum = original(of: output)
              return trace
            }
            break
          }
          // What is made of the result joins it in the next residual block, not in this one.
          if isMade(other, from: value) { return trace }
          if trace.linear == nil, !own.isEmpty, let made = operandTrace(other).linear, own.contains(made) { break }
          trace.residualAdd = original(of: id)
          trace.residual = other
          trace.residualSum = original(of: output)
          return trace
        case .binary(.multiply), .binary(.divide):
          guard let other = node.input(0) == value ? node.input(1) : node.input(0), !isActivation(other) || node.op == .binary(.divide) else { continue }
        case .matrix(.matMul):
          guard trace.linear == nil, let other = node.input(0) == value ? node.input(1) : node.input(0), !isActivation(other) else { continue }
          trace.linear = id
        case .convolution(.conv(_, let groups)):
          guard node.input(0) == value, trace.linear == nil else { continue }
          if groups > 1, shape(value)?.dims.dropFirst().first?.value == groups {
            trace.spatial.append(id)
          } else {
            trace.linear = id
            trace.bias = node.input(2)
          }
        case .layout where Rearrangement.isRearrangement(node) && node.input(0) == value: break
        case .indexing:
          guard trace.linear == nil, node.input(0) == value, let found = permutation(id) else { continue }
          trace.permutations.append(found)
        case .layout(.pad): break
        case .pooling(.max), .pooling(.average):
          // A bottleneck with strides pools what its attention gives (Srinivas et al. 2021).
          guard node.input(0) == value else { continue }
        case .cast, .clip, .unary, .normalization(.batch): break
        case .normalization:
          // A norm before the output projection is part of the block; one behind it belongs to what follows.
          guard node.input(0) == value else { continue }
        default: continue
        }
        value = output
        trace.output = output
        trace.nodes.append(id)
        continue walk
      }
      break
    }
    return trace
  }

  /// Whether a constant is one token, (1 or batch, 1, channels).
  private func isOneToken(_ value: ValueID) -> Bool { shape(value).map { $0.rank == 3 && $0[1] == 1 } ?? false }

  /// Whether a value is made from another within the length of a perceptron.
  func isMade(_ value: ValueID, from source: ValueID) -> Bool {
    var pending = [value]
    var seen: Set<NodeID> = []
    while let next = pending.popLast(), seen.count < 24 {
      if next == source { return true }
      guard let (id, node) = producer(next), seen.insert(id).inserted else { continue }
      pending += node.inputs.compactMap { $0 }.filter(isActivation)
    }
    return false
  }

  /// Whether a node adds two activations.
  private func isSum(_ id: NodeID) -> Bool {
    graph[id].op == .binary(.add) && graph[id].inputs.allSatisfy { $0.map { isActivation($0) } ?? false }
  }

  /// Constant elements of a linear layer and its bias.
  func parameterCount(_ linear: NodeID?, bias: ValueID?) -> Int {
    guard let linear else { return 0 }
    let weights = graph[linear].inputs.prefix(2).compactMap { $0 }.filter { !isActivation($0) }
    let count = weights.reduce(0) { $0 &+ (shape($1)?.concrete?.checkedProduct ?? 0) }
    // Exporters leave out a bias of zeros, so none is counted.
    guard let bias, scalar(bias) != 0, let output = graph[linear].output(0), let added = shape(bias)?.concrete?.checkedProduct else { return count }
    return count &+ ((shape(output)?.dims.contains { $0.value == added } ?? false) ? added : 0)
  }

  /// Work of some nodes for one sample.
  func cost(_ nodes: some Sequence<NodeID>) -> Cost {
    let samples = graph.inputs.lazy.compactMap { shape($0)?.dims.first?.value }.first { $0 > 1 } ?? 1
    let whole = Set(nodes).reduce(Cost()) { sum, id in
      let own = typed.cost(of: id)
      return Cost(macs: sum.macs &+ own.macs, elementwise: sum.elementwise &+ own.elementwise)
    }
    return whole.macs % samples == 0 ? Cost(macs: whole.macs / samples, elementwise: whole.elementwise / samples) : whole
  }
}
