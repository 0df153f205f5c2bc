internal import Diagnostics
internal import GraphIR
internal import Tensors

/// How a derivative passes an operator from its result to one of its operands. The one list of operators that have a
/// derivative; a new one is a case here.
struct DerivativeRule {
  private let op: Op

  /// nil where the operator has none here.
  init?(_ op: Op) {
    switch op {
    case .unary(let unary):
      switch unary {
      case .identity, .neg, .abs, .sqrt, .reciprocal, .exp, .log, .sin, .cos, .tanh, .sigmoid, .relu, .erf, .softplus: self.op = op
      default: return nil
      }
    case .binary(let binary):
      switch binary {
      case .add, .subtract, .multiply, .divide, .power: self.op = op
      default: return nil
      }
    case .matrix(.matMul), .layout(.reshape), .layout(.transpose), .layout(.squeeze), .layout(.unsqueeze), .layout(.flatten), .layout(.expand): self.op = op
    case .reduction(let reduction) where (reduction.kind == .sum || reduction.kind == .mean) && reduction.keepDims: self.op = op
    default: return nil
    }
  }

  /// What reaches operand `index` of what reaches the result; nil where nothing does, as at shapes and axes.
  func derivative(
    _ index: Int, _ operands: [ValueID?], output: ValueID, incoming g: ValueID, _ w: inout DerivativeWriter
  ) throws(Failure) -> ValueID? {
    guard index < operands.count, let x = operands[index], let first = operands.first.flatMap({ $0 }) else { return nil }
    switch op {
    case .unary(let unary): return try w.add(.binary(.multiply), [g, slope(unary, x, output, &w)])
    case .binary(let binary):
      guard operands.count > 1, let second = operands[1] else { return nil }
      return try w.summed(try through(binary, index, first, second, output, g, &w), like: x)
    case .matrix:
      guard operands.count > 1, let second = operands[1] else { return nil }
      return try product(index, first, second, g, x, &w)
    case .reduction(let reduction):
      guard index == 0 else { return nil }
      let spread = w.add(.layout(.expand), [g, w.shape(of: x)])
      guard reduction.kind == .mean else { return spread }
      let counts = (w.add(.generator(.size), [output]), w.add(.generator(.size), [x]))
      let share = w.add(
        .binary(.divide), [w.add(.conversion(.like(NarrowingRule())), [counts.0, g]), w.add(.conversion(.like(NarrowingRule())), [counts.1, g])])
      return w.add(.binary(.multiply), [spread, share])
    case .layout(.transpose(let permutation)):
      var inverse = permutation
      for (place, axis) in permutation.enumerated() where inverse.indices.contains(axis) { inverse[axis] = place }
      return w.add(.layout(.transpose(inverse)), [g])
    case .layout(.expand): return index == 0 ? try w.summed(g, like: x) : nil
    case .layout: return index == 0 ? w.add(.layout(.reshape(allowZero: true)), [g, w.shape(of: x)]) : nil
    default: return nil
    }
  }

  /// The derivative of an element-wise function at `x`, where it gives `y`.
  private func slope(_ op: UnaryOp, _ x: ValueID, _ y: ValueID, _ w: inout DerivativeWriter) throws(Failure) -> ValueID {
    func number(_ value: Float, _ w: inout DerivativeWriter) throws(Failure) -> ValueID {
      w.add(.conversion(.like(NarrowingRule())), [w.constant(try Tensor(float32: [value], dims: [])), x])
    }
    func squared(_ value: ValueID, _ w: inout DerivativeWriter) -> ValueID { w.add(.binary(.multiply), [value, value]) }
    switch op {
    case .neg: return try number(-1, &w)
    case .abs: return w.add(.unary(.sign), [x])
    case .relu: return w.add(.unary(.sign), [y])
    case .sqrt: return w.add(.binary(.divide), [try number(0.5, &w), y])
    case .reciprocal: return w.add(.unary(.neg), [squared(y, &w)])
    case .exp: return y
    case .log: return w.add(.unary(.reciprocal), [x])
    case .sin: return w.add(.unary(.cos), [x])
    case .cos: return w.add(.unary(.neg), [w.add(.unary(.sin), [x])])
    case .tanh: return w.add(.binary(.subtract), [try number(1, &w), squared(y, &w)])
    case .sigmoid: return w.add(.binary(.multiply), [y, w.add(.binary(.subtract), [try number(1, &w), y])])
    case .softplus: return w.add(.unary(.sigmoid), [x])
    case .erf:
      // 2 / sqrt(pi) * exp(-x^2)
      return w.add(.binary(.multiply), [try number(2 / Float.pi.squareRoot(), &w), w.add(.unary(.exp), [w.add(.unary(.neg), [squared(x, &w)])])])
    default: return try number(1, &w)
    }
  }

  /// What reaches operand `index` of `op(a, b)`, still in the broadcast shape.
  private func through(
    _ op: BinaryOp, _ index: Int, _ a: ValueID, _ b: ValueID, _ y: ValueID, _ g: ValueID, _ w: inout DerivativeWriter
  ) throws(Failure) -> ValueID {
    switch (op, index) {
    case (.subtract, 1): return w.add(.unary(.neg), [g])
    case (.multiply, 0): return w.add(.binary(.multiply), [g, b])
    case (.multiply, _): return w.add(.binary(.multiply), [g, a])
    case (.divide, 0): return w.add(.binary(.divide), [g, b])
    case (.divide, _): return w.add(.unary(.neg), [w.add(.binary(.divide), [w.add(.binary(.multiply), [g, y]), b])])
    case (.power, 0):
      // b * a^(b - 1), which is right at a = 0 where y / a is not.
      let one = w.add(.conversion(.like(NarrowingRule())), [w.constant(try Tensor(float32: [1], dims: [])), b])
      let lower = w.add(.binary(.power), [a, w.add(.binary(.subtract), [b, one])])
      return w.add(.binary(.multiply), [g, w.add(.binary(.multiply), [w.add(.conversion(.like(NarrowingRule())), [b, a]), lower])])
    case (.power, _): return w.add(.binary(.multiply), [g, w.add(.binary(.multiply), [y, w.add(.unary(.log), [a])])])
    default: return g
    }
  }

  /// MatMul of operands of rank 2 or more: `g b^T` and `a^T g`, summed over broadcast batches.
  private func product(_ index: Int, _ a: ValueID, _ b: ValueID, _ g: ValueID, _ x: ValueID, _ w: inout DerivativeWriter) throws(Failure) -> ValueID {
    func fused(_ a: ValueID, _ b: ValueID, _ transposeA: Bool, _ transposeB: Bool, _ w: inout DerivativeWriter) -> ValueID {
      w.add(.matrix(.fusedMatMul(FusedMatMul(alpha: 1, transposeA: transposeA, transposeB: transposeB))), [a, b])
    }
    return try w.summed(index == 0 ? fused(g, b, false, true, &w) : fused(a, g, true, false, &w), like: x)
  }
}
