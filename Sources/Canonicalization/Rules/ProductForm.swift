internal import GraphIR
internal import Tensors

/// Every matrix product is a MatMul of operands as they lie, with what was fused into it beside it.
enum ProductForm {
  static let rules: [Rule] = [gemm, fusedMatMul, flattened]

  /// `gemm(a, b, c) = alpha * (a' b') + beta * c`.
  static let gemm = Rule(.rounding) { site, sweep in
    guard case .matrix(.gemm(let alpha, let beta, let transposeA, let transposeB)) = site.op, var a = site.input(0), var b = site.input(1) else { return nil }
    if transposeA {
      guard let flipped = sweep.make(.layout(.transpose([1, 0])), [a], for: site) else { return nil }
      a = flipped
    }
    if transposeB {
      guard let flipped = sweep.make(.layout(.transpose([1, 0])), [b], for: site) else { return nil }
      b = flipped
    }
    guard var result = sweep.make(.matrix(.matMul), [a, b], for: site) else { return nil }
    if alpha != 1 {
      guard let factor = sweep.number(Double(alpha), like: result, for: site), let scaled = sweep.make(.binary(.multiply), [result, factor], for: site)
      else { return nil }
      result = scaled
    }
    if var c = site.input(2), beta != 0 {
      if beta != 1 {
        guard let factor = sweep.number(Double(beta), like: c, for: site), let scaled = sweep.make(.binary(.multiply), [c, factor], for: site) else {
          return nil
        }
        c = scaled
      }
      guard let sum = sweep.make(.binary(.add), [result, c], for: site) else { return nil }
      result = sum
    }
    return [result]
  }

  /// `fused_matmul(a, b) = alpha * (a' b')`: a batch transpose takes the first axis behind the batch axes, then a plain one
  /// exchanges the last two.
  static let fusedMatMul = Rule(.rounding) { site, sweep in
    guard case .matrix(.fusedMatMul(let fused)) = site.op, let first = site.input(0), let second = site.input(1),
      let a = transposed(first, plain: fused.transposeA, batch: fused.transposeBatchA, for: site, &sweep),
      let b = transposed(second, plain: fused.transposeB, batch: fused.transposeBatchB, for: site, &sweep),
      let product = sweep.make(.matrix(.matMul), [a, b], for: site)
    else { return nil }
    if fused.alpha == 1 { return [product] }
    guard let factor = sweep.number(Double(fused.alpha), like: product, for: site) else { return nil }
    return sweep.make(.binary(.multiply), [product, factor], for: site).map { [$0] }
  }

  private static func transposed(_ value: ValueID, plain: Bool, batch: Bool, for site: Site, _ sweep: inout Sweep) -> ValueID? {
    guard plain || batch else { return value }
    guard let rank = sweep.shape(value)?.rank, rank >= 2 else { return nil }
    var permutation = Array(0..<rank)
    if batch, rank > 2 { permutation = Array(1..<(rank - 1)) + [0, rank - 1] }
    if plain { permutation.swapAt(rank - 1, rank - 2) }
    return sweep.make(.layout(.transpose(permutation)), [value], for: site)
  }

  /// `reshape(reshape(x, [-1, C]) W + b, [.., C']) = x W + b` where only the axes before the last were flattened.
  static let flattened = Rule(.rounding) { site, sweep in
    guard case .layout(.reshape) = site.op, let y = site.input(0), let target = sweep.resultShape(site), target.rank > 2 else { return nil }
    var product = y
    var bias: ValueID?
    var origins: OriginSet = []
    if let (sum, constant, sumOrigins) = sweep.operands(y, of: .add), sweep.constant(constant)?.dims.count ?? 2 <= 1 {
      product = sum
      bias = constant
      origins = origins.union(sumOrigins)
    }
    guard let matMul = sweep.producer(product), matMul.op == .matrix(.matMul), let flat = matMul.input(0), let weight = matMul.input(1),
      sweep.shape(weight)?.rank == 2, sweep.shape(flat)?.rank == 2, let unflattening = sweep.producer(flat), case .layout(.reshape) = unflattening.op,
      let x = unflattening.input(0), let shape = sweep.shape(x), shape.rank == target.rank, shape.dims.dropLast() == target.dims.dropLast(),
      shape.dims.last == sweep.shape(weight)?[0], target.dims.last == sweep.shape(weight)?[1]
    else { return nil }
    origins = origins.union(matMul.origins).union(unflattening.origins)
    guard let result = sweep.make(.matrix(.matMul), [x, weight], for: site, origins: origins) else { return nil }
    guard let bias else { return [result] }
    return sweep.make(.binary(.add), [result, bias], for: site, origins: origins).map { [$0] }
  }
}
