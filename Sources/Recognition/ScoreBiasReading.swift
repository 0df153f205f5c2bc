internal import GraphIR
internal import Tensors

/// Tells what is added to the scores by looking at it.
enum ScoreBiasReading {
  /// Larger constants are not read; they count as what they most likely are, a table.
  static let elementLimit = 1 << 20

  /// - Parameter map: a value of the original graph that stands for biases which are none of its values, such as the
  ///   mask that an attribute of a fused operator asks for.
  static func read(_ biases: [(value: ValueID, isMask: Bool)], _ view: GraphView, map: ValueID) -> (bias: ScoreBias, causal: Bool) {
    var found: [ScoreBias] = []
    var causal = false
    for (value, isMask) in biases {
      let id = original(of: value, view) ?? map
      if view.isActivation(value) {
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
        continue
      }
      if elements.allSatisfy({ $0 == 0 }) { continue }
      if elements.allSatisfy({ $0 == 0 || $0 <= -1e4 }) {
        found.append(.mask(id))
        if isCausal(elements, tensor.dims) { causal = true }
      } else {
        found.append(.constant(id))
      }
    }
    guard let first = found.first else { return (.none, false) }
    // Several at once are no one constant: what is computed says most.
    return (found.first { if case .computed = $0 { true } else { false } } ?? first, causal)
  }

  /// The value itself, or the condition that it was made of.
  private static func original(of value: ValueID, _ view: GraphView) -> ValueID? {
    if let id = view.original(of: value) { return id }
    guard let (_, node) = view.producer(value), node.op == .select, let condition = node.input(0) else { return nil }
    return view.original(of: condition)
  }

  /// Whether each query sees itself and what precedes it, and nothing else.
  private static func isCausal(_ elements: [Double], _ dims: [Int]) -> Bool {
    guard dims.count >= 2, let n = dims.last, n > 1, dims[dims.count - 2] == n else { return false }
    for (index, element) in elements.enumerated() {
      let (row, column) = (index / n % n, index % n)
      if (element == 0) != (column <= row) { return false }
    }
    return true
  }
}
