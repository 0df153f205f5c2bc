internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Which scale belongs to which element: one for all, one for each index of an axis, or one for each block along it
/// (ONNX, QuantizeLinear 21).
struct QuantizationGrain {
  /// Elements before, along and behind the axis.
  private let outer, length, inner: Int
  /// Scales along the axis, and how many elements share one; 0 scales: one for all.
  private let scales, block: Int
  private let perElementInner: Bool

  /// - Throws: `shapeMismatch` where scales do not fit the data.
  init(data: [Int], scale: [Int], axis: Int, block: Int, of op: some Operator) throws(Failure) {
    guard let scaleCount = scale.checkedProduct else { throw op.mismatch("scales of \(scale)") }
    if scale.count <= 1, scaleCount == 1, block == 0 {
      (outer, length, inner, scales, self.block, perElementInner) = (1, 1, data.reduce(1, *), 0, 1, false)
      return
    }
    let place = scale.count == 1 && data.count == 1 ? 0 : try op.axis(axis, rank: data.count)
    outer = data[..<place].reduce(1, *)
    length = data[place]
    inner = data[(place + 1)...].reduce(1, *)
    if block == 0, scale.count == 1 {
      guard scale[0] == data[place] else { throw op.mismatch("\(scale[0]) scales for axis \(place) of \(data)") }
      (scales, self.block, perElementInner) = (scale[0], 1, false)
      return
    }
    guard scale.count == data.count else { throw op.mismatch("scales of \(scale) for data of \(data)") }
    for axis in data.indices where axis != place {
      guard scale[axis] == data[axis] else { throw op.mismatch("scales of \(scale) for data of \(data)") }
    }
    // Without a block size the blocks are as even as the sizes allow.
    let size = block > 0 ? block : scale[place] == 0 ? 1 : (data[place] + scale[place] - 1) / max(scale[place], 1)
    let blocks = size > 0 ? data[place] / size + (data[place] % size == 0 ? 0 : 1) : 0
    guard size > 0, blocks == scale[place] else { throw op.mismatch("scales of \(scale) in blocks of \(size) for data of \(data)") }
    (scales, self.block, perElementInner) = (scale[place], size, true)
  }

  /// Calls `body` with the place of each element and of its scale, in order.
  @inline(__always)
  func forEach(_ body: (_ element: Int, _ scale: Int) -> Void) {
    var element = 0
    for first in 0..<outer {
      for along in 0..<length {
        let row = scales == 0 ? 0 : perElementInner ? (first * scales + along / block) * inner : along
        for last in 0..<inner {
          body(element, perElementInner ? row + last : row)
          element += 1
        }
      }
    }
  }
}

extension ElementType {
  /// The numbers that an integer type holds, as far as 64 signed bits do.
  var integerRange: ClosedRange<Double>? {
    switch self {
    case .uint2: 0...3
    case .int2: -2...1
    case .uint4: 0...15
    case .int4: -8...7
    case .uint8: 0...255
    case .int8: -128...127
    case .uint16: 0...65535
    case .int16: -32768...32767
    case .int32: -2_147_483_648...2_147_483_647
    case .uint32: 0...4_294_967_295
    default: nil
    }
  }

  /// A number rounded to a floating-point type; types below 16 bits are left exact.
  func rounding(_ value: Double) -> Double {
    switch self {
    case .float32: Double(Float(value))
    case .float16: Double(Float16(value))
    case .bfloat16: bfloat16Rounded(value)
    default: value
    }
  }
}

/// A number rounded to the 8 significant bits of bfloat16, ties to even.
private func bfloat16Rounded(_ value: Double) -> Double {
  let single = Float(value)
  guard single.isFinite else { return Double(single) }
  let bits = single.bitPattern
  return Double(Float(bitPattern: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) & 0xFFFF_0000))
}

/// `round(x)` to nearest, ties to even, held to a range; NaN gives the lower end.
func quantized(_ x: Double, _ zeroPoint: Double, _ range: ClosedRange<Double>) -> Int {
  let value = x.rounded(.toNearestOrEven) + zeroPoint
  return Int(value >= range.lowerBound ? min(value, range.upperBound) : range.lowerBound)
}

private let quantizedTypes: Set<ElementType> = [
  .uint2, .int2, .uint4, .int4, .uint8, .int8, .uint16, .int16, .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float4e2m1, .float6e2m3,
  .float6e3m2,
]

/// QuantizeLinear (ONNX 28): x, scale, zero point?: `saturate(round(x / scale) + zero point)`.
struct QuantizeLinear: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(2...3) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    let scale = try operands.required(1)
    try checkElement(x, [.float32, .float16, .bfloat16, .float64, .int32], "data")
    guard scale.type.element.isFloatingPoint || scale.type.element == .int32 else {
      throw Failure(.typeMismatch, "\(mnemonic) has scales of \(scale.type.element.name)")
    }
    let asked = try op.element("output_dtype")
    let zero = operands.fact(2)
    if let zero, let asked, zero.type.element != asked {
      throw Failure(.typeMismatch, "\(mnemonic) has a zero point of \(zero.type.element.name) for results of \(asked.name)")
    }
    let element = zero?.type.element ?? asked ?? .uint8
    guard quantizedTypes.contains(element) else { throw Failure(.typeMismatch, "\(mnemonic) to \(element.name)") }
    try checkGrain(x, scale, zero)
    return [Fact(TensorType(element, x.type.shape))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0)
    let scaleTensor = try operands.required(1)
    let grain = try QuantizationGrain(data: dims, scale: scaleTensor.dims, axis: op.int("axis"), block: op.int("block_size"), of: self)
    let values = try x.reals(for: mnemonic)
    let scales = try scaleTensor.reals(for: mnemonic)
    let zeros = try operands.tensor(2)?.reals(for: mnemonic)
    // The quotient is rounded to the type that it is computed in before it is rounded to a whole number.
    let precision = try op.element("precision") ?? wider(x.elementType, scaleTensor.elementType)
    if let range = element.integerRange {
      var result = [Int](repeating: 0, count: values.count)
      grain.forEach { index, scale in
        result[index] = quantized(precision.rounding(values[index] / scales[scale]), zeros?[scale] ?? 0, range)
      }
      return [try Tensor(element, dims: dims, wholes: result)]
    }
    var result = [Double](repeating: 0, count: values.count)
    grain.forEach { index, scale in result[index] = precision.rounding(values[index] / scales[scale]) + (zeros?[scale] ?? 0) }
    // Formats below a byte have no other way than to stop at their ends.
    return [try Tensor(element, dims: dims, narrowing: result, saturates: op.flag("saturate") || element.bitWidth < 8)]
  }
}

