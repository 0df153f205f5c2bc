internal import Diagnostics
internal import Tensors

/// How reference kernels see elements: floating point in float64, whatever its stored width, and integers and bool in
/// 64 bits. Results are rounded to the stored type once, so that a float32 result is the nearest one to the exact
/// result of its float32 operands, up to the error of float64.
extension Tensor {
  func reals(for mnemonic: String) throws(Failure) -> [Double] {
    guard elementType.isFloatingPoint || elementType.isInteger || elementType == .bool, let values = doubles() else {
      throw Failure(.operatorNotRunnable, "there is no reference kernel for \(mnemonic) of \(elementType.name)")
    }
    return values
  }

  /// Integers; `uint64` above the range of 64 signed bits is refused.
  func wholes(for mnemonic: String) throws(Failure) -> [Int] {
    if elementType == .uint64 {
      var result: [Int] = []
      for element in elements(as: UInt64.self) {
        guard let whole = Int(exactly: element) else { throw Failure(.operatorNotRunnable, "\(mnemonic) of uint64 above 2^63") }
        result.append(whole)
      }
      return result
    }
    guard let values = integers() else {
      throw Failure(.operatorNotRunnable, "there is no reference kernel for \(mnemonic) of \(elementType.name)")
    }
    return values
  }

  func truths() -> [Bool] { elements(as: UInt8.self).map { $0 != 0 } }

  init(_ elementType: ElementType, dims: [Int], reals values: [Double]) throws(Failure) {
    switch elementType {
    case .float64: try self.init(.float64, dims: dims, values: values)
    case .float32: try self.init(.float32, dims: dims, values: values.map { Float($0) })
    case .float16: try self.init(.float16, dims: dims, values: values.map { Float16($0) })
    case .bfloat16: try self.init(.bfloat16, dims: dims, values: values.map { bfloat16Bits($0) })
    default: throw Failure(.operatorNotRunnable, "there is no reference kernel that makes \(elementType.name)")
    }
  }

  /// Integers wrap to the stored width.
  init(_ elementType: ElementType, dims: [Int], wholes values: [Int]) throws(Failure) {
    switch elementType {
    case .int64: try self.init(.int64, dims: dims, values: values)
    case .uint64: try self.init(.uint64, dims: dims, values: values)
    case .int32, .uint32: try self.init(elementType, dims: dims, values: values.map { Int32(truncatingIfNeeded: $0) })
    case .int16, .uint16: try self.init(elementType, dims: dims, values: values.map { Int16(truncatingIfNeeded: $0) })
    case .int8, .uint8: try self.init(elementType, dims: dims, values: values.map { Int8(truncatingIfNeeded: $0) })
    case .bool: try self.init(.bool, dims: dims, values: values.map { $0 == 0 ? UInt8(0) : UInt8(1) })
    default: throw Failure(.operatorNotRunnable, "there is no reference kernel that makes \(elementType.name)")
    }
  }

  init(dims: [Int], truths values: [Bool]) throws(Failure) {
    try self.init(.bool, dims: dims, values: values.map { $0 ? UInt8(1) : UInt8(0) })
  }

  /// The elements at `offsets`, in their order; -1 takes the element `fill`, which must be given then.
  func gathered(_ offsets: [Int], dims: [Int], fill: Tensor? = nil) throws(Failure) -> Tensor {
    if case .strings(let strings) = storage {
      let missing: [UInt8] = if case .strings(let fills)? = fill?.storage { fills.first ?? [] } else { [] }
      return try Tensor(.string, dims: dims, storage: .strings(offsets.map { $0 < 0 ? missing : strings[$0] }))
    }
    switch elementType.bitWidth {
    case 8: return try pick(UInt8.self, 0, offsets, dims, fill)
    case 16: return try pick(UInt16.self, 0, offsets, dims, fill)
    case 32: return try pick(UInt32.self, 0, offsets, dims, fill)
    case 64: return try pick(UInt64.self, 0, offsets, dims, fill)
    case 128: return try pick(SIMD2<UInt64>.self, SIMD2(0, 0), offsets, dims, fill)
    default:
      let source = unpackedBits()
      let missing = fill?.unpackedBits().first ?? 0
      return try Tensor(packing: offsets.map { $0 < 0 ? missing : source[$0] }, as: elementType, dims: dims)
    }
  }

  private func pick<T: BitwiseCopyable>(_ type: T.Type, _ zero: T, _ offsets: [Int], _ dims: [Int], _ fill: Tensor?) throws(Failure) -> Tensor {
    let source = elements(as: T.self)
    let missing = fill?.elements(as: T.self).first ?? zero
    var result: [T] = []
    result.reserveCapacity(offsets.count)
    for offset in offsets { result.append(offset < 0 ? missing : source[offset]) }
    return try Tensor(elementType, dims: dims, values: result)
  }

  /// The bit patterns of elements below a byte.
  private func unpackedBits() -> [UInt8] {
    let bytes = elements(as: UInt8.self)
    let width = elementType.bitWidth
    return (0..<count).map { index in
      let bit = index * width
      let low = UInt16(bytes[bit / 8])
      let high = bit / 8 + 1 < bytes.count ? UInt16(bytes[bit / 8 + 1]) : 0
      return UInt8(truncatingIfNeeded: (low | high << 8) >> UInt16(bit % 8)) & UInt8((1 << width) - 1)
    }
  }

  private init(packing patterns: [UInt8], as elementType: ElementType, dims: [Int]) throws(Failure) {
    let width = elementType.bitWidth
    var bytes = [UInt8](repeating: 0, count: elementType.byteCount(of: patterns.count) ?? 0)
    for (index, pattern) in patterns.enumerated() {
      let bit = index * width
      let spread = UInt16(pattern) << UInt16(bit % 8)
      bytes[bit / 8] |= UInt8(truncatingIfNeeded: spread)
      if spread > 0xFF { bytes[bit / 8 + 1] |= UInt8(spread >> 8) }
    }
    try self.init(elementType, dims: dims, values: bytes)
  }
}

/// Rounded to nearest, ties to even.
private func bfloat16Bits(_ value: Double) -> UInt16 {
  let single = Float(value)
  if single.isNaN { return 0x7FC0 }
  let bits = single.bitPattern
  return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
}
