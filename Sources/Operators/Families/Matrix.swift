public import Diagnostics
public import GraphIR
public import Tensors

extension MatrixOp: Operator {
  public var mnemonic: String {
    switch self {
    case .matMul: "MatMul"
    case .gemm: "Gemm"
    case .fusedMatMul: "FusedMatMul"
    case .einsum: "Einsum"
    case .determinant: "Det"
    }
  }
  public var domain: String { if case .fusedMatMul = self { "com.microsoft" } else { "" } }
  public var arity: Arity {
    switch self {
    case .matMul, .fusedMatMul: Arity(2...2)
    case .gemm: Arity(2...3)
    case .determinant: Arity(1...1)
    case .einsum: Arity(1...64)
    }
  }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let element = try operands.sharedElement(Array(operands.indices), of: mnemonic)
    try checkNumeric(element)
    let shape: Shape?
    switch self {
    case .matMul: shape = try product(try operands.required(0), try operands.required(1), FusedMatMul(alpha: 1, transposeA: false, transposeB: false))
    case .fusedMatMul(let form): shape = try product(try operands.required(0), try operands.required(1), form)
    case .gemm(_, _, let transposeA, let transposeB): shape = try gemm(operands, transposeA, transposeB)
    case .determinant:
      try checkFloat(element)
      shape = try operands.required(0).type.shape.map { (own) throws(Failure) in
        guard own.rank >= 2, own[own.rank - 1].agrees(with: own[own.rank - 2]) else { throw mismatch("matrices of shape \(own)") }
        return Shape(Array(own.dims.dropLast(2)))
      }
    case .einsum(let equation):
      var shapes: [Shape] = []
      for index in operands.indices {
        guard let next = try operands.required(index).type.shape else { return [Fact(TensorType(element, nil))] }
        shapes.append(next)
      }
      let einsum = try EinsumEquation(equation, ranks: shapes.map(\.rank))
      let sizes = try einsum.sizes(shapes)
      shape = Shape(einsum.output.compactMap { sizes[$0] })
    }
    return [Fact(TensorType(element, shape))]
  }

  /// The dimensions of a batched product's operand after its transposes: batch axes, rows, columns.
  private static func arranged<T>(_ dims: [T], transpose: Bool, transposeBatch: Bool) -> [T] {
    guard dims.count >= 2 else { return dims }
    var dims = dims
    if transposeBatch { dims.insert(dims.remove(at: 0), at: dims.count - 1) }
    if transpose { dims.swapAt(dims.count - 1, dims.count - 2) }
    return dims
  }

  private func product(_ a: Fact, _ b: Fact, _ form: FusedMatMul) throws(Failure) -> Shape? {
    guard let first = a.type.shape, let second = b.type.shape else { return nil }
    guard first.rank > 0, second.rank > 0 else { throw mismatch("a product of a scalar") }
    var left = MatrixOp.arranged(first.dims, transpose: form.transposeA, transposeBatch: form.transposeBatchA)
    var right = MatrixOp.arranged(second.dims, transpose: form.transposeB, transposeBatch: form.transposeBatchB)
    if first.rank == 1 { left.insert(1, at: 0) }
    if second.rank == 1 { right.append(1) }
    try checkAgree(left[left.count - 1], right[right.count - 2], "\(first) and \(second) do not multiply")
    var dims = try Broadcasting.shape([Shape(Array(left.dropLast(2))), Shape(Array(right.dropLast(2)))], of: mnemonic)?.dims ?? []
    if first.rank > 1 { dims.append(left[left.count - 2]) }
    if second.rank > 1 { dims.append(right[right.count - 1]) }
    return Shape(dims)
  }

  private func gemm(_ operands: [Fact?], _ transposeA: Bool, _ transposeB: Bool) throws(Failure) -> Shape? {
    guard let a = try operands.required(0).type.shape, let b = try operands.required(1).type.shape else { return nil }
    guard a.rank == 2, b.rank == 2 else { throw mismatch("operands \(a) and \(b) are no matrices") }
    try checkAgree(a[transposeA ? 0 : 1], b[transposeB ? 1 : 0], "\(a) and \(b) do not multiply")
    let shape = Shape([a[transposeA ? 1 : 0], b[transposeB ? 0 : 1]])
    if let c = operands.fact(2)?.type.shape {
      guard c.rank <= 2 else { throw mismatch("a bias of shape \(c)") }
      for (dim, size) in zip(c.dims.reversed(), shape.dims.reversed()) where dim.value != 1 {
        try checkAgree(dim, size, "the bias \(c) does not broadcast to \(shape)")
      }
    }
    return shape
  }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    switch self {
    case .matMul: Cost(macs: results.elementCount &* inner(operands, transposed: false))
    case .fusedMatMul(let form): Cost(macs: results.elementCount &* inner(operands, transposed: form.transposeA, batch: form.transposeBatchA))
    case .gemm(_, _, let transposeA, _): Cost(macs: results.elementCount &* inner(operands, transposed: transposeA))
    case .determinant: Cost(macs: (operands.first??.elementCount ?? 0) &* (operands.first??.shape?.dims.last?.value ?? 0) / 3)
    case .einsum(let equation): einsumCost(equation, operands)
    }
  }

  /// The length of the contracted axis, read off A.
  private func inner(_ operands: [TensorType?], transposed: Bool, batch: Bool = false) -> Int {
    guard let dims = operands.first??.shape?.concrete, !dims.isEmpty else { return 0 }
    return MatrixOp.arranged(dims, transpose: transposed, transposeBatch: batch)[dims.count - 1]
  }

  private func einsumCost(_ equation: String, _ operands: [TensorType?]) -> Cost {
    let shapes = operands.compactMap { $0?.shape }
    guard shapes.count == operands.count, let einsum = try? EinsumEquation(equation, ranks: shapes.map(\.rank)),
      let sizes = try? einsum.sizes(shapes)
    else { return Cost() }
    let work = einsum.steps().reduce(0) { $0 &+ $1.labels.reduce(1) { $0 &* (sizes[$1]?.value ?? 0) } }
    return shapes.count == 1 ? Cost(elementwise: work) : Cost(macs: work)
  }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    if element.isInteger, let exact = try wholeProduct(operands, dims) { return [try Tensor(element, dims: dims, wholes: exact)] }
    var values: [[Double]] = []
    for index in operands.indices {
      let operand = try operands.required(index)
      values.append(try operand.reals(for: mnemonic))
    }
    let shapes = operands.compactMap { $0?.dims }
    let result: [Double]
    switch self {
    case .determinant:
      let size = shapes[0].last ?? 0
      result = (0..<dims.reduce(1, *)).map { eliminated(Array(values[0][$0 * size * size..<($0 + 1) * size * size]), size: size) }
    case .matMul: result = product(values, shapes, FusedMatMul(alpha: 1, transposeA: false, transposeB: false), dims)
    case .fusedMatMul(let form): result = product(values, shapes, form, dims).map { Double(form.alpha) * $0 }
    case .gemm(let alpha, let beta, let transposeA, let transposeB):
      let form = FusedMatMul(alpha: 1, transposeA: transposeA, transposeB: transposeB)
      let matrix = product(Array(values[..<2]), Array(shapes[..<2]), form, dims)
      if values.count > 2, beta != 0 {
        result = broadcastMap(matrix, dims, values[2], shapes[2], to: dims) { Double(alpha) * $0 + Double(beta) * $1 }
      } else {
        result = matrix.map { Double(alpha) * $0 }
      }
    case .einsum(let equation):
      let einsum = try EinsumEquation(equation, ranks: shapes.map(\.count))
      result = try einsum.evaluate(values, shapes)
    }
    return [try Tensor(element, dims: dims, reals: result)]
  }

  /// The exact product of integers, where nothing but products and sums is asked for.
  private func wholeProduct(_ operands: [Tensor?], _ dims: [Int]) throws(Failure) -> [Int]? {
    let form: FusedMatMul
    switch self {
    case .matMul: form = FusedMatMul(alpha: 1, transposeA: false, transposeB: false)
    case .gemm(alpha: 1, beta: 1, let transposeA, let transposeB): form = FusedMatMul(alpha: 1, transposeA: transposeA, transposeB: transposeB)
    default: return nil
    }
    let (a, b) = (try operands.required(0), try operands.required(1))
    let result = product([try a.wholes(for: mnemonic), try b.wholes(for: mnemonic)], [a.dims, b.dims], form, dims)
    guard let c = operands.tensor(2) else { return result }
    return broadcastMap(result, dims, try c.wholes(for: mnemonic), c.dims, to: dims) { $0 &+ $1 }
  }

  private func product<Number: ProductNumber>(_ values: [[Number]], _ shapes: [[Int]], _ form: FusedMatMul, _ result: [Int]) -> [Number] {
    var aDims = MatrixOp.arranged(shapes[0], transpose: form.transposeA, transposeBatch: form.transposeBatchA)
    var bDims = MatrixOp.arranged(shapes[1], transpose: form.transposeB, transposeBatch: form.transposeBatchB)
    var aSteps = MatrixOp.arranged(rowMajorStrides(shapes[0]), transpose: form.transposeA, transposeBatch: form.transposeBatchA)
    var bSteps = MatrixOp.arranged(rowMajorStrides(shapes[1]), transpose: form.transposeB, transposeBatch: form.transposeBatchB)
    if aDims.count == 1 {
      aDims.insert(1, at: 0)
      aSteps.insert(0, at: 0)
    }
    if bDims.count == 1 {
      bDims.append(1)
      bSteps.append(0)
    }
    let batch = Array(result.prefix(max(aDims.count, bDims.count) - 2))
    func batches(_ dims: [Int], _ steps: [Int]) -> [Int] {
      let own = dims.count - 2
      let strides = batch.indices.map { axis in
        let index = axis - (batch.count - own)
        return index < 0 || dims[index] == 1 ? 0 : steps[index]
      }
      return offsets(dims: batch, strides: strides)
    }
    let rows = aDims.count - 2
    let columns = bDims.count - 1
    return ReferenceProduct(
      aBatches: batches(aDims, aSteps), bBatches: batches(bDims, bSteps), aRows: steps(aDims[rows], by: aSteps[rows]),
      aInner: steps(aDims[rows + 1], by: aSteps[rows + 1]), bInner: steps(bDims[columns - 1], by: bSteps[columns - 1]),
      bColumns: steps(bDims[columns], by: bSteps[columns]))(values[0], values[1])
  }
}

/// The determinant, by elimination with the largest pivot of each column.
private func eliminated(_ matrix: [Double], size: Int) -> Double {
  var rows = matrix
  var result = 1.0
  for column in 0..<size {
    let pivot = (column..<size).reduce(column) { abs(rows[$1 * size + column]) > abs(rows[$0 * size + column]) ? $1 : $0 }
    if rows[pivot * size + column] == 0 { return 0 }
    if pivot != column {
      for place in 0..<size { rows.swapAt(column * size + place, pivot * size + place) }
      result = -result
    }
    result *= rows[column * size + column]
    for row in column + 1..<max(size, column + 1) {
      let factor = rows[row * size + column] / rows[column * size + column]
      for place in column..<size { rows[row * size + place] -= factor * rows[column * size + place] }
    }
  }
  return result
}
