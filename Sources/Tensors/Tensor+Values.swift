/// Reading any numeric tensor as numbers of one kind: for constants, weights that are refitted, and reports.
extension Tensor {
  /// All elements as `Double`; nil for strings and complex numbers.
  public func doubles() -> [Double]? {
    switch elementType {
    case .float64: elements(as: Double.self)
    case .float32: elements(as: Float.self).map(Double.init)
    case .float16: elements(as: Float16.self).map(Double.init)
    case .bfloat16: elements(as: UInt16.self).map { Double(Float(bitPattern: UInt32($0) << 16)) }
    case .int64: elements(as: Int64.self).map(Double.init)
    // Spelled out: `Double.init` would mean `init(bitPattern:)` here.
    case .uint64: elements(as: UInt64.self).map { Double($0) }
    case .int32: elements(as: Int32.self).map(Double.init)
    case .uint32: elements(as: UInt32.self).map(Double.init)
    case .int16: elements(as: Int16.self).map(Double.init)
    case .uint16: elements(as: UInt16.self).map(Double.init)
    case .int8: elements(as: Int8.self).map(Double.init)
    case .uint8, .bool: elements(as: UInt8.self).map(Double.init)
    case .int4, .int2, .uint4, .uint2: integers()?.map(Double.init)
    default: elementType.narrowNumbers.map { numbers in codes().map { numbers[Int($0)] } }
    }
  }

  /// All elements as `Float`.
  public func floats() -> [Float]? {
    elementType == .float32 ? elements(as: Float.self) : doubles()?.map { Float($0) }
  }

  /// All elements as `Int`; nil unless the type is an integer or bool and every value fits.
  public func integers() -> [Int]? {
    switch elementType {
    case .int64: elements(as: Int64.self).map(Int.init)
    case .int32: elements(as: Int32.self).map(Int.init)
    case .int16: elements(as: Int16.self).map(Int.init)
    case .int8: elements(as: Int8.self).map(Int.init)
    case .uint8, .bool: elements(as: UInt8.self).map(Int.init)
    case .uint16: elements(as: UInt16.self).map(Int.init)
    case .uint32: elements(as: UInt32.self).map(Int.init)
    case .uint64: wholes(of: elements(as: UInt64.self))
    case .uint4, .uint2: codes().map(Int.init)
    case .int4: codes().map { Int(Int8(bitPattern: $0 << 4) >> 4) }
    case .int2: codes().map { Int(Int8(bitPattern: $0 << 6) >> 6) }
    default: nil
    }
  }

  private func wholes(of numbers: [UInt64]) -> [Int]? {
    let wholes = numbers.compactMap { Int(exactly: $0) }
    return wholes.count == numbers.count ? wholes : nil
  }

  /// The single element of a scalar or one-element tensor.
  public var scalar: Double? { count == 1 ? doubles()?.first : nil }
}
