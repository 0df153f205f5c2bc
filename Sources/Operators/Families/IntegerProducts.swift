internal import Diagnostics
internal import GraphIR
internal import Tensors

// Products of quantized numbers: zero points are taken off, the product is exact (float64 holds 53 bits), and where a
// result scale is given the sum is scaled and rounded once.

extension CataloguedOperator {
  fileprivate func checkBytes(_ operands: [Fact?], _ indices: [Int]) throws(Failure) {
    for index in indices {
      guard let operand = operands.fact(index) else { continue }
      try checkElement(operand, [.int8, .uint8, .int16, .uint16, .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz], "operand \(index)")
    }
  }

  /// The operand's numbers less its zero point, which broadcasts from `zeroDims`.
  fileprivate func shifted(_ x: Tensor, _ zero: Tensor?, zeroDims: [Int]) throws(Failure) -> Tensor {
    let values = try x.reals(for: mnemonic)
    guard let zero else { return try Tensor(float64: values, dims: x.dims) }
    let shape = try Broadcasting.shape([Shape(x.dims), Shape(zeroDims)], of: mnemonic)
    guard shape == Shape(x.dims) else { throw mismatch("a zero point of \(zero.dims) for an operand of \(x.dims)") }
    return try Tensor(float64: broadcastMap(values, x.dims, try zero.reals(for: mnemonic), zeroDims, to: x.dims) { $0 - $1 }, dims: x.dims)
  }

  /// Sums times `x scale * w scale / y scale`, rounded, with the zero point added.
  fileprivate func requantized(
    _ sums: Tensor, _ xScale: Tensor, _ xDims: [Int], _ wScale: Tensor, _ wDims: [Int], _ yScale: Tensor, _ yZero: Tensor?, _ element: ElementType
  ) throws(Failure) -> Tensor {
    guard let range = element.integerRange else { throw notRunnable(element) }
    let y = try scalar(yScale, "the result's scale")
    let zero = try yZero.map { (zero) throws(Failure) in try scalar(zero, "the result's zero point") } ?? 0
    let x = try xScale.reals(for: mnemonic)
    let w = try wScale.reals(for: mnemonic)
    let dims = sums.dims
    for shape in [xDims, wDims] {
      guard try Broadcasting.shape([Shape(dims), Shape(shape)], of: mnemonic) == Shape(dims) else {
        throw mismatch("scales of \(shape) for a result of \(dims)")
      }
    }
    let values = try sums.reals(for: mnemonic)
    let scaled = broadcastMap(values, dims, x, xDims, to: dims) { ($0, $1) }
    let result = broadcastMap(scaled, dims, w, wDims, to: dims) { pair, scale in
      // The factor is single precision, as every runtime computes it.
      quantized(pair.0 * Double(Float(Float(pair.1) * Float(scale)) / Float(y)), zero, range)
    }
    return try Tensor(element, dims: dims, wholes: result)
  }
}

/// How a zero point or scale lies over the rows of A, or over the columns of B: one for all, one each, or already of
/// the matrix's rank.
private func overRows(_ dims: [Int]) -> [Int] { dims.count == 1 && dims[0] != 1 ? [dims[0], 1] : dims }

