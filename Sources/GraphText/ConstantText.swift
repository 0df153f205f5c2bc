internal import Diagnostics
internal import Tensors

/// Constants in the text. Up to 64 elements stand there one by one; larger ones whose elements are all alike as
/// `splat`; all others as `weight`, whose elements the text does not hold.
enum ConstantText {
  static let inlineLimit = 64
  /// What a text may ask for in one constant.
  static let elementLimit = 1 << 24

  static func spelled(_ tensor: Tensor) -> String {
    let type = TypeText.spelled(tensor.type)
    if tensor.count <= inlineLimit {
      let items = elements(tensor)
      return "constant [\(items.joined(separator: ", "))] : \(type)"
    }
    if tensor.count <= 1 << 20, isUniform(tensor), let first = splatElement(tensor) { return "splat \(first) : \(type)" }
    return "weight : \(type)"
  }

  private static func elements(_ tensor: Tensor) -> [String] {
    switch tensor.elementType {
    case .float32: return tensor.elements(as: Float.self).map(\.description)
    case .float16: return tensor.elements(as: Float16.self).map(\.description)
    case .bfloat16: return tensor.doubles().map { $0.map { Float($0).description } } ?? []
    case .float64: return tensor.elements(as: Double.self).map(\.description)
    case .uint64: return tensor.elements(as: UInt64.self).map(String.init)
    case .bool: return tensor.elements(as: UInt8.self).map { $0 == 0 ? "0" : "1" }
    case .string:
      guard case .strings(let strings) = tensor.storage else { return [] }
      return strings.map { ValueName.quoted(String(decoding: $0, as: UTF8.self)) }
    default:
      if let integers = tensor.integers() { return integers.map(String.init) }
      if let numbers = tensor.doubles() { return numbers.map(\.description) }
      // Complex numbers: their bytes.
      return tensor.elements(as: UInt8.self).map(String.init)
    }
  }

  private static func isUniform(_ tensor: Tensor) -> Bool {
    let width = tensor.elementType.bitWidth / 8
    guard width > 0 else { return false }
    let bytes = tensor.elements(as: UInt8.self)
    return bytes.indices.dropFirst(width).allSatisfy { bytes[$0] == bytes[$0 - width] }
  }

  private static func splatElement(_ tensor: Tensor) -> String? {
    let width = tensor.elementType.bitWidth / 8
    guard let one = try? Tensor(tensor.elementType, dims: [1], values: Array(tensor.elements(as: UInt8.self).prefix(width))) else { return nil }
    let spelled = elements(one)
    return spelled.count == 1 ? spelled[0] : nil
  }

  /// After `constant`, `splat` or `weight`, up to and with the type.
  static func parse(
    _ form: String, name: String, _ weights: GraphParser.WeightSource?, _ scanner: inout Scanner
  ) throws(Failure) -> (Tensor, name: String) {
    let label = name
    var name = name
    var literals: [Token] = []
    switch form {
    case "weight":
      if try scanner.take("@") {
        guard case .string(let given) = scanner.current else { throw scanner.failure("expected a name after '@'") }
        try scanner.advance()
        name = given
      }
    case "splat":
      literals = [try literal(&scanner)]
    default:
      try scanner.expect("[")
      if try !scanner.take("]") {
        repeat { literals.append(try literal(&scanner)) } while try scanner.take(",")
        try scanner.expect("]")
      }
    }
    try scanner.expect(":")
    let at = scanner.start
    let type = try TypeText.parse(&scanner)
    if form == "weight", let weights {
      guard let tensor = weights(name) else { throw scanner.failure("the weight '\(name)' is not there", .missingPart, at: at) }
      guard tensor.type == type else { throw scanner.failure("the weight '\(name)' is \(tensor.type)", .payloadMismatch, at: at) }
      return (tensor, label)
    }
    guard let dims = type.shape?.concrete, let count = dims.checkedProduct, count <= elementLimit else {
      throw scanner.failure("a constant has known dimensions and at most \(elementLimit) elements", at: at)
    }
    do throws(Failure) {
      switch form {
      case "weight": return (try seeded(type.element, dims: dims, name: name), name)
      case "splat":
        return (try tensor(type.element, dims: dims, Array(repeating: literals[0], count: count)), name)
      default:
        return (try tensor(type.element, dims: dims, literals), name)
      }
    } catch {
      throw scanner.failure(error.message, at: at)
    }
  }

