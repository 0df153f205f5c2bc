public import Diagnostics

/// Elements of a byte or less as codes: their bits, one element to a byte.
extension Tensor {
  /// The codes of all elements; empty for types wider than a byte and for strings.
  public func codes() -> [UInt8] {
    let width = elementType.bitWidth
    guard width > 0, width <= 8 else { return [] }
    let bytes = elements(as: UInt8.self)
    if width == 8 { return bytes }
    let mask = UInt8((1 << width) - 1)
    return (0..<count).map { index in
      let bit = index * width
      let low = UInt16(bytes[bit / 8])
      let high = bit / 8 + 1 < bytes.count ? UInt16(bytes[bit / 8 + 1]) : 0
      return UInt8(truncatingIfNeeded: (low | high << 8) >> UInt16(bit % 8)) & mask
    }
  }

  /// A tensor of elements of a byte or less; of each code the low bits count.
  /// - Throws: `typeMismatch` for wider types, `payloadMismatch` where there are not as many codes as elements.
  public init(_ elementType: ElementType, dims: [Int], codes: [UInt8]) throws(Failure) {
    let width = elementType.bitWidth
    guard width > 0, width <= 8 else { throw Failure(.typeMismatch, "\(elementType.name) elements have no codes") }
    guard dims.checkedProduct == codes.count else { throw Failure(.payloadMismatch, "\(codes.count) elements for \(elementType.name)\(dims)") }
    if width == 8 {
      try self.init(elementType, dims: dims, values: codes)
      return
    }
    let mask = UInt8((1 << width) - 1)
    var bytes = [UInt8](repeating: 0, count: elementType.byteCount(of: codes.count) ?? 0)
    for (index, code) in codes.enumerated() {
      let bit = index * width
      let spread = UInt16(code & mask) << UInt16(bit % 8)
      bytes[bit / 8] |= UInt8(truncatingIfNeeded: spread)
      if spread > 0xFF { bytes[bit / 8 + 1] |= UInt8(spread >> 8) }
    }
    try self.init(elementType, dims: dims, values: bytes)
  }

  /// Numbers as a floating-point format of a byte or less.
  ///
  /// - Parameters:
  ///   - saturates: whether a number out of range becomes the largest one, and else infinity or NaN.
  ///   - rounding: for float8e8m0, whose numbers are powers of two; all other formats round to nearest, ties to even.
  /// - Throws: `typeMismatch` for other types.
  public init(
    _ elementType: ElementType, dims: [Int], narrowing numbers: [Double], saturates: Bool = true, rounding: ScaleRounding = .up
  ) throws(Failure) {
    if elementType == .float8e8m0 {
      try self.init(elementType, dims: dims, codes: numbers.map { ScaleFloat.encoded($0, saturates: saturates, rounding: rounding) })
      return
    }
    guard let format = NarrowFloat(elementType) else { throw Failure(.typeMismatch, "\(elementType.name) is no narrow floating-point format") }
    try self.init(elementType, dims: dims, codes: numbers.map { format.encoded($0, saturates: saturates) })
  }
}

extension Tensor {
  /// Numbers as bfloat16, rounded to nearest, ties to even.
  public init(bfloat16 numbers: [Double], dims: [Int]) throws(Failure) {
    try self.init(.bfloat16, dims: dims, values: numbers.map { Tensor.bfloat16Bits($0) })
  }

  /// A number's bits as bfloat16.
  public static func bfloat16Bits(_ number: Double) -> UInt16 {
    let single = Float(number)
    if single.isNaN { return 0x7FC0 }
    let bits = single.bitPattern
    return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
  }
}