/// MatMulInteger (ONNX 10): A, B, zero point of A?, of B?. QLinearMatMul (ONNX 21): each of a, b with scale and zero
/// point, scale and zero point of y.
struct IntegerMatMul: CataloguedOperator {
  let op: CataloguedOp
  private var isScaled: Bool { op.kind == .qLinearMatMul }
  var arity: Arity { isScaled ? Arity(8...8) : Arity(2...4) }
  private var right: Int { isScaled ? 3 : 1 }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    try checkBytes(operands, isScaled ? [0, 2, 3, 5, 7] : [0, 1, 2, 3])
    let product = try MatrixOp.matMul.infer(
      [0, right].map { index in operands.fact(index).map { Fact(TensorType(.float64, $0.type.shape)) } }, resultCount: 1)
    let element = isScaled ? try operands.required(7).type.element : .int32
    return [Fact(TensorType(element, product[0].type.shape))]
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    MatrixOp.matMul.cost(operands: [operands.first ?? nil, operands.count > right ? operands[right] : nil], results: results)
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let aZero = operands.tensor(2)
    let bZero = operands.tensor(isScaled ? 5 : 3)
    let a = try shifted(try operands.required(0), aZero, zeroDims: overRows(aZero?.dims ?? []))
    let b = try shifted(try operands.required(right), bZero, zeroDims: bZero?.dims ?? [])
    let sums = try MatrixOp.matMul.evaluate([a, b], resultCount: 1)[0]
    guard isScaled else { return [try Tensor(.int32, dims: dims, wholes: try sums.reals(for: mnemonic).map { saturated($0) })] }
    let aScale = try operands.required(1)
    let bScale = try operands.required(4)
    return [
      try requantized(sums, aScale, overRows(aScale.dims), bScale, bScale.dims, try operands.required(6), operands.tensor(7), element)
    ]
  }
}

extension CataloguedOp {
  /// The geometry that a convolution's attributes tell; entries that are left out stay empty.
  func window() -> Window {
    let padding: WindowPadding =
      switch word("auto_pad") {
      case "SAME_UPPER": .sameUpper
      case "SAME_LOWER": .sameLower
      case "VALID": .valid
      default: .explicit(ints("pads"))
      }
    return Window(kernel: ints("kernel_shape"), strides: ints("strides"), dilations: ints("dilations"), padding: padding)
  }
}

/// ConvInteger (ONNX 10): x, w, zero point of x?, of w?. QLinearConv (ONNX 10): each of x, w with scale and zero point,
/// scale and zero point of y, bias? in units of `x scale * w scale`. Padding is the zero point.
struct IntegerConv: CataloguedOperator {
  let op: CataloguedOp
  private var isScaled: Bool { op.kind == .qLinearConv }
  var arity: Arity { isScaled ? Arity(8...9) : Arity(2...4) }
  private var weight: Int { isScaled ? 3 : 1 }
  private var convolution: ConvolutionOp { .conv(op.window(), groups: op.int("group")) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    try checkBytes(operands, isScaled ? [0, 2, 3, 5, 7] : [0, 1, 2, 3])
    if let bias = operands.fact(8) { try checkElement(bias, [.int32], "a bias") }
    let facts = [0, weight, isScaled ? 8 : -1].map { index in
      index < 0 ? nil : operands.fact(index).map { Fact(TensorType(.float64, $0.type.shape)) }
    }
    let result = try convolution.infer(facts, resultCount: 1)
    return [Fact(TensorType(isScaled ? try operands.required(7).type.element : .int32, result[0].type.shape))]
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    convolution.cost(operands: [operands.first ?? nil, operands.count > weight ? operands[weight] : nil], results: results)
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let w = try operands.required(weight)
    let xZero = operands.tensor(2)
    let wZero = operands.tensor(isScaled ? 5 : 3)
    /// One for each output channel, at the front of the weight.
    func overChannels(_ dims: [Int], front: Int, behind: Int) -> [Int] {
      dims.count == 1 && dims[0] != 1 ? [Int](repeating: 1, count: front) + dims + [Int](repeating: 1, count: behind) : dims
    }
    let x = try shifted(try operands.required(0), xZero, zeroDims: xZero?.dims ?? [])
    let kernel = try shifted(w, wZero, zeroDims: overChannels(wZero?.dims ?? [], front: 0, behind: w.dims.count - 1))
    let bias = try operands.tensor(8).map { (bias) throws(Failure) in try Tensor(float64: try bias.reals(for: mnemonic), dims: bias.dims) }
    let sums = try convolution.evaluate(bias.map { [x, kernel, $0] } ?? [x, kernel], resultCount: 1)[0]
    guard isScaled else { return [try Tensor(.int32, dims: dims, wholes: try sums.reals(for: mnemonic).map { saturated($0) })] }
    let wScale = try operands.required(4)
    let xScale = try operands.required(1)
    return [
      try requantized(
        sums, xScale, xScale.dims, wScale, overChannels(wScale.dims, front: 1, behind: dims.count - 2), try operands.required(6), operands.tensor(7),
        element)
    ]
  }
}

