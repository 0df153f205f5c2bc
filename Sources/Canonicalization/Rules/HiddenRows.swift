internal import GraphIR
internal import Tensors

/// Whether a mask can hide a whole row of attention scores: the softmax of such a row is not a number.
enum HiddenRows {
  /// Follows the scores back to the product they come from. What is not understood may hide anything.
  static func mayOccur(in scores: ValueID, _ sweep: Sweep, depth: Int = 16) -> Bool {
    guard depth > 0, let site = sweep.producer(scores), let x = site.input(0) else { return true }
    func next(_ value: ValueID) -> Bool { mayOccur(in: value, sweep, depth: depth - 1) }
    switch site.op {
    case .matrix: return false
    case .binary(.multiply), .binary(.divide):
      guard let y = site.input(1) else { return true }
      if isFinite(y, sweep) { return next(x) }
      return site.op == .binary(.divide) || !isFinite(x, sweep) || next(y)
    case .binary(.add):
      guard let y = site.input(1) else { return true }
      if let mask = sweep.constant(y) { return !showsEveryRow(mask) || next(x) }
      if let mask = sweep.constant(x) { return !showsEveryRow(mask) || next(y) }
      return next(x) || next(y)
    case .select:
      guard let a = site.input(1), let b = site.input(2) else { return true }
      if isFinite(a, sweep) { return sweep.constant(b) != nil || next(b) }
      if isFinite(b, sweep) { return sweep.constant(a) != nil || next(a) }
      // Where the condition is known, each row has to keep one of the scores.
      guard let condition = sweep.constant(x), sweep.shape(x)?.dims.last == sweep.shape(scores)?.dims.last else { return true }
      if sweep.constant(a) != nil { return !hasInEveryRow(condition, { $0 == 0 }) || next(b) }
      if sweep.constant(b) != nil { return !hasInEveryRow(condition, { $0 != 0 }) || next(a) }
      return true
    case .cast: return next(x)
    case .layout(.reshape), .layout(.transpose):
      // Rows stay rows where the last axis stays.
      guard let before = sweep.shape(x)?.dims.last, before == sweep.shape(scores)?.dims.last else { return true }
      if case .layout(.transpose(let axes)) = site.op, axes.isEmpty || axes.last != axes.count - 1 { return true }
      return next(x)
    default: return true
    }
  }

  private static func isFinite(_ value: ValueID, _ sweep: Sweep) -> Bool {
    guard let numbers = sweep.constant(value)?.doubles() else { return false }
    return numbers.allSatisfy { $0.isFinite }
  }

  private static func showsEveryRow(_ mask: Tensor) -> Bool { hasInEveryRow(mask) { $0 > -.infinity } }

  private static func hasInEveryRow(_ tensor: Tensor, _ isVisible: (Double) -> Bool) -> Bool {
    guard let numbers = tensor.doubles(), !numbers.isEmpty else { return false }
    let width = max(tensor.dims.last ?? 1, 1)
    return stride(from: 0, to: numbers.count, by: width).allSatisfy { numbers[$0..<min($0 + width, numbers.count)].contains(where: isVisible) }
  }
}
