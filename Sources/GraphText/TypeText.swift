internal import Diagnostics
internal import Tensors

/// `f32[batch, 197, 192]`: element type and shape; `f32[*]` where not even the rank is known.
enum TypeText {
  private static let short: [(ElementType, String)] = [
    (.float32, "f32"), (.float64, "f64"), (.float16, "f16"), (.bfloat16, "bf16"), (.int8, "i8"), (.int16, "i16"), (.int32, "i32"), (.int64, "i64"),
    (.uint8, "u8"), (.uint16, "u16"), (.uint32, "u32"), (.uint64, "u64"),
  ]

  static func spelled(_ element: ElementType) -> String { short.first { $0.0 == element }?.1 ?? element.name }
  static func element(_ word: String) -> ElementType? { short.first { $0.1 == word }?.0 ?? ElementType(name: word) }

  static func spelled(_ type: TensorType) -> String {
    spelled(type.element) + "[" + (type.shape.map { $0.dims.map(spelled).joined(separator: ", ") } ?? "*") + "]"
  }

  /// `sequence(f32[2])`, `optional(sequence(f32[*]))`, `map(i64, f32[])`; `_` where a type inside is not known.
  static func spelled(_ type: ValueType) -> String {
    switch type {
    case .tensor(let type): spelled(type)
    case .sequence(let element): "sequence(\(element.map { spelled($0) } ?? "_"))"
    case .optional(let element): "optional(\(element.map { spelled($0) } ?? "_"))"
    case .map(let key, let value): "map(\(spelled(key)), \(value.map { spelled($0) } ?? "_"))"
    }
  }

  private static func spelled(_ dim: Dim) -> String {
    if let value = dim.value { return String(value) }
    let terms = dim.polynomial.reversed().map { term in
      let symbols = term.symbols.map { isPlainSymbol($0) ? $0 : ValueName.quoted($0) }
      return (term.coefficient == 1 && !symbols.isEmpty ? symbols : [String(term.coefficient)] + symbols).joined(separator: "*")
    }
    return terms.joined(separator: "+").replacing("+-", with: " -")
  }

  private static func isPlainSymbol(_ symbol: String) -> Bool {
    guard let first = symbol.utf8.first else { return false }
    return !Scanner.isDigit(first) && symbol.utf8.allSatisfy(Scanner.isWord) && symbol != "inf" && symbol != "nan"
  }

  static func parseValue(_ scanner: inout Scanner, depth: Int = 0) throws(Failure) -> ValueType {
    guard depth < 16 else { throw scanner.failure("types nest more than 16 deep") }
    guard case .word(let kind) = scanner.current, ["sequence", "optional", "map"].contains(kind) else { return .tensor(try parse(&scanner)) }
    try scanner.advance()
    try scanner.expect("(")
    var key: ElementType?
    if kind == "map" {
      let at = scanner.start
      let word = try scanner.word("an element type")
      guard let found = element(word) else { throw scanner.failure("unknown element type '\(word)'", at: at) }
      key = found
      try scanner.expect(",")
    }
    var inner: ValueType?
    if case .word("_") = scanner.current { try scanner.advance() } else { inner = try parseValue(&scanner, depth: depth + 1) }
    try scanner.expect(")")
    if let key { return .map(key: key, value: inner) }
    return kind == "sequence" ? .sequence(of: inner) : .optional(of: inner)
  }

  static func parse(_ scanner: inout Scanner) throws(Failure) -> TensorType {
    let at = scanner.start
    let word = try scanner.word("an element type")
    guard let element = element(word) else { throw scanner.failure("unknown element type '\(word)'", at: at) }
    try scanner.expect("[")
    if try scanner.take("*") {
      try scanner.expect("]")
      return TensorType(element, nil)
    }
    var dims: [Dim] = []
    if try scanner.take("]") { return TensorType(element, Shape(dims)) }
    repeat { dims.append(try parseDim(&scanner)) } while try scanner.take(",")
    try scanner.expect("]")
    return TensorType(element, Shape(dims))
  }

  private static func parseDim(_ scanner: inout Scanner) throws(Failure) -> Dim {
    let at = scanner.start
    var sum = try parseTerm(&scanner)
    while true {
      if try !scanner.take("+") {
        guard case .number(let text) = scanner.current, text.hasPrefix("-") else { break }
      }
      guard let next = sum.adding(try parseTerm(&scanner)) else { throw scanner.failure("the dimension overflows", at: at) }
      sum = next
    }
    if let value = sum.value, value < 0 { throw scanner.failure("a dimension is negative", at: at) }
    return sum
  }

  private static func parseTerm(_ scanner: inout Scanner) throws(Failure) -> Dim {
    let at = scanner.start
    var product = Dim(1)
    repeat {
      let factor: Dim
      switch scanner.current {
      case .number(let text):
        guard let value = Int(text) else { throw scanner.failure("expected a whole number, found '\(text)'") }
        factor = Dim(value)
      case .word(let symbol), .string(let symbol): factor = Dim(symbol: symbol)
      default: throw scanner.failure("expected a dimension, found \(scanner.current.text)")
      }
      try scanner.advance()
      guard let next = product.multiplied(by: factor) else { throw scanner.failure("the dimension overflows", at: at) }
      product = next
    } while try scanner.take("*")
    return product
  }
}