/// The floating-point type that a quotient of two is computed in.
private func wider(_ a: ElementType, _ b: ElementType) -> ElementType {
  if a == .float64 || b == .float64 { return .float64 }
  guard a == b, a == .float16 || a == .bfloat16 else { return .float32 }
  return a
}

/// DequantizeLinear (ONNX 28): x, scale, zero point?: `(x - zero point) * scale`.
struct DequantizeLinear: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(2...3) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    let scale = try operands.required(1)
    try checkElement(x, quantizedTypes.union([.int32]), "data")
    guard scale.type.element.isFloatingPoint else { throw Failure(.typeMismatch, "\(mnemonic) has scales of \(scale.type.element.name)") }
    let zero = operands.fact(2)
    if let zero, zero.type.element != x.type.element {
      throw Failure(.typeMismatch, "\(mnemonic) has data of \(x.type.element.name) and a zero point of \(zero.type.element.name)")
    }
    let element = try op.element("output_dtype") ?? (scale.type.element == .float8e8m0 ? .float32 : scale.type.element)
    guard [.float32, .float16, .bfloat16, .float64].contains(element) else { throw Failure(.typeMismatch, "\(mnemonic) to \(element.name)") }
    try checkGrain(x, scale, zero)
    return [Fact(TensorType(element, x.type.shape))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let scaleTensor = try operands.required(1)
    let grain = try QuantizationGrain(data: dims, scale: scaleTensor.dims, axis: op.int("axis"), block: op.int("block_size"), of: self)
    let values = try operands.required(0).reals(for: mnemonic)
    let scales = try scaleTensor.reals(for: mnemonic)
    let zeros = try operands.tensor(2)?.reals(for: mnemonic)
    var result = [Double](repeating: 0, count: values.count)
    grain.forEach { index, scale in result[index] = (values[index] - (zeros?[scale] ?? 0)) * scales[scale] }
    return [try Tensor(element, dims: dims, reals: result)]
  }
}

extension CataloguedOperator {
  /// The scales fit the data as far as shapes are known, and zero points fit the scales.
  fileprivate func checkGrain(_ x: Fact, _ scale: Fact, _ zero: Fact?) throws(Failure) {
    if op.int("block_size") < 0 { throw badAttribute("attribute 'block_size' is negative") }
    if let own = zero?.type.shape, let shape = scale.type.shape {
      guard own.rank == shape.rank || own.elementCount?.value == 1 && shape.elementCount?.value == 1 else {
        throw mismatch("scales of \(shape) and zero points of \(own)")
      }
      if own.rank == shape.rank { for (a, b) in zip(own.dims, shape.dims) { try checkAgree(a, b, "scales of \(shape) and zero points of \(own)") } }
    }
    guard let data = x.type.shape?.concrete, let scales = scale.type.shape?.concrete else { return }
    _ = try QuantizationGrain(data: data, scale: scales, axis: op.int("axis"), block: op.int("block_size"), of: self)
  }
}

/// What DynamicQuantizeLinear (ONNX 11) finds: 8-bit numbers, their scale and zero point, from the range of the data
/// and 0. Everything is computed in single precision, as the standard says.
struct DynamicRange {
  var scale: Float
  var zeroPoint: Float

  init(_ values: [Double]) {
    var (low, high) = (Float(0), Float(0))
    for value in values {
      low = min(low, Float(value))
      high = max(high, Float(value))
    }
    scale = (high == low ? 1 : high - low) / 255
    let zero = -low / scale
    zeroPoint = zero.isNaN ? 0 : min(max(zero, 0), 255).rounded(.toNearestOrEven)
  }

  func quantized(_ value: Double) -> Int { Operators.quantized(Double(Float(value) / scale), Double(zeroPoint), 0...255) }
}

/// DynamicQuantizeLinear (ONNX 11): x; quantized x, scale, zero point.
struct DynamicQuantizeLinear: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1, results: 1...3) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkElement(x, [.float32, .float64], "data")
    let scalar = Shape([Dim]())
    return Array([Fact(TensorType(.uint8, x.type.shape)), Fact(TensorType(.float32, scalar)), Fact(TensorType(.uint8, scalar))].prefix(resultCount))
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let dims = try resultTypes(operands, resultCount)[0].dims
    let values = try operands.required(0).reals(for: mnemonic)
    let range = DynamicRange(values)
    let results = [
      try Tensor(.uint8, dims: dims, wholes: values.map { range.quantized($0) }), try Tensor(float32: [range.scale], dims: []),
      try Tensor(.uint8, dims: [], wholes: [Int(range.zeroPoint)]),
    ]
    return Array(results.prefix(resultCount))
  }
}
