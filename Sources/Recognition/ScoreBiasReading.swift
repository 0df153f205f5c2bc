internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Tells what is added to the scores by looking at it.
enum ScoreBiasReading {
  /// Larger constants are not read; they count as what they most likely are, a table.
  static let elementLimit = 1 << 20

  static func read(_ biases: [(value: ValueID, isMask: Bool)], _ view: GraphView) -> (bias: ScoreBias, causal: Bool) {
    var found: [ScoreBias] = []
    var causal = false
    for (value, isMask) in biases {
      guard let id = view.original(of: value) else {
        found.append(.computed(value))
        continue
      }
      if view.isActivation(value) {
        found.append(.computed(id))
        continue
      }
      guard let tensor = view.typed.constant(value), tensor.count <= elementLimit, let elements = tensor.doubles() else {
        // Too large to have been folded: what fills it tells whether it is all zeros.
        if isMask { found.append(.mask(id)) } else if uniform(value, view) != 0 { found.append(.constant(id)) }
        continue
      }
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
    if found.count == 1 { return (first, causal) }
    // Several at once are not one constant.
    if causal, case .mask = first { return (first, true) }
    if case .computed(let id) = found.first(where: { if case .computed = $0 { true } else { false } }) ?? first { return (.computed(id), causal) }
    return (first, causal)
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

  /// The number that fills a value made of one number, whatever its size.
  private static func uniform(_ value: ValueID, _ view: GraphView, depth: Int = 0) -> Double? {
    if let number = view.scalar(value) { return number }
    guard depth < 16, let (_, node) = view.producer(value) else { return nil }
    func operand(_ index: Int) -> Double? { node.input(index).flatMap { uniform($0, view, depth: depth + 1) } }
    switch node.op {
    case .generator(.constantOfShape(let fill)): return fill.value
    case .layout(let layout):
      switch layout {
      case .reshape, .transpose, .squeeze, .unsqueeze, .flatten, .expand, .slice, .tile: return operand(0)
      default: return nil
      }
    case .cast, .unary(.identity): return operand(0)
    case .binary(.multiply):
      guard let a = operand(0), let b = operand(1) else { return nil }
      return a * b
    case .select:
      guard let a = operand(1), let b = operand(2), a == b else { return nil }
      return a
    default: return nil
    }
  }
}
