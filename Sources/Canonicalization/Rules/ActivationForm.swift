internal import GraphIR
internal import Tensors

/// Activations that exporters took apart stand as one node again.
enum ActivationForm {
  static let rules: [Rule] = [biased, erfGelu, tanhGelu, swish, hardSigmoid, hardSwish]

  /// `bias_gelu(x, b) = gelu(x + b)`.
  static let biased = Rule(.rounding) { site, sweep in
    guard site.op == .binary(.biasGelu), let x = site.input(0), let b = site.input(1), let sum = sweep.make(.binary(.add), [x, b], for: site) else {
      return nil
    }
    return sweep.make(.unary(.gelu(.exact)), [sum], for: site).map { [$0] }
  }

  /// `x * (erf(x / sqrt(2)) + 1) * 0.5`, bracketed in any way.
  static let erfGelu = Rule(.rounding) { site, sweep in
    guard let (factor, leaves, leafOrigins) = product(site, sweep), abs(factor - 0.5) < 1e-6, leaves.count == 2 else { return nil }
    for (x, gate) in [(leaves[0], leaves[1]), (leaves[1], leaves[0])] {
      guard let (e, one, sumOrigins) = sweep.operands(gate, of: .add), sweep.scalar(one) == 1, let (inner, erfOrigins) = sweep.operand(e, of: .erf),
        let (base, root, mulOrigins) = sweep.operands(inner, of: .multiply), base == x, let c = sweep.scalar(root), abs(c - 0.5.squareRoot()) < 1e-6
      else { continue }
      return sweep.make(.unary(.gelu(.exact)), [x], for: site, origins: leafOrigins.union(sumOrigins).union(erfOrigins).union(mulOrigins)).map { [$0] }
    }
    return nil
  }

  /// `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
  static let tanhGelu = Rule(.rounding) { site, sweep in
    guard let (factor, leaves, leafOrigins) = product(site, sweep), abs(factor - 0.5) < 1e-6, leaves.count == 2 else { return nil }
    for (x, gate) in [(leaves[0], leaves[1]), (leaves[1], leaves[0])] {
      guard let (t, one, sumOrigins) = sweep.operands(gate, of: .add), sweep.scalar(one) == 1, let (inner, tanhOrigins) = sweep.operand(t, of: .tanh),
        let (polynomial, root, rootOrigins) = sweep.operands(inner, of: .multiply), let c = sweep.scalar(root), abs(c - 0.797_884_56) < 1e-5,
        let (a, b, polynomialOrigins) = sweep.operands(polynomial, of: .add)
      else { continue }
      for (linear, cubic) in [(a, b), (b, a)] where linear == x {
        guard let (cube, weight, cubeOrigins) = sweep.operands(cubic, of: .multiply), let k = sweep.scalar(weight), abs(k - 0.044715) < 1e-6,
          let (base, three, powerOrigins) = sweep.operands(cube, of: .power), base == x, sweep.scalar(three) == 3
        else { continue }
        let origins = [sumOrigins, tanhOrigins, rootOrigins, polynomialOrigins, cubeOrigins, powerOrigins].reduce(leafOrigins) { $0.union($1) }
        return sweep.make(.unary(.gelu(.tanh)), [x], for: site, origins: origins).map { [$0] }
      }
    }
    return nil
  }

  /// `x * sigmoid(a x) = swish(x)`: SiLU at a = 1, QuickGELU at 1.702.
  static let swish = Rule(.rounding) { site, sweep in
    guard site.op == .binary(.multiply), let a = site.input(0), let b = site.input(1) else { return nil }
    for (x, gate) in [(a, b), (b, a)] {
      guard let (inner, origins) = sweep.operand(gate, of: .sigmoid) else { continue }
      if inner == x { return sweep.make(.unary(.swish(alpha: 1)), [x], for: site, origins: origins).map { [$0] } }
      if let (base, c, mulOrigins) = sweep.operands(inner, of: .multiply), base == x, let alpha = sweep.scalar(c) {
        return sweep.make(.unary(.swish(alpha: Float(alpha))), [x], for: site, origins: origins.union(mulOrigins)).map { [$0] }
      }
    }
    return nil
  }

  /// `clip(x + 3, 0, 6) / 6 = hard_sigmoid(x)` with the slope of 1/6.
  static let hardSigmoid = Rule(.rounding) { site, sweep in
    guard site.op == .binary(.multiply), let c = sweep.scalar(site.input(1)), abs(c - 1.0 / 6) < 1e-6, let clip = sweep.producer(site.input(0)),
      let (x, origins) = ramp(clip, sweep)
    else { return nil }
    return sweep.make(.unary(.hardSigmoid(alpha: 1 / 6, beta: 0.5)), [x], for: site, origins: clip.origins.union(origins)).map { [$0] }
  }

  /// `x * hard_sigmoid(x) = x * clip(x + 3, 0, 6) / 6 = hard_swish(x)`.
  static let hardSwish = Rule(.rounding) { site, sweep in
    guard site.op == .binary(.multiply), let a = site.input(0), let b = site.input(1) else { return nil }
    for (x, gate) in [(a, b), (b, a)] {
      guard let made = sweep.producer(gate), case .unary(.hardSigmoid(let alpha, let beta)) = made.op, made.input(0) == x, abs(alpha - 1 / 6) < 1e-6,
        abs(beta - 0.5) < 1e-6
      else { continue }
      return sweep.make(.unary(.hardSwish), [x], for: site, origins: made.origins).map { [$0] }
    }
    // The division stands outside.
    guard let c = sweep.scalar(b), abs(c - 1.0 / 6) < 1e-6, let (p, q, origins) = sweep.operands(a, of: .multiply) else { return nil }
    for (x, gate) in [(p, q), (q, p)] {
      guard let clip = sweep.producer(gate), let (base, sumOrigins) = ramp(clip, sweep), base == x else { continue }
      return sweep.make(.unary(.hardSwish), [x], for: site, origins: origins.union(clip.origins).union(sumOrigins)).map { [$0] }
    }
    return nil
  }

  /// The x of `clip(x + 3, 0, 6)`.
  private static func ramp(_ clip: Site, _ sweep: Sweep) -> (ValueID, OriginSet)? {
    guard clip.op == .clip, sweep.scalar(clip.input(1)) == 0, sweep.scalar(clip.input(2)) == 6,
      let (x, three, origins) = sweep.operands(clip.input(0), of: .add),
      sweep.scalar(three) == 3
    else { return nil }
    return (x, origins)
  }

  /// The number and the other factors of a product of products.
  private static func product(_ site: Site, _ sweep: Sweep) -> (Double, [ValueID], OriginSet)? {
    guard site.op == .binary(.multiply) else { return nil }
    var factor = 1.0
    var leaves: [ValueID] = []
    var origins: OriginSet = []
    var pending = site.inputs.compactMap { $0 }
    var depth = 0
    while let value = pending.popLast() {
      depth += 1
      if depth > 8 { return nil }
      if let number = sweep.scalar(value) {
        factor *= number
      } else if let (a, b, found) = sweep.operands(value, of: .multiply), sweep.scalar(a) != nil || sweep.scalar(b) != nil || leaves.isEmpty {
        origins = origins.union(found)
        pending += [a, b]
      } else {
        leaves.append(value)
      }
    }
    return (factor, leaves, origins)
  }
}
