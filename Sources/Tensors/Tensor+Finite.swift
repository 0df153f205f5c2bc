/// Numbers that are none: what a scan of weights or outputs finds.
public struct NonFiniteCount: Sendable, Hashable {
  public var nans = 0
  public var infinities = 0
}

extension Tensor {
  /// How many elements of a floating-point tensor are NaN or infinite; none for other types and formats below 16 bits.
  public var nonFinite: NonFiniteCount {
    switch elementType {
    case .float32: count(UInt32.self, exponent: 0x7F80_0000, mantissa: 0x007F_FFFF)
    case .float64: count(UInt64.self, exponent: 0x7FF0_0000_0000_0000, mantissa: 0x000F_FFFF_FFFF_FFFF)
    case .float16: count(UInt16.self, exponent: 0x7C00, mantissa: 0x03FF)
    case .bfloat16: count(UInt16.self, exponent: 0x7F80, mantissa: 0x007F)
    default: NonFiniteCount()
    }
  }

  /// Looks at the bits of IEEE 754 numbers where they lie; the bytes may start at any address.
  @inline(__always)
  private func count<Bits: FixedWidthInteger & BitwiseCopyable>(_ type: Bits.Type, exponent: Bits, mantissa: Bits) -> NonFiniteCount {
    unsafe withUnsafeBytes { bytes in
      var result = NonFiniteCount()
      let size = MemoryLayout<Bits>.size
      for offset in stride(from: 0, to: bytes.count - size + 1, by: size) {
        let bits = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: Bits.self)
        if bits & exponent == exponent {
          if bits & mantissa != 0 { result.nans += 1 } else { result.infinities += 1 }
        }
      }
      return result
    }
  }
}
