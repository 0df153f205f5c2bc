internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// What stands between a product and the softmax over it, whatever the family.
struct ScoreChain {
  /// Rearrangements from the product down.
  var steps: [NodeID] = []
  var scale = 1.0
  /// A factor for each head, or other than one number.
  var hasTemperature = false
  var biases: [(value: ValueID, isMask: Bool)] = []
  /// Products and convolutions with constants that mix heads.
  var mixes: [NodeID] = []
  /// Activations that multiply the scores.
  var factors: [ValueID] = []
  var isCapped = false
  /// Constant permutations of heads or tokens.
  var permutations: [AxisPermutation] = []
  /// Whether a factor stands behind something that was added.
  var scalesBias = false
  /// The nodes whose numbers `scale` gathers.
  var scales: [NodeID] = []
  /// Whether more than keys takes part in the softmax: a column of zeros, a learned sink.
  var hasSink = false
  /// Whether the scores are a sum of several maps that stood side by side.
  var isSummed = false
  var nodes: [NodeID] = []
}

/// Where the operand of a softmax comes from.
enum ScoreSource {
  /// A product of two activations, or of one with learned queries or keys for each head.
  case product(NodeID, ScoreChain)
  /// Several products side by side in one row of scores.
  case joined([NodeID], ScoreChain)
  /// A linear layer: no product of queries and keys.
  case projection(NodeID, ScoreChain)
  case other(NodeID?)
}

extension GraphView {
  /// Follows the operand of a softmax up to the product that makes it.
  func scoreSource(_ scores: ValueID, depth: Int = 0) -> ScoreSource {
    var chain = ScoreChain()
    var value = scores
    var length = 0
    while length < GraphView.walkLimit, let (id, node) = producer(value), let input = node.input(0) {
      length += 1
      if Rearrangement.isRearrangement(node) {
        chain.steps.append(id)
        chain.nodes.append(id)
        value = input
        continue
      }
      switch node.op {
      case .matrix(.matMul):
        guard let other = node.input(1) else { return .other(id) }
        chain.nodes.append(id)
        if isActivation(input), isActivation(other) { return .product(id, finished(chain)) }
        let (inner, constant) = isActivation(input) ? (input, other) : (other, input)
        if depth < 3, case .product(let product, let above) = scoreSource(inner, depth: depth + 1) {
          chain.mixes.append(id)
          return .product(product, finished(chain, behind: above))
        }
        if isLearnedOperand(constant) { return .product(id, finished(chain)) }
        return .projection(id, finished(chain))
      case .convolution:
        chain.nodes.append(id)
        if depth < 3, case .product(let product, let above) = scoreSource(input, depth: depth + 1) {
          chain.mixes.append(id)
          return .product(product, finished(chain, behind: above))
        }
        return .projection(id, finished(chain))
      case .cast, .unary(.identity), .clip: value = input
      case .unary(.tanh):
        chain.isCapped = true
        value = input
      case .unary(.neg):
        chain.scale = -chain.scale
        chain.scales.append(id)
        value = input
      case .normalization(.batch), .normalization(.instance), .normalization(.group): value = input
      case .binary(.multiply), .binary(.divide):
        guard let other = node.input(1) else { return .other(id) }
        if !isActivation(other) {
          if let factor = scalar(other) {
            chain.scale *= node.op == .binary(.divide) ? 1 / factor : factor
            chain.scales.append(id)
          } else {
            chain.hasTemperature = true
          }
          value = input
        } else if !isActivation(input) {
          guard node.op == .binary(.multiply) else { return .other(id) }
          chain.hasTemperature = true
          value = other
        } else {
          guard let choice = scored(input, other, depth) else { return .other(id) }
          chain.factors.append(choice == input ? other : input)
          value = choice
        }
      case .binary(.add), .binary(.subtract):
        guard let other = node.input(1) else { return .other(id) }
        if !chain.scales.isEmpty { chain.scalesBias = true }
        if !isActivation(other) {
          chain.biases.append((other, false))
          value = input
        } else if !isActivation(input) {
          chain.biases.append((input, false))
          value = other
        } else {
          guard let choice = scored(input, other, depth) else { return .other(id) }
          chain.biases.append((choice == input ? other : input, false))
          value = choice
        }
      case .select:
        guard let a = node.input(1), let b = node.input(2) else { return .other(id) }
        chain.biases.append((input, true))
        value = isActivation(b) ? b : a
      case .indexing(.scatterND), .indexing(.scatterElements):
        // Scores of some pairs are written anew: what is added to them is computed.
        guard let updates = node.input(2) else { return .other(id) }
        chain.biases.append((updates, false))
        value = input
      case .indexing(.gather) where permutation(id) != nil:
        chain.permutations += permutation(id).map { [$0] } ?? []
        value = input
      case .layout(.concat):
        if let found = permutation(id), let whole = producer(input)?.node.input(0) {
          chain.permutations.append(found)
          value = whole
          break
        }
        var products: [NodeID] = []
        for case let part? in node.inputs {
          guard depth < 3, case .product(let product, let above) = scoreSource(part, depth: depth + 1) else { continue }
          products.append(product)
          chain.nodes += above.nodes
        }
        if products.count == 1, let scores = besideSink(node) {
          chain.hasSink = true
          value = scores
          break
        }
        guard products.count > 1 else { return .other(id) }
        chain.nodes.append(id)
        return .joined(products, finished(chain))
      case .reduction(let reduction) where reduction.kind == .sum:
        chain.nodes.append(id)
        // Scores are sums over channels; a sum over tokens is what weights gather.
        if let (a, _, axes) = summedProduct(id), let layout = labels.layout(a),
          axes.allSatisfy({ layout.axes.indices.contains($0) && labels.kind(layout.axes[$0]) == .channel })
        {
          if let made = producer(input) { chain.nodes.append(made.id) }
          return .product(id, finished(chain))
        }
        // Maps of positions beside the map of contents, each with its own norm, and then their sum (Wang et al. 2020).
        guard depth < 3, case .joined(let products, let above) = scoreSource(input, depth: depth + 1),
          let contents = products.first(where: { graph[$0].inputs.allSatisfy { $0.map(isActivation) ?? false } })
        else { return .other(id) }
        chain.isSummed = true
        chain.steps.append(id)
        chain.biases.append((input, false))
        return .product(contents, finished(chain, behind: above))
      case .layout(.pad):
        // Columns beside the keys, which take part of the probability and have no values.
        guard let before = shape(input)?.dims, let after = shape(value)?.dims, before.count == after.count, before.dropLast() == after.dropLast() else {
          return .other(id)
        }
        chain.hasSink = true
        value = input
      default:
        return .other(id)
      }
      chain.nodes.append(id)
    }
    return .other(nil)
  }

