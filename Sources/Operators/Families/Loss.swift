public import Diagnostics
public import GraphIR
internal import Glibc
public import Tensors

extension LossOp: Operator {
  public var mnemonic: String {
    switch kind {
    case .negativeLogLikelihood: "NegativeLogLikelihoodLoss"
    case .softmaxCrossEntropy: "SoftmaxCrossEntropyLoss"
    }
  }
  public var domain: String { "" }
  public var arity: Arity { Arity(2...3, results: kind == .softmaxCrossEntropy ? 1...2 : 1...1) }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0).type
    let target = try operands.required(1).type
    try checkFloat(x.element)
    _ = try operands.sharedElement([0, 2], of: mnemonic)
    guard target.element == .int32 || target.element == .int64 else { throw Failure(.typeMismatch, "\(mnemonic) has targets of \(target.element.name)") }
    if let shape = x.shape {
      guard shape.rank >= 2 else { throw mismatch("scores of shape \(shape)") }
      if let own = target.shape {
        guard own.rank == shape.rank - 1 else { throw mismatch("targets \(own) for scores \(shape)") }
        for (dim, size) in zip(own.dims, [shape[0]] + shape.dims[2...]) { try checkAgree(dim, size, "targets \(own) for scores \(shape)") }
      }
      if let weights = operands.fact(2)?.type.shape {
        guard weights.rank == 1 else { throw mismatch("weights of shape \(weights)") }
        try checkAgree(weights[0], shape[1], "weights and classes")
      }
    }
    let loss = reduction == .none ? target.shape ?? x.shape.map { Shape([$0[0]] + $0.dims[2...]) } : Shape([Dim]())
    return [Fact(TensorType(x.element, loss)), Fact(x)].prefix(resultCount).map { $0 }
  }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    Cost(elementwise: (operands.first??.elementCount ?? 0) &* (kind == .softmaxCrossEntropy ? 5 : 1))
  }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let types = try resultTypes(operands, resultCount)
    let x = try operands.required(0)
    var scores = try x.reals(for: mnemonic)
    let rows = AxisRows(x.dims, axis: 1)
    if kind == .softmaxCrossEntropy { scores = rows.map(scores) { logSoftmaxRow($0) } }
    let weights = try operands.tensor(2)?.reals(for: mnemonic)
    var losses: [Double] = []
    var total = 0.0
    for (place, target) in try operands.required(1).wholes(for: mnemonic).enumerated() {
      if target == ignoredIndex {
        losses.append(0)
        continue
      }
      guard 0..<rows.length ~= target else { throw Failure(.indexOutOfRange, "\(mnemonic): class \(target) of \(rows.length)") }
      let weight = weights?[target] ?? 1
      let (batch, inner) = (place / rows.inner, place % rows.inner)
      losses.append(-scores[(batch * rows.length + target) * rows.inner + inner] * weight)
      total += weight
    }
    let loss: Tensor
    switch reduction {
    case .none: loss = try Tensor(types[0].element, dims: types[0].dims, reals: losses)
    case .sum: loss = try Tensor(types[0].element, dims: [], reals: [losses.reduce(0, +)])
    case .mean: loss = try Tensor(types[0].element, dims: [], reals: [losses.reduce(0, +) / total])
    }
    return resultCount > 1 ? [loss, try Tensor(types[1].element, dims: types[1].dims, reals: scores)] : [loss]
  }
}
