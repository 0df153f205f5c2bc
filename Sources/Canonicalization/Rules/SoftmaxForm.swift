internal import GraphIR
internal import Tensors

/// A softmax that was taken apart stands as one node again.
enum SoftmaxForm {
  static let rules: [Rule] = [quotient, late]

  /// `exp(x - max(x)) / sum(exp(x - max(x))) = softmax(x)`; also without the maximum.
  static let quotient = Rule(.rounding) { site, sweep in
    guard site.op == .binary(.divide), let e = site.input(0), let (x, axis, origins) = exponentials(e, over: site.input(1), sweep) else { return nil }
    return sweep.make(.softmax(.softmax(axis: axis)), [x], for: site, origins: origins).map { [$0] }
  }

  /// `(e v) / sum(e) = softmax(x) v`, with `e = exp(x - max(x))`: normalized behind the product, as tiled kernels do it.
  static let late = Rule(.rounding) { site, sweep in
    guard site.op == .binary(.divide), let product = sweep.producer(site.input(0)), product.op == .matrix(.matMul), let e = product.input(0),
      let v = product.input(1), let (x, axis, origins) = exponentials(e, over: site.input(1), sweep), let rank = sweep.shape(e)?.rank, axis == rank - 1,
      let probabilities = sweep.make(.softmax(.softmax(axis: axis)), [x], for: site, origins: origins)
    else { return nil }
    return sweep.make(.matrix(.matMul), [probabilities, v], for: site, origins: product.origins).map { [$0] }
  }

  /// What `e` is the exponential of, up to a maximum that was subtracted, and the axis over which `sum` adds it.
  private static func exponentials(_ e: ValueID, over sum: ValueID?, _ sweep: Sweep) -> (x: ValueID, axis: Int, OriginSet)? {
    guard let (exponent, expOrigins) = sweep.operand(e, of: .exp), let (summed, axis, sumOrigins) = reduced(sum, .sum, sweep), summed == e else { return nil }
    let origins = expOrigins.union(sumOrigins)
    guard let (inner, m, differenceOrigins) = sweep.operands(exponent, of: .subtract), let (largest, maxAxis, maxOrigins) = reduced(m, .max, sweep),
      largest == inner, maxAxis == axis
    else { return (exponent, axis, origins) }
    return (inner, axis, origins.union(differenceOrigins).union(maxOrigins))
  }

  private static func reduced(_ value: ValueID?, _ kind: ReductionOp.Kind, _ sweep: Sweep) -> (ValueID, axis: Int, OriginSet)? {
    guard let node = sweep.producer(value), case .reduction(let reduction) = node.op, reduction.kind == kind, reduction.keepDims, let x = node.input(0),
      let rank = sweep.shape(x)?.rank, let axes = sweep.integers(node.input(1)), axes.count == 1
    else { return nil }
    return (x, axes[0] < 0 ? axes[0] + rank : axes[0], node.origins)
  }
}