  /// A constant operand that holds queries or keys for each head, not one matrix for all.
  private func isLearnedOperand(_ constant: ValueID) -> Bool {
    guard let dims = shape(constant)?.dims, dims.count >= 3 else { return false }
    return dims.count >= 4 || dims.dropLast(2).contains { $0 != 1 }
  }

  /// The scores, where what stands beside them on the last axis is one column that does not depend on the input.
  private func besideSink(_ concat: Node) -> ValueID? {
    let activations = concat.inputs.compactMap { $0 }.filter { isActivation($0) }
    let others = concat.inputs.compactMap { $0 }.filter { !isActivation($0) }
    guard activations.count == 1, let scores = activations.first, !others.isEmpty, let whole = shape(scores)?.dims else { return nil }
    return others.allSatisfy { shape($0)?.dims.last == 1 && shape($0)?.dims.count == whole.count } ? scores : nil
  }

  /// Of two activations that are added or multiplied, the one that comes from a product: the larger, the nearer.
  private func scored(_ a: ValueID, _ b: ValueID, _ depth: Int) -> ValueID? {
    guard depth < 3 else { return nil }
    var found: [(value: ValueID, length: Int)] = []
    for choice in [a, b] {
      if case .product(_, let chain) = scoreSource(choice, depth: depth + 1) { found.append((choice, chain.nodes.count)) }
    }
    return found.min { $0.length < $1.length }?.value
  }

  private func finished(_ chain: ScoreChain, behind above: ScoreChain = ScoreChain()) -> ScoreChain {
    var chain = chain
    chain.steps.reverse()
    chain.steps = above.steps + chain.steps
    chain.scale *= above.scale
    chain.hasTemperature = chain.hasTemperature || above.hasTemperature
    chain.biases += above.biases
    chain.mixes += above.mixes
    chain.factors += above.factors
    chain.nodes += above.nodes
    chain.isCapped = chain.isCapped || above.isCapped
    chain.permutations += above.permutations
    chain.scales += above.scales
    chain.scalesBias = chain.scalesBias || above.scalesBias || (!chain.scales.isEmpty && !above.biases.isEmpty)
    chain.hasSink = chain.hasSink || above.hasSink
    chain.isSummed = chain.isSummed || above.isSummed
    return chain
  }
}

