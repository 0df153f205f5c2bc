/// A floating-point format of a byte or less: sign, exponent and mantissa packed into the low bits of a code.
///
/// Formats of the OCP specifications for 8-bit floating point and for microscaling (MX), and their `fnuz` variants, in
/// which the code of negative zero stands for NaN.
struct NarrowFloat: Sendable {
  enum Specials: Sendable {
    /// Infinities and NaNs as in IEEE 754 (e5m2).
    case infinityAndNaN
    /// The largest code is NaN, and there is no infinity (e4m3fn).
    case nanOnly
    /// The code of negative zero is NaN (fnuz).
    case nanAsNegativeZero
    /// Every code is a number.
    case none
  }
  let exponentBits, mantissaBits, bias: Int
  let specials: Specials
  let type: ElementType

  /// nil for types that are none of these; float8e8m0, which has no mantissa and no sign, stands in `ScaleFloat`.
  init?(_ type: ElementType) {
    self.type = type
    switch type {
    case .float8e4m3fn: (exponentBits, mantissaBits, bias, specials) = (4, 3, 7, .nanOnly)
    case .float8e4m3fnuz: (exponentBits, mantissaBits, bias, specials) = (4, 3, 8, .nanAsNegativeZero)
    case .float8e5m2: (exponentBits, mantissaBits, bias, specials) = (5, 2, 15, .infinityAndNaN)
    case .float8e5m2fnuz: (exponentBits, mantissaBits, bias, specials) = (5, 2, 16, .nanAsNegativeZero)
    case .float4e2m1: (exponentBits, mantissaBits, bias, specials) = (2, 1, 1, .none)
    case .float6e2m3: (exponentBits, mantissaBits, bias, specials) = (2, 3, 1, .none)
    case .float6e3m2: (exponentBits, mantissaBits, bias, specials) = (3, 2, 3, .none)
    default: return nil
    }
  }

  private var signBit: UInt8 { 1 << UInt8(exponentBits + mantissaBits) }
  private var magnitudeMask: UInt8 { signBit - 1 }

  /// The code of the largest finite number.
  private var largestCode: UInt8 {
    switch specials {
    case .infinityAndNaN: (((1 << UInt8(exponentBits)) - 1) << UInt8(mantissaBits)) - 1
    case .nanOnly: magnitudeMask - 1
    case .nanAsNegativeZero, .none: magnitudeMask
    }
  }

  func decoded(_ code: UInt8) -> Double {
    let magnitude = code & magnitudeMask
    let negative = code & signBit != 0
    if specials == .nanAsNegativeZero, negative, magnitude == 0 { return .nan }
    if magnitude > largestCode {
      if specials == .infinityAndNaN, magnitude == largestCode + 1 { return negative ? -.infinity : .infinity }
      return .nan
    }
    let exponent = Int(magnitude >> UInt8(mantissaBits))
    let mantissa = Double(magnitude & ((1 << UInt8(mantissaBits)) - 1))
    let unit = Double(sign: .plus, exponent: max(exponent, 1) - bias - mantissaBits, significand: 1)
    let value = (exponent == 0 ? mantissa : mantissa + Double(1 << mantissaBits)) * unit
    return negative ? -value : value
  }

  /// Rounded to nearest, ties to even. What is out of range stops at the largest number where `saturates`, and else
  /// becomes infinity, or NaN in formats without one; formats that have neither always saturate.
  func encoded(_ value: Double, saturates: Bool) -> UInt8 {
    let sign = value.sign == .minus ? signBit : 0
    let nan: UInt8? =
      switch specials {
      case .nanOnly: sign | magnitudeMask
      // The quiet one.
      case .infinityAndNaN: sign | (magnitudeMask - 1)
      case .nanAsNegativeZero: signBit
      case .none: nil
      }
    // Formats of the microscaling specification have no NaN; it becomes negative zero.
    if value.isNaN { return nan ?? signBit }
    let magnitude = value.magnitude
    let least = 1 - bias
    let exponent = magnitude == 0 || magnitude.isInfinite ? least : max(Int(magnitude.exponent), least)
    let unit = Double(sign: .plus, exponent: exponent - mantissaBits, significand: 1)
    let steps = (magnitude / unit).rounded(.toNearestOrEven)
    if magnitude.isInfinite || steps * unit > decoded(largestCode) {
      if saturates || specials == .none { return sign | largestCode }
      return specials == .infinityAndNaN ? sign | (largestCode + 1) : nan ?? largestCode
    }
    // Steps of the binade count on into the next one, as the codes do.
    let code = UInt8(Int(steps) + (exponent - least) << mantissaBits)
    return code == 0 && specials == .nanAsNegativeZero ? 0 : sign | code
  }
}

/// float8e8m0, the scale of the microscaling formats: a power of two from 2^-127 to 2^127, and NaN.
enum ScaleFloat {
  static func decoded(_ code: UInt8) -> Double { code == 255 ? .nan : Double(sign: .plus, exponent: Int(code) - 127, significand: 1) }

  static func encoded(_ value: Double, saturates: Bool, rounding: ScaleRounding) -> UInt8 {
    if value.isNaN { return 255 }
    let magnitude = value.magnitude
    if magnitude == 0 { return saturates ? 0 : 255 }
    if magnitude.isInfinite { return saturates ? 254 : 255 }
    let rest = magnitude.significand
    let up =
      switch rounding {
      case .up: rest > 1
      case .down: false
      case .nearest: rest >= 1.5
      }
    let exponent = Int(magnitude.exponent) + (up ? 1 : 0) + 127
    if 0...254 ~= exponent { return UInt8(exponent) }
    return saturates ? (exponent < 0 ? 0 : 254) : 255
  }
}

/// How a number between two powers of two becomes one (Cast, ONNX 24: `round_mode`).
public enum ScaleRounding: Hashable, Sendable { case up, down, nearest }

extension ElementType {
  /// The numbers of all codes of a floating-point format of a byte or less; nil for other types.
  var narrowNumbers: [Double]? {
    switch self {
    case .float8e4m3fn: NarrowTables.e4m3fn
    case .float8e4m3fnuz: NarrowTables.e4m3fnuz
    case .float8e5m2: NarrowTables.e5m2
    case .float8e5m2fnuz: NarrowTables.e5m2fnuz
    case .float4e2m1: NarrowTables.e2m1
    case .float6e2m3: NarrowTables.e2m3
    case .float6e3m2: NarrowTables.e3m2
    case .float8e8m0: NarrowTables.e8m0
    default: nil
    }
  }
}

private enum NarrowTables {
  static let e4m3fn = table(.float8e4m3fn)
  static let e4m3fnuz = table(.float8e4m3fnuz)
  static let e5m2 = table(.float8e5m2)
  static let e5m2fnuz = table(.float8e5m2fnuz)
  static let e2m1 = table(.float4e2m1)
  static let e2m3 = table(.float6e2m3)
  static let e3m2 = table(.float6e3m2)
  static let e8m0 = (0...255).map { ScaleFloat.decoded(UInt8($0)) }

  private static func table(_ type: ElementType) -> [Double] {
    guard let format = NarrowFloat(type) else { return [] }
    return (0..<(1 << type.bitWidth)).map { format.decoded(UInt8($0)) }
  }
}
