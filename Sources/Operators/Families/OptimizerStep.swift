internal import Diagnostics
internal import Glibc
internal import GraphIR
internal import Tensors

/// Adagrad, Adam, Momentum (ai.onnx.preview.training 1): rate, step count, then all weights, all gradients, and all of
/// each state; results are the new weights and states.
struct OptimizerStep: CataloguedOperator {
  let op: CataloguedOp
  /// Lists of tensors behind rate and count, and among the results.
  private var lists: Int { op.kind == .adam ? 4 : 3 }
  var arity: Arity { Arity(2 + lists...2 + lists * 1024, results: lists - 1...(lists - 1) * 1024) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    try checkFloat(try operands.required(0).type.element)
    try checkElement(try operands.required(1), [.int64], "a step count")
    guard (operands.count - 2) % lists == 0 else { throw Failure(.operandCount, "\(mnemonic) has \(operands.count - 2) tensors in \(lists) lists") }
    let count = (operands.count - 2) / lists
    for index in 0..<count {
      let shape = try operands.required(2 + index).type.shape
      for list in 0..<lists {
        let operand = try operands.required(2 + list * count + index)
        try checkFloat(operand.type.element)
        guard let shape, let own = operand.type.shape else { continue }
        guard own.rank == shape.rank else { throw mismatch("tensors of \(shape) and \(own)") }
        for (a, b) in zip(shape.dims, own.dims) { try checkAgree(a, b, "tensors of \(shape) and \(own)") }
      }
    }
    var results: [Fact] = []
    for list in 0..<lists where list != 1 { for index in 0..<count { results.append(Fact(try operands.required(2 + list * count + index).type)) } }
    return results
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let types = try resultTypes(operands, resultCount)
    let rate = try scalar(try operands.required(0), "the rate")
    let step = try whole(try operands.required(1), "the step count")
    let count = (operands.count - 2) / lists
    var results: [[Tensor]] = [[Tensor]](repeating: [], count: lists - 1)
    for index in 0..<count {
      func list(_ number: Int) throws(Failure) -> [Double] { try operands.required(2 + number * count + index).reals(for: mnemonic) }
      let weights = try list(0)
      let gradients = zip(weights, try list(1)).map { op.float("norm_coefficient") * $0 + $1 }
      let made: [[Double]] =
        switch op.kind {
        case .adagrad: adagrad(weights, gradients, try list(2), rate, step)
        case .adam: adam(weights, gradients, try list(2), try list(3), rate, step)
        default: momentum(weights, gradients, try list(2), rate, step)
        }
      for (number, values) in made.enumerated() {
        let type = types[number * count + index]
        results[number].append(try Tensor(type.element, dims: type.dims, reals: values))
      }
    }
    return results.flatMap { $0 }
  }

  private func adagrad(_ x: [Double], _ g: [Double], _ h: [Double], _ rate: Double, _ step: Int) -> [[Double]] {
    let r = rate / (1 + Double(step) * op.float("decay_factor"))
    let squares = zip(h, g).map { $0 + $1 * $1 }
    return [x.indices.map { x[$0] - r * g[$0] / (squares[$0].squareRoot() + op.float("epsilon")) }, squares]
  }

  private func adam(_ x: [Double], _ g: [Double], _ v: [Double], _ h: [Double], _ rate: Double, _ step: Int) -> [[Double]] {
    let (alpha, beta) = (op.float("alpha"), op.float("beta"))
    let means = zip(v, g).map { alpha * $0 + (1 - alpha) * $1 }
    let squares = zip(h, g).map { beta * $0 + (1 - beta) * $1 * $1 }
    let r = step > 0 ? rate * (1 - pow(beta, Double(step))).squareRoot() / (1 - pow(alpha, Double(step))) : rate
    let shrink = 1 - op.float("norm_coefficient_post")
    return [x.indices.map { shrink * (x[$0] - r * means[$0] / (squares[$0].squareRoot() + op.float("epsilon"))) }, means, squares]
  }

  private func momentum(_ x: [Double], _ g: [Double], _ v: [Double], _ rate: Double, _ step: Int) -> [[Double]] {
    let alpha = op.float("alpha")
    let beta = step > 0 ? op.float("beta") : 1
    let velocity = zip(v, g).map { alpha * $0 + beta * $1 }
    let nesterov = op.word("mode") == "nesterov"
    return [x.indices.map { x[$0] - rate * (nesterov ? g[$0] + alpha * velocity[$0] : velocity[$0]) }, velocity]
  }
}
