internal import Diagnostics
internal import GraphIR
internal import Tensors

/// An attribute's value as text: `axis = 1`, `perm = [0, 2, 1]`, `to = f32`, `equation = "ij,jk->ik"`.
enum AttributeValue: Hashable {
  case number(String)
  case word(String)
  case string(String)
  case integers([Int])
  case floats([Float])
  case strings([String])
  /// `f32[0.5, 2.0]`
  case numbers(ElementType, [Double])

  static func float(_ value: Float) -> AttributeValue { .number(value.description) }
  static func int(_ value: Int) -> AttributeValue { .number(String(value)) }

  var spelled: String {
    switch self {
    case .number(let text), .word(let text): text
    case .string(let text): ValueName.quoted(text)
    case .integers(let values): "[" + values.map(String.init).joined(separator: ", ") + "]"
    case .floats(let values): "[" + values.map(\.description).joined(separator: ", ") + "]"
    case .strings(let values): "[" + values.map(ValueName.quoted).joined(separator: ", ") + "]"
    case .numbers(let element, let values): TypeText.spelled(element) + "[" + values.map(\.description).joined(separator: ", ") + "]"
    }
  }

  init(_ data: AttributeData) {
    self =
      switch data {
      case .int(let value): .int(value)
      case .float(let value): .float(value)
      case .string(let bytes): .string(String(decoding: bytes, as: UTF8.self))
      case .ints(let values): .integers(values)
      case .floats(let values): .floats(values)
      case .strings(let values): .strings(values.map { String(decoding: $0, as: UTF8.self) })
      case .numbers(let element, let values): .numbers(element, values)
      }
  }

  /// nil for a number that is none.
  var data: AttributeData? {
    switch self {
    case .number(let text): Int(text).map { .int($0) } ?? Float(text).map { .float($0) }
    case .word(let text), .string(let text): .string(Array(text.utf8))
    case .integers(let values): .ints(values)
    case .floats(let values): .floats(values)
    case .strings(let values): .strings(values.map { Array($0.utf8) })
    case .numbers(let element, let values): .numbers(element, values)
    }
  }
}

/// The attributes of one node while it is parsed: each is taken once, what is left over is an error.
struct AttributeReader {
  private var values: [String: AttributeValue] = [:]
  private let offset: Int

  init(_ scanner: inout Scanner) throws(Failure) {
    offset = scanner.start
    guard try scanner.take("{") else { return }
    repeat {
      let at = scanner.start
      let name = try scanner.word("an attribute's name")
      try scanner.expect("=")
      guard values.updateValue(try AttributeReader.value(&scanner), forKey: name) == nil else {
        throw scanner.failure("the attribute '\(name)' stands twice", at: at)
      }
    } while try scanner.take(",")
    try scanner.expect("}")
  }

  private static func value(_ scanner: inout Scanner) throws(Failure) -> AttributeValue {
    switch scanner.current {
    case .number(let text):
      try scanner.advance()
      return .number(text)
    case .word(let text):
      try scanner.advance()
      guard let element = TypeText.element(text), try scanner.take("[") else { return .word(text) }
      return .numbers(element, try list(&scanner) { (scanner) throws(Failure) in try number(&scanner) { Double($0) } })
    case .string(let text):
      try scanner.advance()
      return .string(text)
    case .mark("["):
      try scanner.advance()
      if case .string = scanner.current {
        return .strings(
          try list(&scanner) { (scanner) throws(Failure) in
            guard case .string(let text) = scanner.current else { throw scanner.failure("expected a string, found \(scanner.current.text)") }
            try scanner.advance()
            return text
          })
      }
      let items = try list(&scanner) { (scanner) throws(Failure) in try number(&scanner) { text in Float(text).map { (text, $0) } } }
      let wholes = items.compactMap { Int($0.0) }
      return wholes.count == items.count ? .integers(wholes) : .floats(items.map(\.1))
    default:
      throw scanner.failure("expected an attribute's value, found \(scanner.current.text)")
    }
  }

  /// The items up to the closing bracket.
  private static func list<T>(_ scanner: inout Scanner, _ item: (inout Scanner) throws(Failure) -> T) throws(Failure) -> [T] {
    var items: [T] = []
    if try scanner.take("]") { return items }
    repeat { items.append(try item(&scanner)) } while try scanner.take(",")
    try scanner.expect("]")
    return items
  }

