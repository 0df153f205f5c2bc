internal import GraphIR
internal import Tensors

/// What changes nothing is removed.
enum IdentityForm {
  static let rules: [Rule] = [nothing, neutral, needless, guarded]

  /// `identity(x) = x`; a cast, reshape, transpose, slice, expansion or concatenation that leaves type and shape as they are.
  static let nothing = Rule(.exact) { site, sweep in
    guard let x = site.input(0) else { return nil }
    let same: Bool
    switch site.op {
    case .unary(.identity): same = true
    case .cast(let to): same = sweep.element(x) == to
    case .layout(.reshape), .layout(.squeeze), .layout(.unsqueeze), .layout(.flatten), .layout(.slice), .layout(.expand):
      same = unchanged(site, x, sweep)
    case .layout(.transpose(let permutation)): same = permutation == Array(permutation.indices) && !permutation.isEmpty
    case .layout(.concat): same = site.inputs.count == 1
    default: same = false
    }
    return same ? [x] : nil
  }

  private static func unchanged(_ site: Site, _ x: ValueID, _ sweep: Sweep) -> Bool {
    guard let before = sweep.shape(x), let after = sweep.resultShape(site), before == after else { return false }
    // A slice may keep the sizes and yet turn an axis around.
    if site.op == .layout(.slice), let steps = site.input(4) { return sweep.integers(steps)?.allSatisfy { $0 > 0 } ?? false }
    return true
  }

  /// `x + 0 = x - 0 = x`, `x * 1 = x / 1 = x ^ 1 = x` where broadcasting does not widen x. (Bits: -0 + 0 is +0.)
  /// Vectors stay: a bias of zeros or a layer scale of ones is a parameter like any other.
  static let neutral = Rule(.rounding) { site, sweep in
    guard case .binary(let op) = site.op, let a = site.input(0), let b = site.input(1), let shape = sweep.resultShape(site) else { return nil }
    let element: Double
    switch op {
    case .add, .subtract: element = 0
    case .multiply, .divide, .power: element = 1
    default: return nil
    }
    func isNeutral(_ value: ValueID) -> Bool { sweep.constant(value)?.count == 1 && sweep.scalar(value) == element }
    if sweep.shape(a) == shape, isNeutral(b) { return [a] }
    if op == .add || op == .multiply, sweep.shape(b) == shape, isNeutral(a) { return [b] }
    return nil
  }

  /// `where(is_nan(x), c, x) = x` for a softmax of which no row can be hidden as a whole: exporters put the guard everywhere.
  static let needless = Rule(.exact) { site, sweep in
    guard let x = checked(site, sweep), let softmax = sweep.producer(x), case .softmax(.softmax) = softmax.op, let scores = softmax.input(0),
      !HiddenRows.mayOccur(in: scores, sweep)
    else { return nil }
    return [x]
  }

  /// The same for any `x`.
  static let guarded = Rule(.ofNumbers) { site, sweep in checked(site, sweep).map { [$0] } }

  /// `x` of `where(is_nan(x), c, x)`.
  private static func checked(_ site: Site, _ sweep: Sweep) -> ValueID? {
    guard site.op == .select, let x = site.input(2), sweep.scalar(site.input(1)) != nil, let (checked, _) = sweep.operand(site.input(0), of: .isNaN),
      checked == x
    else { return nil }
    return x
  }
}
