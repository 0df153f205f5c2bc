internal import GraphIR
internal import Tensors

/// A softmax that was taken apart stands as one node again.
enum SoftmaxForm {
  static let rules: [Rule] = [quotient]

  /// `exp(x - max(x)) / sum(exp(x - max(x))) = softmax(x)`; also without the maximum.
  static let quotient = Rule(.recognitionOnly) { site, sweep in
    guard site.op == .binary(.divide), let e = site.input(0), let (exponent, expOrigins) = sweep.operand(e, of: .exp),
      let (summed, axis, sumOrigins) = reduced(site.input(1), .sum, sweep), summed == e
    else { return nil }
    var x = exponent
    var origins = expOrigins.union(sumOrigins)
    if let (inner, m, differenceOrigins) = sweep.operands(exponent, of: .subtract), let (largest, maxAxis, maxOrigins) = reduced(m, .max, sweep),
      largest == inner,
      maxAxis == axis
    {
      x = inner
      origins = origins.union(differenceOrigins).union(maxOrigins)
    }
    return sweep.make(.softmax(.softmax(axis: axis)), [x], for: site, origins: origins).map { [$0] }
  }

  private static func reduced(_ value: ValueID?, _ kind: ReductionOp.Kind, _ sweep: Sweep) -> (ValueID, axis: Int, OriginSet)? {
    guard let node = sweep.producer(value), case .reduction(let reduction) = node.op, reduction.kind == kind, reduction.keepDims, let x = node.input(0),
      let rank = sweep.shape(x)?.rank, let axes = sweep.integers(node.input(1)), axes.count == 1
    else { return nil }
    return (x, axes[0] < 0 ? axes[0] + rank : axes[0], node.origins)
  }
}
