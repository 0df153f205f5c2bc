internal import Diagnostics
internal import GraphIR
internal import Tensors

/// MatMulBnb4 (com.microsoft): A, B's codes two to a byte, the largest magnitude of each block. B (N, K) was flattened
/// and each code names one of sixteen numbers between -1 and 1: of a 4-bit float, or of the normal distribution's
/// quantiles (Dettmers et al., "QLoRA", 2023).
struct MatMulBnb4: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(3...3) }

  /// A sign, two bits of exponent and one of mantissa, over the largest; the smallest is a subnormal.
  private static let float4: [Double] = {
    let magnitudes = [0, 1.0 / 192, 2.0 / 3, 1, 1.0 / 3, 1.0 / 2, 1.0 / 6, 1.0 / 4]
    return magnitudes + magnitudes.map { -$0 }
  }()
  private static let normal4: [Double] = [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
  ]

  private func sizes() throws(Failure) -> (inner: Int, columns: Int, block: Int) {
    let (inner, columns, block) = (op.int("K"), op.int("N"), op.int("block_size"))
    guard inner > 0, columns > 0, block > 0, inner < 1 << 28, columns < 1 << 28, block < 1 << 28, 0...1 ~= op.int("quant_type") else {
      throw badAttribute("K \(inner), N \(columns), block size \(block), quantization type \(op.int("quant_type"))")
    }
    return (inner, columns, block)
  }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let form = try sizes()
    let a = try operands.required(0)
    try checkFloat(a.type.element)
    try checkElement(try operands.required(1), [.uint8], "codes")
    try checkFloat(try operands.required(2).type.element)
    let count = form.inner * form.columns
    for (index, wanted, what) in [(1, (count + 1) / 2, "codes"), (2, (count + form.block - 1) / form.block, "magnitudes")] {
      guard let shape = operands.fact(index)?.type.shape, let given = shape.concrete?.checkedProduct else { continue }
      guard given == wanted else { throw mismatch("\(what) \(shape) should hold \(wanted) elements") }
    }
    guard let shape = a.type.shape else { return [Fact(a.type)] }
    guard shape.rank > 0 else { throw mismatch("a product of a scalar") }
    let isTransposed = op.flag("transB")
    try checkAgree(shape[shape.rank - 1], Dim(isTransposed ? form.inner : form.columns), "channels of A and B")
    return [Fact(TensorType(a.type.element, Shape(shape.dims.dropLast() + [Dim(isTransposed ? form.columns : form.inner)])))]
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    Cost(macs: results.elementCount &* (op.flag("transB") ? op.int("K") : op.int("N")))
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let form = try sizes()
    try checkRunnable([form.columns, form.inner])
    let codes = try operands.required(1).elements(as: UInt8.self)
    let magnitudes = try operands.required(2).reals(for: mnemonic)
    let table = op.int("quant_type") == 0 ? MatMulBnb4.float4 : MatMulBnb4.normal4
    // The first of two stands in the upper half.
    let weights = (0..<form.inner * form.columns).map { index -> Double in
      let byte = codes[index / 2]
      return table[Int(index % 2 == 0 ? byte >> 4 : byte & 0xF)] * magnitudes[index / form.block]
    }
    var b = try Tensor(float64: weights, dims: [form.columns, form.inner])
    if op.flag("transB") { b = try LayoutOp.transpose([1, 0]).evaluate([b], resultCount: 1)[0] }
    let a = try operands.required(0)
    let product = try MatrixOp.matMul.evaluate([try Tensor(float64: try a.reals(for: mnemonic), dims: a.dims), b], resultCount: 1)[0]
    return [try Tensor(element, dims: dims, reals: try product.reals(for: mnemonic))]
  }
}

