public import Tensors

/// Whether a value is the one that a test case wants: the rule of ONNX's backend tests.
///
/// Floating-point numbers `x` agree with the wanted `y` when `|x - y| <= absolute + relative * |y|`; not a number agrees
/// with itself, infinities with those of their sign. Integers, strings and truth values must be equal; so must element
/// types, shapes and the structure of sequences and optionals.
public struct ValueAgreement: Sendable, Hashable {
  public var relative: Double
  public var absolute: Double

  /// What the backend tests use where a case says nothing else.
  public init(relative: Double = 1e-3, absolute: Double = 1e-7) {
    self.relative = relative
    self.absolute = absolute
  }

  /// bfloat16 has eight bits of significand: the backend tests allow it two units in the last place.
  private static let bfloat16Relative = 0x1p-6

  /// The first thing that differs, in words: in numbers, the largest difference and where it is. nil where all agrees.
  public func difference(_ value: RuntimeValue, wanted: RuntimeValue) -> String? {
    switch (value, wanted) {
    case (.tensor(let a), .tensor(let b)): return difference(a, wanted: b)
    case (.sequence(let a), .sequence(let b)):
      guard a.count == b.count else { return "a sequence of \(a.count) instead of \(b.count)" }
      for (index, pair) in zip(a, b).enumerated() {
        if let found = difference(pair.0, wanted: pair.1) { return "element \(index): \(found)" }
      }
      return nil
    case (.map(let keys, let a), .map(let wantedKeys, let b)):
      if let found = difference(keys, wanted: wantedKeys) { return "keys: \(found)" }
      return difference(.sequence(a), wanted: .sequence(b))
    case (.optional(nil), .optional(nil)): return nil
    case (.optional(let a?), .optional(let b?)): return difference(a, wanted: b)
    case (.optional(let a?), _): return difference(a, wanted: wanted)
    case (_, .optional(let b?)): return difference(value, wanted: b)
    default: return "\(value.kind) instead of \(wanted.kind)"
    }
  }

  private func difference(_ value: Tensor, wanted: Tensor) -> String? {
    guard value.type == wanted.type else { return "\(value.type) instead of \(wanted.type)" }
    if case .strings(let a) = value.storage, case .strings(let b) = wanted.storage {
      guard let index = a.indices.first(where: { $0 < b.count && a[$0] != b[$0] }) else { return nil }
      return "'\(ValueAgreement.text(a[index]))' instead of '\(ValueAgreement.text(b[index]))'\(place(index, wanted.dims))"
    }
    if value.elementType.isFloatingPoint, let a = value.doubles(), let b = wanted.doubles() {
      return difference(a, b, wanted.dims, value.elementType == .bfloat16 ? max(relative, ValueAgreement.bfloat16Relative) : relative)
    }
    switch value.elementType {
    case .complex64:
      return difference(value.elements(as: Float.self).map { Double($0) }, wanted.elements(as: Float.self).map { Double($0) }, wanted.dims + [2], relative)
    case .complex128: return difference(value.elements(as: Double.self), wanted.elements(as: Double.self), wanted.dims + [2], relative)
    default: return exactDifference(value, wanted)
    }
  }

  private func difference(_ a: [Double], _ b: [Double], _ dims: [Int], _ relative: Double) -> String? {
    var worst: (index: Int, excess: Double)?
    for index in a.indices {
      let (x, y) = (a[index], b[index])
      if x == y || x.isNaN && y.isNaN { continue }
      let excess = abs(x - y) - (absolute + relative * abs(y))
      if excess <= 0 { continue }
      let weight = excess.isNaN ? .infinity : excess
      if worst.map({ weight > $0.excess }) ?? true { worst = (index, weight) }
    }
    guard let worst else { return nil }
    return "\(a[worst.index]) instead of \(b[worst.index])\(place(worst.index, dims))"
  }

  private func exactDifference(_ a: Tensor, _ b: Tensor) -> String? {
    if let x = a.integers(), let y = b.integers() {
      var worst: (index: Int, size: UInt)?
      for index in x.indices where x[index] != y[index] {
        let size = x[index] > y[index] ? UInt(bitPattern: x[index] &- y[index]) : UInt(bitPattern: y[index] &- x[index])
        if worst.map({ size > $0.size }) ?? true { worst = (index, size) }
      }
      return worst.map { "\(x[$0.index]) instead of \(y[$0.index])\(place($0.index, b.dims))" }
    }
    let (x, y) = (a.elements(as: UInt8.self), b.elements(as: UInt8.self))
    guard let byte = x.indices.first(where: { x[$0] != y[$0] }) else { return nil }
    let index = a.elementType.bitWidth > 0 ? byte * 8 / a.elementType.bitWidth : byte
    return "bits \(x[byte]) instead of \(y[byte])\(place(index, b.dims))"
  }

  private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes.prefix(40), as: UTF8.self) }

  private func place(_ index: Int, _ dims: [Int]) -> String {
    guard !dims.isEmpty else { return "" }
    var rest = index
    var indices: [Int] = []
    for dim in dims.reversed() {
      indices.append(dim > 0 ? rest % dim : 0)
      rest = dim > 0 ? rest / dim : 0
    }
    return " at \(Array(indices.reversed()))"
  }
}
