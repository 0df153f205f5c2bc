internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Normalizations with what the operators of the IR do not say: statistics kept in another precision, statistics per
/// position, and the results of training before version 14.
extension NormalizationRules {
  /// The first stage in the precision that `stash_type` names: the tensor without scale and bias, and its statistics.
  static func stashed(_ stash: ElementType, _ view: NodeView, _ op: NormalizationOp) throws(Failure) -> Translation {
    guard let element = view.type(at: 0)?.element else { return .unsupported("a stash type, and its element type is not declared") }
    guard stash.isFloatingPoint, let one = Tensor.scalar(1, stash) else { return .unsupported("a stash type of \(stash.name)") }
    var list = StepList()
    let x = list.add(.cast(to: stash), .operand(0))
    switch op {
    case .group:
      // Its scale and bias are per channel, and go along.
      let (scale, bias) = (list.add(.cast(to: stash), .operand(1)), list.add(.cast(to: stash), .operand(2)))
      let normal = list.add(.normalization(op), x, scale, bias)
      return list.giving(list.add(.cast(to: element), normal))
    default:
      let normal = list.add(.normalization(op), x, .constant(try one.reshaped([1])))
      var statistics: [StepList.Operand?] = [nil, nil]
      for index in 1...2 where view.wants(index) { statistics[index - 1] = list.add(.cast(to: stash), list.result(index, of: normal)) }
      let back = list.add(.cast(to: element), normal)
      var y = list.add(.binary(.multiply), back, .operand(1))
      if view.operand(2) != nil { y = list.add(.binary(.add), y, .operand(2)) }
      return list.giving(y, statistics[0], statistics[1])
    }
  }

  /// BatchNormalization before version 14: Y, and the running and the batch's mean and variance where they are wanted,
  /// which makes it one of training. Without `spatial` every position has statistics of its own.
  static func earlierBatch(_ view: NodeView, epsilon: Float, momentum: Float, spatial: Bool) throws(Failure) -> Translation {
    let trains = (1..<max(view.resultCount, 1)).contains { view.wants($0) }
    if spatial {
      guard trains else { return .steps([.init(.normalization(.batch(epsilon: epsilon)), (0..<5).map { .operand($0) })]) }
      var list = StepList()
      let operands = (0..<5).map { StepList.Operand.operand($0) }
      let y = list.add(.normalization(.batchTraining(epsilon: epsilon, momentum: momentum)), operands)
      var results: [StepList.Operand?] = [y, list.result(1, of: y), list.result(2, of: y), nil, nil]
      if view.wants(3) || view.wants(4) {
        // Statistics that forget what was before are the batch's own.
        let batch = list.add(.normalization(.batchTraining(epsilon: epsilon, momentum: 0)), operands)
        results[3] = list.result(1, of: batch)
        results[4] = list.result(2, of: batch)
      }
      return .steps(list.steps, results: results)
    }
    guard let element = view.type(at: 0)?.element, let small = Tensor.scalar(Double(epsilon), element), let kept = Tensor.scalar(Double(momentum), element),
      let taken = Tensor.scalar(1 - Double(momentum), element)
    else { return .unsupported("statistics per position, and its element type is not declared") }
    var list = StepList()
    var (mean, variance) = (StepList.Operand.operand(3), StepList.Operand.operand(4))
    var results: [StepList.Operand?] = []
    if trains {
      let first = StepList.Operand.constant(try Tensor.vector([0]))
      mean = list.add(.reduction(.init(.mean, keepDims: false)), .operand(0), first)
      let centered = list.add(.binary(.subtract), .operand(0), mean)
      variance = list.add(.reduction(.init(.mean, keepDims: false)), list.add(.binary(.multiply), centered, centered), first)
      for (running, batch) in [(3, mean), (4, variance)] {
        let old = list.add(.binary(.multiply), .operand(running), .constant(kept))
        results.append(list.add(.binary(.add), old, list.add(.binary(.multiply), batch, .constant(taken))))
      }
      results += [mean, variance]
    }
    let deviation = list.add(.unary(.sqrt), list.add(.binary(.add), variance, .constant(small)))
    let normal = list.add(.binary(.divide), list.add(.binary(.subtract), .operand(0), mean), deviation)
    let scaled = list.add(.binary(.multiply), normal, .operand(1))
    let y = list.add(.binary(.add), scaled, .operand(2))
    return .steps(list.steps, results: [y] + results)
  }
}