/// Where probabilities meet values.
struct ValueMeeting {
  enum Form {
    /// A batched product; which operand the probabilities are.
    case product(operand: Int)
    /// An element-wise product and a sum over `axes` of it.
    case weightedSum(sum: NodeID, axes: [Int], values: ValueID)
    /// A product with a constant: learned values.
    case learned
  }
  var node: NodeID
  var form: Form
  var steps: [NodeID]
  var mixes: [NodeID]
  /// Activations or tables that multiply or join the probabilities.
  var gates: [ValueID]
  var nodes: [NodeID]
  var multipliers: [(node: NodeID, value: ValueID)] = []
  var addends: [(node: NodeID, value: ValueID)] = []
  /// Whether they are divided by something, their sum say.
  var isRenormalized = false
  var permutations: [AxisPermutation] = []
}

extension GraphView {
  /// Follows probabilities down to what they weigh.
  func valueMeeting(_ probabilities: ValueID) -> ValueMeeting? {
    var pending = [ValueMeeting(node: NodeID(raw: 0), form: .learned, steps: [], mixes: [], gates: [], nodes: [])]
    var values = [probabilities]
    var learned: ValueMeeting?
    var seen: Set<ValueID> = [probabilities]
    var visited = 0
    while visited < 96, !pending.isEmpty {
      visited += 1
      let state = pending.removeFirst()
      let value = values.removeFirst()
      for id in uses.readers(of: value) {
        let node = graph[id]
        guard let output = node.output(0) else { continue }
        var next = state
        next.nodes.append(id)
        switch node.op {
        case .matrix(.matMul):
          guard let a = node.input(0), let b = node.input(1) else { continue }
          let other = a == value ? b : a
          next.node = id
          if isActivation(other) {
            next.form = .product(operand: a == value ? 0 : 1)
            return next
          }
          if learned == nil { learned = next }
          next.mixes.append(id)
        case .convolution where node.input(0) == value: next.mixes.append(id)
        case .normalization where node.input(0) == value: next.gates.append(value)
        case .cast, .unary(.identity), .clip: break
        case .select where node.input(0) != value:
          // A guard against what is no number asks the probabilities themselves; a mask does not.
          if let condition = node.input(0), !ancestry(condition, limit: 4).contains(value) { next.gates.append(condition) }
        case .binary(.divide) where node.input(0) == value: next.isRenormalized = true
        case .indexing(.gather):
          guard node.input(0) == value, let found = permutation(id) else { continue }
          next.permutations.append(found)
        case .binary(.add), .binary(.subtract):
          guard let other = node.input(0) == value ? node.input(1) : node.input(0), other != value, shape(output) == shape(value) else { continue }
          next.gates.append(other)
          next.addends.append((id, other))
        case .binary(.multiply):
          guard let other = node.input(0) == value ? node.input(1) : node.input(0) else { continue }
          if isActivation(other), !isNormalizedAgain(output), let (sum, axes) = summed(output) {
            next.node = id
            next.form = .weightedSum(sum: sum, axes: axes, values: other)
            next.nodes.append(sum)
            return next
          }
          guard shape(output) == shape(value) else { continue }
          if scalar(other) == nil {
            next.gates.append(other)
            next.multipliers.append((id, other))
          }
        case .layout where Rearrangement.isRearrangement(node) && node.input(0) == value: next.steps.append(id)
        default: continue
        }
        if seen.insert(output).inserted {
          pending.append(next)
          values.append(output)
        }
      }
    }
    return learned
  }

  /// The operands and axes of a sum over an element-wise product of two activations of the same rank.
  func summedProduct(_ sum: NodeID) -> (a: ValueID, b: ValueID, axes: [Int])? {
    guard case .reduction(let reduction) = graph[sum].op, reduction.kind == .sum, let input = graph[sum].input(0), let (_, product) = producer(input),
      product.op == .binary(.multiply), let a = product.input(0), let b = product.input(1), a != b, isActivation(a), isActivation(b),
      let rank = shape(input)?.rank, shape(a)?.rank == rank, shape(b)?.rank == rank, shape(a) != shape(b),
      let axes = graph[sum].input(1).flatMap({ typed.known($0)?.integers })
    else { return nil }
    return (a, b, axes.map { $0 < 0 ? $0 + rank : $0 })
  }

  /// Whether a value is divided by something, its own sum say.
  private func isNormalizedAgain(_ value: ValueID) -> Bool {
    uses.readers(of: value).contains { graph[$0].op == .binary(.divide) && graph[$0].input(0) == value }
  }

  /// The sum over some axes that alone reads a value.
  func summed(_ value: ValueID) -> (NodeID, [Int])? {
    for id in uses.readers(of: value) {
      guard case .reduction(let reduction) = graph[id].op, reduction.kind == .sum || reduction.kind == .mean, let rank = shape(value)?.rank,
        let axes = graph[id].input(1).flatMap({ typed.known($0)?.integers })
      else { continue }
      return (id, axes.map { $0 < 0 ? $0 + rank : $0 })
    }
    return nil
  }
}
