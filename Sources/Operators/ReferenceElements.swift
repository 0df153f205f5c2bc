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

  /// Integers and bool; `uint64` by its bits, so that arithmetic that wraps is right for it as well.
  func wholes(for mnemonic: String) throws(Failure) -> [Int] {
    if elementType == .uint64 { return elements(as: Int.self) }
    guard let values = integers() else {
      throw Failure(.operatorNotRunnable, "there is no reference kernel for \(mnemonic) of \(elementType.name)")
    }
    return values
  }

  /// Integers whose order is that of the elements: `uint64` is moved down by half its range.
  func ordered(for mnemonic: String) throws(Failure) -> [Int] {
    let values = try wholes(for: mnemonic)
    return elementType == .uint64 ? values.map { $0 ^ .min } : values
  }

  func truths() -> [Bool] { elements(as: UInt8.self).map { $0 != 0 } }

  init(_ elementType: ElementType, dims: [Int], reals values: [Double]) throws(Failure) {
    switch elementType {
    case .float64: try self.init(.float64, dims: dims, values: values)
    case .float32: try self.init(.float32, dims: dims, values: values.map { Float($0) })
    case .float16: try self.init(.float16, dims: dims, values: values.map { Float16($0) })
    case .bfloat16: try self.init(bfloat16: values, dims: dims)
    case .bool: try self.init(dims: dims, truths: values.map { $0 != 0 })
    case .uint64: try self.init(.uint64, dims: dims, values: values.map { saturatedUnsigned($0) })
    case .complex64, .complex128, .string: throw Failure(.operatorNotRunnable, "there is no reference kernel that makes \(elementType.name)")
    default:
      if elementType.isInteger {
        try self.init(elementType, dims: dims, wholes: values.map { saturated($0) })
      } else {
        try self.init(elementType, dims: dims, narrowing: values)
      }
    }
  }

  /// Of `ordered` numbers.
  init(_ elementType: ElementType, dims: [Int], ordered values: [Int]) throws(Failure) {
    try self.init(elementType, dims: dims, wholes: elementType == .uint64 ? values.map { $0 ^ .min } : values)
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
    case .int4, .uint4, .int2, .uint2: try self.init(elementType, dims: dims, codes: values.map { UInt8(truncatingIfNeeded: $0) })
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
      let source = codes()
      let missing = fill?.codes().first ?? 0
      return try Tensor(elementType, dims: dims, codes: offsets.map { $0 < 0 ? missing : source[$0] })
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
}

/// Truncated towards zero; values that do not fit stop at the ends, and NaN gives 0.
func saturated(_ value: Double) -> Int {
  value.isNaN ? 0 : Int(exactly: value.rounded(.towardZero)) ?? (value < 0 ? .min : .max)
}

private func saturatedUnsigned(_ value: Double) -> UInt64 {
  value.isNaN ? 0 : UInt64(exactly: value.rounded(.towardZero)) ?? (value < 0 ? UInt64(bitPattern: Int64(saturated(value))) : .max)
}
