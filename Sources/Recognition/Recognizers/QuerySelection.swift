internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Where the tokens that ask, and those that are asked, part from what both come from.
extension ProductAttention {
  /// How the tokens that ask were picked out of those that are asked.
  enum Selection {
    case none
    /// Every so many of them.
    case thinned
    /// Some that follow each other, which are asked as well, or are not.
    case part, apart
  }

  var selection: Selection {
    guard view.isActivation(queryValue) else { return .none }
    let asked = view.ancestry(key.source)
    let above = Set(asked)
    let asking = view.ancestry(query.source)
    guard let common = asking.firstIndex(where: { above.contains($0) }), let end = asked.firstIndex(of: asking[common]) else { return .none }
    var result = Selection.none
    for case let (_, node)? in asking[..<common].map({ view.producer($0) }) {
      switch node.op {
      case .pooling(.average(let window, _, _)) where window.kernel.allSatisfy({ $0 == 1 }): return .thinned
      case .convolution, .pooling, .reduction: return .none
      case .layout(.slice):
        guard isTokenSlice(node) else { continue }
        if let steps = node.input(4).flatMap({ view.typed.known($0)?.integers }), steps.contains(where: { $0 > 1 }) { return .thinned }
        result = .part
      default: continue
      }
    }
    guard result == .part else { return result }
    let isParted = asked[..<end].contains { value in
      guard let (_, node) = view.producer(value), node.op == .layout(.slice) else { return false }
      return isTokenSlice(node)
    }
    return isParted ? .apart : .part
  }

  /// Whether convolutions, pools or means stand between what both operands come from and what one is projected from.
  func reduces(_ operand: OperandTrace, otherThan other: OperandTrace) -> Bool {
    let above = Set(view.ancestry(other.source))
    for value in view.ancestry(operand.source) {
      if above.contains(value) { return false }
      guard let (_, node) = view.producer(value) else { return false }
      switch node.op {
      case .convolution, .pooling, .reduction: return true
      default: continue
      }
    }
    return false
  }

  private func isTokenSlice(_ node: Node) -> Bool {
    guard let input = node.input(0), let output = node.output(0), let before = view.shape(input), let after = view.shape(output), before.rank == after.rank
    else {
      return false
    }
    let kinds = view.labels.kinds(input)
    return before.dims.indices.contains { before[$0] != after[$0] && kinds.indices.contains($0) && kinds[$0] == .token }
  }
}