/// DynamicQuantizeMatMul (com.microsoft): A, B, scale of B, zero point of B?, bias?: A is quantized to its own range.
struct DynamicQuantizeMatMul: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(3...5) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let a = try operands.required(0)
    try checkFloat(a.type.element)
    try checkBytes(operands, [1, 3])
    let product = try MatrixOp.matMul.infer(
      [Fact(TensorType(.float64, a.type.shape)), Fact(TensorType(.float64, try operands.required(1).type.shape))], resultCount: 1)
    return [Fact(TensorType(a.type.element, product[0].type.shape))]
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost { MatrixOp.matMul.cost(operands: Array(operands.prefix(2)), results: results) }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let a = try operands.required(0)
    let values = try a.reals(for: mnemonic)
    let range = DynamicRange(values)
    let whole = try Tensor(float64: values.map { Double(range.quantized($0)) - Double(range.zeroPoint) }, dims: a.dims)
    let zero = operands.tensor(3)
    let b = try shifted(try operands.required(1), zero, zeroDims: zero?.dims ?? [])
    let sums = try MatrixOp.matMul.evaluate([whole, b], resultCount: 1)[0].reals(for: mnemonic)
    let scale = try operands.required(2)
    guard try Broadcasting.shape([Shape(dims), Shape(scale.dims)], of: mnemonic) == Shape(dims) else {
      throw mismatch("scales of \(scale.dims) for a result of \(dims)")
    }
    var result = broadcastMap(sums, dims, try scale.reals(for: mnemonic), scale.dims, to: dims) { $0 * Double(Float($1) * range.scale) }
    if let bias = operands.tensor(4) {
      guard try Broadcasting.shape([Shape(dims), Shape(bias.dims)], of: mnemonic) == Shape(dims) else {
        throw mismatch("a bias of \(bias.dims) for a result of \(dims)")
      }
      result = broadcastMap(result, dims, try bias.reals(for: mnemonic), bias.dims, to: dims) { $0 + $1 }
    }
    return [try Tensor(element, dims: dims, reals: result)]
  }
}

