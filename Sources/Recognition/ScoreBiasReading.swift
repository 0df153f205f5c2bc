internal import GraphIR
internal import Tensors

/// Tells what is added to the scores by looking at it.
enum ScoreBiasReading {
  /// Larger constants are not read; they count as what they most likely are, a table.
  static let elementLimit = 1 << 20

  /// What biases say. Banded: each query sees what is near to it on either side, and nothing else.
  typealias Reading = (bias: ScoreBias, causal: Bool, isBanded: Bool)

  /// - Parameter map: a value of the original graph that stands for biases which are none of its values, such as the
  ///   mask that an attribute of a fused operator asks for.
  static func read(_ biases: [(value: ValueID, isMask: Bool)], _ view: GraphView, map: ValueID) -> Reading {
    var found: [ScoreBias] = []
    var causal = false
    var isBanded = false
    for (value, isMask) in biases {
      let id = original(of: value, view) ?? map
      if view.isActivation(value) {
        // A condition that is computed may hold a constant one in it: keys that exist, and those that precede the query.
        if isMask, !hidesWhereTrue(value, view) {
          for part in conjuncts(value, view) where !view.isActivation(part) {
            guard let tensor = BatchlessConstants.evaluate(part, view), let elements = tensor.doubles() else { continue }
            if isCausal(elements.map { $0 == 0 }, tensor.dims) { causal = true }
          }
        }
        found.append(.computed(id))
        continue
      }
      guard let tensor = BatchlessConstants.evaluate(value, view), let elements = tensor.doubles() else {
        found.append(isMask ? .mask(id) : .constant(id))
        continue
      }
      // A condition hides where it is true or where it is false; either way it only hides.
      if isMask {
        found.append(.mask(id))
        let hides = hidesWhereTrue(value, view)
        let hidden = elements.map { ($0 != 0) == hides }
        if isCausal(hidden, tensor.dims) { causal = true }
        if Self.isBanded(hidden, tensor.dims) { isBanded = true }
        continue
      }
      // What is the same for all keys changes no probability.
      if let first = elements.first, elements.allSatisfy({ $0 == first }) { continue }
      let hidden = elements.map { $0 <= -1e4 }
      // Biases by distance may stand in the same constant.
      if isCausal(hidden, tensor.dims) { causal = true }
      if Self.isBanded(hidden, tensor.dims) { isBanded = true }
      found.append(zip(elements, hidden).allSatisfy { $0 == 0 || $1 } ? .mask(id) : .constant(id))
    }
    guard let first = found.first else { return (.none, false, false) }
    // Several at once are no one constant: what is computed says most.
    return (found.first { if case .computed = $0 { true } else { false } } ?? first, causal, isBanded)
  }

  /// The value itself, or the condition that it was made of.
  private static func original(of value: ValueID, _ view: GraphView) -> ValueID? {
    if let id = view.original(of: value) { return id }
    guard let (_, node) = view.producer(value), node.op == .select, let condition = node.input(0) else { return nil }
    return view.original(of: condition)
  }

  /// Conditions of which all must hold.
  private static func conjuncts(_ condition: ValueID, _ view: GraphView) -> [ValueID] {
    var parts: [ValueID] = []
    var pending = [condition]
    while let value = pending.popLast(), parts.count + pending.count < 16 {
      if let (_, node) = view.producer(value), node.op == .binary(.and) { pending += node.inputs.compactMap { $0 } } else { parts.append(value) }
    }
    return parts
  }

  /// Whether a condition's choice hides the scores for which it is true.
  private static func hidesWhereTrue(_ condition: ValueID, _ view: GraphView) -> Bool {
    view.uses.readers(of: condition).contains { reader in
      guard view.graph[reader].op == .select, view.graph[reader].input(0) == condition, let chosen = view.graph[reader].input(1) else { return false }
      return view.scalar(chosen).map { $0 <= -1e4 } ?? false
    }
  }

  /// Whether each query sees the places that are less than some distance away, and no others; not all, and more than itself.
  private static func isBanded(_ hidden: [Bool], _ dims: [Int]) -> Bool {
    guard dims.count >= 2, let n = dims.last, n > 2, dims[dims.count - 2] == n, hidden.count >= n * n else { return false }
    let reach = hidden[..<n].firstIndex(of: true) ?? n
    guard (2..<n).contains(reach) else { return false }
    for (index, isHidden) in hidden.enumerated() where isHidden != (abs(index / n % n - index % n) >= reach) { return false }
    return true
  }

  /// Whether a constant factor of the scores is 0 for what comes after the query, and nowhere else.
  static func showsPast(_ factor: ValueID, _ view: GraphView) -> Bool {
    guard let tensor = BatchlessConstants.evaluate(factor, view), tensor.count <= elementLimit, let elements = tensor.doubles() else { return false }
    return isCausal(elements.map { $0 == 0 }, tensor.dims)
  }

  /// Whether each query sees itself and what precedes it, and nothing else.
  private static func isCausal(_ hidden: [Bool], _ dims: [Int]) -> Bool {
    guard dims.count >= 2, let n = dims.last, n > 1, dims[dims.count - 2] == n else { return false }
    for (index, isHidden) in hidden.enumerated() {
      let (row, column) = (index / n % n, index % n)
      if isHidden != (column > row) { return false }
    }
    return true
  }
}