  private static func number<T>(_ scanner: inout Scanner, _ convert: (String) -> T?) throws(Failure) -> T {
    guard case .number(let text) = scanner.current, let value = convert(text) else {
      throw scanner.failure("expected a number, found \(scanner.current.text)")
    }
    try scanner.advance()
    return value
  }

  /// All attributes as data, for operators whose table says what they have.
  mutating func takeAll() throws(Failure) -> [String: AttributeData] {
    var result: [String: AttributeData] = [:]
    for (name, value) in values {
      guard let data = value.data else { throw failure("the attribute '\(name)' is not a number") }
      result[name] = data
    }
    values = [:]
    return result
  }

  private func failure(_ message: String) -> Failure { Failure(.graphText, message) }

  mutating func int(_ name: String, default standard: Int? = nil) throws(Failure) -> Int {
    switch values.removeValue(forKey: name) {
    case .number(let text)?:
      guard let value = Int(text) else { throw failure("the attribute '\(name)' is not a whole number") }
      return value
    case nil:
      guard let standard else { throw failure("the attribute '\(name)' is missing") }
      return standard
    default: throw failure("the attribute '\(name)' is not a whole number")
    }
  }

  mutating func optionalInt(_ name: String) throws(Failure) -> Int? { values[name] == nil ? nil : try int(name) }

  mutating func float(_ name: String, default standard: Float? = nil) throws(Failure) -> Float {
    switch values.removeValue(forKey: name) {
    case .number(let text)?:
      guard let value = Float(text) else { throw failure("the attribute '\(name)' is not a number") }
      return value
    case nil:
      guard let standard else { throw failure("the attribute '\(name)' is missing") }
      return standard
    default: throw failure("the attribute '\(name)' is not a number")
    }
  }

  mutating func optionalFloat(_ name: String) throws(Failure) -> Float? { values[name] == nil ? nil : try float(name) }

  mutating func double(_ name: String) throws(Failure) -> Double {
    guard case .number(let text)? = values.removeValue(forKey: name), let value = Double(text) else { throw failure("the attribute '\(name)' is not a number") }
    return value
  }

  mutating func flag(_ name: String) throws(Failure) -> Bool {
    switch values.removeValue(forKey: name) {
    case .word("true")?: true
    case .word("false")?, nil: false
    default: throw failure("the attribute '\(name)' is neither true nor false")
    }
  }

  mutating func integers(_ name: String) throws(Failure) -> [Int] {
    switch values.removeValue(forKey: name) {
    case .integers(let items)?: items
    case nil: []
    default: throw failure("the attribute '\(name)' is not a list")
    }
  }

  /// nil where the attribute is left out; an empty list is one.
  mutating func optionalIntegers(_ name: String) throws(Failure) -> [Int]? { values[name] == nil ? nil : try integers(name) }

  mutating func word(_ name: String) throws(Failure) -> String? {
    switch values.removeValue(forKey: name) {
    case .word(let text)?: text
    case nil: nil
    default: throw failure("the attribute '\(name)' is not a word")
    }
  }

  mutating func string(_ name: String) throws(Failure) -> String {
    guard case .string(let text)? = values.removeValue(forKey: name) else { throw failure("the attribute '\(name)' is missing or not a string") }
    return text
  }

  mutating func optionalString(_ name: String) throws(Failure) -> String? { values[name] == nil ? nil : try string(name) }

  /// One of `choices` by its word; the first is the default.
  mutating func choice<T>(_ name: String, _ choices: [(String, T)]) throws(Failure) -> T {
    guard let first = choices.first else { throw failure("the attribute '\(name)' has no choices") }
    guard let word = try word(name) else { return first.1 }
    guard let found = choices.first(where: { $0.0 == word }) else { throw failure("the attribute '\(name)' cannot be '\(word)'") }
    return found.1
  }

  func finish(_ scanner: Scanner) throws(Failure) {
    if let name = values.keys.min() { throw scanner.failure("the operator has no attribute '\(name)'", at: offset) }
  }
}