/// GatherBlockQuantized (com.microsoft): data, indices, scales, zero points?. Data was quantized in blocks along an axis;
/// numbers of fewer than 8 bits in bytes lie side by side along the last axis, the first in the lowest bits. What an
/// index outside the axis takes is 0.
struct GatherBlockQuantized: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(3...4) }

  /// How many numbers one element of the data holds.
  private func packing(_ element: ElementType) throws(Failure) -> Int {
    guard element == .uint8 else { return 1 }
    guard [2, 4, 8].contains(op.int("bits")) else { throw badAttribute("\(op.int("bits")) bits") }
    return 8 / op.int("bits")
  }

  private func axes(_ rank: Int) throws(Failure) -> (gathered: Int, quantized: Int) {
    (try axis(op.int("gather_axis"), rank: rank), try axis(op.int("quantize_axis"), rank: rank))
  }

  /// The data's shape in numbers.
  private func unpacked(_ shape: Shape, _ element: ElementType) throws(Failure) -> Shape {
    guard shape.rank > 0 else { throw mismatch("data that is a scalar") }
    return Shape(Array(shape.dims.dropLast()) + [try shape[shape.rank - 1].times(Dim(try packing(element)))])
  }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let (data, indices, scales) = (try operands.required(0).type, try operands.required(1).type, try operands.required(2).type)
    let eightBits: Set<ElementType> = [.float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz]
    let isFloat = eightBits.contains(data.element) || data.element == .float4e2m1
    guard isFloat || [.uint8, .int4, .uint4].contains(data.element) else { throw Failure(.typeMismatch, "\(mnemonic) of \(data.element.name)") }
    try checkElement(try operands.required(1), [.int32, .int64], "indices")
    try checkFloat(scales.element)
    let block = op.int("block_size")
    guard block > 0 && block < 1 << 28 || block == 0 && isFloat else { throw badAttribute("a block size of \(block)") }
    if let zero = operands.fact(3) {
      guard !isFloat, zero.type.element == data.element else {
        throw Failure(.typeMismatch, "\(mnemonic) of \(data.element.name) has zero points of \(zero.type.element.name)")
      }
    }
    guard let shape = data.shape else { return [Fact(TensorType(scales.element, nil))] }
    let numbers = try unpacked(shape, data.element)
    let (gathered, quantized) = try axes(numbers.rank)
    if data.element == .uint8, gathered == numbers.rank - 1, try packing(.uint8) > 1 { throw badAttribute("it gathers along the axis that is packed") }
    if let own = scales.shape {
      guard own.rank == numbers.rank else { throw mismatch("scales \(own) of data \(numbers)") }
      for (axis, (dim, size)) in zip(own.dims, numbers.dims).enumerated() {
        let wanted = axis == quantized ? try blocks(size, block) : size
        if axis != quantized, dim.value == 1 { continue }
        try checkAgree(dim, wanted, "scales \(own) of data \(numbers)")
      }
      if let zero = operands.fact(3)?.type.shape, let element = operands.fact(3)?.type.element {
        guard zero.rank == own.rank, zero.rank > 0 else { throw mismatch("zero points \(zero) beside scales \(own)") }
        for axis in own.dims.indices {
          let perElement = Dim(axis == own.rank - 1 ? try packing(element) : 1)
          let wanted = try own[axis].plus(try perElement.minus(1)).floored(by: perElement)
          try checkAgree(zero[axis], wanted, "zero points \(zero) beside scales \(own)")
        }
      }
    }
    guard let places = indices.shape else { return [Fact(TensorType(scales.element, nil))] }
    return [Fact(TensorType(scales.element, Shape(numbers.dims[..<gathered] + places.dims + numbers.dims[(gathered + 1)...])))]
  }

  private func blocks(_ size: Dim, _ block: Int) throws(Failure) -> Dim { block == 0 ? 1 : try size.ceiled(by: Dim(block)) }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let (data, scales) = (try operands.required(0), try operands.required(2))
    guard let numbers = try unpacked(Shape(data.dims), data.elementType).concrete else { throw mismatch("data of \(data.dims)") }
    try checkRunnable(numbers)
    let (gathered, quantized) = try axes(numbers.count)
    let indices = try operands.required(1).wholes(for: mnemonic)
    let factors = try scales.reals(for: mnemonic)
    let values = try unpackedNumbers(data, rows: numbers)
    let zeros = try operands.tensor(3).map { (zero) throws(Failure) in try unpackedNumbers(zero, rows: scales.dims) }
    let usual = data.elementType == .uint8 ? Double(1 << (op.int("bits") - 1)) : 0
    let block = op.int("block_size") == 0 ? max(numbers[quantized], 1) : op.int("block_size")
    let strides = rowMajorStrides(numbers)
    let scaleStrides = Broadcasting.strides(of: scales.dims, in: scales.dims)
    let before = numbers[..<gathered].reduce(1, *)
    let behind = numbers[(gathered + 1)...].reduce(1, *)
    var result: [Double] = []
    result.reserveCapacity(before * indices.count * behind)
    for outer in 0..<before {
      for index in indices {
        let place = index < 0 ? index &+ numbers[gathered] : index
        guard 0..<numbers[gathered] ~= place else {
          result += [Double](repeating: 0, count: behind)
          continue
        }
        let first = (outer * numbers[gathered] + place) * behind
        for offset in first..<first + behind {
          var scale = 0
          for axis in numbers.indices {
            let coordinate = offset / strides[axis] % numbers[axis]
            scale += (axis == quantized ? coordinate / block : coordinate) * scaleStrides[axis]
          }
          result.append((values[offset] - (zeros?[scale] ?? usual)) * factors[scale])
        }
      }
    }
    return [try Tensor(element, dims: dims, reals: result)]
  }

  /// The numbers of a tensor whose last axis is packed; `rows` is its shape in numbers.
  private func unpackedNumbers(_ tensor: Tensor, rows: [Int]) throws(Failure) -> [Double] {
    let perByte = try packing(tensor.elementType)
    guard perByte > 1, let width = rows.last else { return try tensor.reals(for: mnemonic) }
    let bytes = tensor.elements(as: UInt8.self)
    let row = (width + perByte - 1) / perByte
    let bits = 8 / perByte
    let mask = UInt8(truncatingIfNeeded: (1 << bits) - 1)
    var numbers: [Double] = []
    for line in 0..<rows.dropLast().reduce(1, *) {
      for place in 0..<width {
        let byte = bytes[line * row + place / perByte]
        numbers.append(Double((byte >> UInt8(place % perByte * bits)) & mask))
      }
    }
    return numbers
  }
}