  private static func literal(_ scanner: inout Scanner) throws(Failure) -> Token {
    let token = scanner.current
    switch token {
    case .number, .string:
      try scanner.advance()
      return token
    default: throw scanner.failure("expected an element, found \(token.text)")
    }
  }

  private static func tensor(_ type: ElementType, dims: [Int], _ literals: [Token]) throws(Failure) -> Tensor {
    if type == .string {
      return try Tensor(.string, dims: dims, storage: .strings(literals.map { if case .string(let text) = $0 { Array(text.utf8) } else { [] } }))
    }
    func parsed<T>(_ convert: (String) -> T?) throws(Failure) -> [T] {
      var values: [T] = []
      values.reserveCapacity(literals.count)
      for literal in literals {
        guard case .number(let text) = literal, let value = convert(text) else { throw Failure(.graphText, "\(literal.text) is no \(type.name)") }
        values.append(value)
      }
      return values
    }
    func numbers<T: BitwiseCopyable>(_ convert: (String) -> T?) throws(Failure) -> Tensor { try Tensor(type, dims: dims, values: parsed(convert)) }
    func codes(_ convert: (String) -> UInt8?) throws(Failure) -> Tensor { try Tensor(type, dims: dims, codes: parsed(convert)) }
    return switch type {
    case .float32: try numbers { Float($0) }
    case .float64: try numbers { Double($0) }
    case .float16: try numbers { Float16($0) }
    case .bfloat16: try numbers { Float($0).map { UInt16($0.bitPattern >> 16) } }
    case .int64: try numbers { Int64($0) }
    case .int32: try numbers { Int32($0) }
    case .int16: try numbers { Int16($0) }
    case .int8: try numbers { Int8($0) }
    case .uint64: try numbers { UInt64($0) }
    case .uint32: try numbers { UInt32($0) }
    case .uint16: try numbers { UInt16($0) }
    case .bool: try numbers { UInt8($0).flatMap { $0 <= 1 ? $0 : nil } }
    case .int4: try codes { Int8($0).flatMap { -8...7 ~= $0 ? UInt8(bitPattern: $0) : nil } }
    case .int2: try codes { Int8($0).flatMap { -2...1 ~= $0 ? UInt8(bitPattern: $0) : nil } }
    case .uint4: try codes { UInt8($0).flatMap { $0 < 16 ? $0 : nil } }
    case .uint2: try codes { UInt8($0).flatMap { $0 < 4 ? $0 : nil } }
    case .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float4e2m1, .float6e2m3, .float6e3m2, .float8e8m0:
      try Tensor(type, dims: dims, narrowing: try parsed { Double($0) }, saturates: false)
    case .uint8, .complex64, .complex128, .string: try numbers { UInt8($0) }
    }
  }

  /// Numbers that depend on the name alone: uniform in (-1, 1) divided by the square root of the first dimension for
  /// floating types, small whole numbers for the others. SplitMix64 seeded by the FNV-1a hash of the name.
  private static func seeded(_ type: ElementType, dims: [Int], name: String) throws(Failure) -> Tensor {
    var state = name.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
    let count = dims.checkedProduct ?? 0
    let scale = 1 / Double(Swift.max(dims.first ?? 1, 1)).squareRoot()
    func uniform() -> Double { (Double(next() >> 11) * 0x1p-52 - 1) * scale }
    return switch type {
    case .float32: try Tensor(type, dims: dims, values: (0..<count).map { _ in Float(uniform()) })
    case .float64: try Tensor(type, dims: dims, values: (0..<count).map { _ in uniform() })
    case .float16: try Tensor(type, dims: dims, values: (0..<count).map { _ in Float16(uniform()) })
    case .bfloat16: try Tensor(type, dims: dims, values: (0..<count).map { _ in UInt16(Float(uniform()).bitPattern >> 16) })
    case .int64, .uint64: try Tensor(type, dims: dims, values: (0..<count).map { _ in next() >> 61 })
    case .int32, .uint32: try Tensor(type, dims: dims, values: (0..<count).map { _ in UInt32(next() >> 61) })
    case .int8, .uint8: try Tensor(type, dims: dims, values: (0..<count).map { _ in UInt8(next() >> 61) })
    case .bool: try Tensor(type, dims: dims, values: (0..<count).map { _ in UInt8(next() >> 63) })
    default: throw Failure(.graphText, "there is no weight of type \(type.name)")
    }
  }
}