/// MatMulNBits (com.microsoft): A, B packed (N, blocks, bytes), scales (N, blocks), zero points? packed or of A's type,
/// group index?, bias?. B's columns were quantized in blocks along K.
struct MatMulNBits: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(3...6) }

  private func sizes() throws(Failure) -> (inner: Int, columns: Int, bits: Int, block: Int, blocks: Int) {
    let (inner, columns, bits, block) = (op.int("K"), op.int("N"), op.int("bits"), op.int("block_size"))
    guard [2, 4, 8].contains(bits) else { throw badAttribute("\(bits) bits") }
    guard inner > 0, columns > 0, block > 0, block % 8 == 0, inner < 1 << 28, columns < 1 << 28, block < 1 << 20 else {
      throw badAttribute("K \(inner), N \(columns), block size \(block)")
    }
    if op.int("weight_prepacked") != 0 { throw Failure(.operatorNotRunnable, "\(mnemonic) with weights packed for one machine") }
    return (inner, columns, bits, block, (inner + block - 1) / block)
  }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let form = try sizes()
    let a = try operands.required(0)
    try checkFloat(a.type.element)
    try checkElement(try operands.required(1), [.uint8], "packed weights")
    if let groups = operands.fact(4) { try checkElement(groups, [.int32, .int64], "a group index") }
    if let shape = operands.fact(4)?.type.shape?.concrete, let given = shape.checkedProduct, given < form.inner {
      throw mismatch("a group index of \(shape) for \(form.inner) channels")
    }
    try checkCount(operands.fact(1), form.columns * form.blocks * (form.block * form.bits / 8), "packed weights")
    try checkCount(operands.fact(2), form.columns * form.blocks, "scales")
    if let zero = operands.fact(3) {
      let packed = zero.type.element == .uint8
      try checkCount(zero, form.columns * (packed ? (form.blocks * form.bits + 7) / 8 : form.blocks), "zero points")
    }
    try checkCount(operands.fact(5), form.columns, "the bias")
    guard let shape = a.type.shape else { return [Fact(a.type)] }
    guard shape.rank > 0 else { throw mismatch("a product of a scalar") }
    try checkAgree(shape[shape.rank - 1], Dim(form.inner), "channels of A and K")
    return [Fact(TensorType(a.type.element, Shape(shape.dims.dropLast() + [Dim(form.columns)])))]
  }

  private func checkCount(_ operand: Fact?, _ count: Int, _ what: String) throws(Failure) {
    guard let shape = operand?.type.shape, let given = shape.concrete?.checkedProduct else { return }
    guard given == count else { throw mismatch("\(what) \(shape) should hold \(count) elements") }
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(macs: results.elementCount &* op.int("K")) }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let form = try sizes()
    try checkRunnable([form.inner, form.columns])
    let packed = try operands.required(1).elements(as: UInt8.self)
    let scales = try operands.required(2).reals(for: mnemonic)
    let perByte = 8 / form.bits
    let mask = UInt8(truncatingIfNeeded: (1 << form.bits) - 1)
    func number(_ bytes: [UInt8], _ row: Int, _ index: Int) -> Double {
      Double((bytes[row + index / perByte] >> UInt8(index % perByte * form.bits)) & mask)
    }
    var zeros = [Double](repeating: Double(1 << (form.bits - 1)), count: form.columns * form.blocks)
    if let zero = operands.tensor(3) {
      if zero.elementType == .uint8 {
        let bytes = zero.elements(as: UInt8.self)
        let row = (form.blocks * form.bits + 7) / 8
        for column in 0..<form.columns { for block in 0..<form.blocks { zeros[column * form.blocks + block] = number(bytes, column * row, block) } }
      } else {
        zeros = try zero.reals(for: mnemonic)
      }
    }
    // The block whose scale and zero point a channel has: the one it lies in, unless a group index says another.
    var groups = (0..<form.inner).map { $0 / form.block }
    if let given = try operands.tensor(4)?.wholes(for: mnemonic) {
      groups = Array(given.prefix(form.inner))
      guard groups.allSatisfy({ 0..<form.blocks ~= $0 }) else { throw Failure(.indexOutOfRange, "\(mnemonic): a group index beyond \(form.blocks) blocks") }
    }
    var weights = [Double](repeating: 0, count: form.inner * form.columns)
    for column in 0..<form.columns {
      for k in 0..<form.inner {
        let block = column * form.blocks + k / form.block
        let group = column * form.blocks + groups[k]
        weights[k * form.columns + column] = (number(packed, block * (form.block / perByte), k % form.block) - zeros[group]) * scales[group]
      }
    }
    let a = try operands.required(0)
    let product = try MatrixOp.matMul.evaluate(
      [try Tensor(float64: try a.reals(for: mnemonic), dims: a.dims), try Tensor(float64: weights, dims: [form.inner, form.columns])], resultCount: 1)[0]
    var result = try product.reals(for: mnemonic)
    if let bias = try operands.tensor(5)?.reals(for: mnemonic) { for index in result.indices { result[index] += bias[index % form.columns] } }
    return [try Tensor(element, dims: dims, reals: result)]
  }
}
