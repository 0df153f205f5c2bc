internal import Diagnostics

/// A JSON value as Python writes it: integers stay integers, and `NaN` and `Infinity` are numbers.
enum JSON: Sendable {
  case null
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([String: JSON])

  var isNull: Bool { if case .null = self { true } else { false } }
  var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  var int: Int? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }
  var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
  var string: String? { if case .string(let value) = self { value } else { nil } }
  var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
  var object: [String: JSON]? { if case .object(let value) = self { value } else { nil } }
  subscript(_ key: String) -> JSON? {
    guard case .object(let entries) = self, let value = entries[key], !value.isNull else { return nil }
    return value
  }
  /// All entries as integers.
  var ints: [Int]? {
    guard let array else { return nil }
    let values = array.compactMap(\.int)
    return values.count == array.count ? values : nil
  }

  /// Nesting that no configuration reaches.
  static let depthLimit = 256

  /// - Throws: `malformed` with the byte where the text stops being JSON; `limitExceeded` for deeper nesting.
  static func parse(_ bytes: [UInt8]) throws(Failure) -> JSON {
    guard String(validating: bytes, as: UTF8.self) != nil else { throw Failure(.malformed, "the JSON text is not UTF-8") }
    return try bytes.withUnsafeElements { (span) throws(Failure) in
      var parser = JSONParser(count: span.count)
      let value = try parser.value(span, depth: 0)
      parser.skipSpace(span)
      guard parser.position == span.count else { throw parser.wrong("something follows the value") }
      return value
    }
  }

  static func parse(_ text: String) throws(Failure) -> JSON { try parse(Array(text.utf8)) }
}

extension [UInt8] {
  fileprivate func withUnsafeElements<R>(_ body: (Span<UInt8>) throws(Failure) -> R) throws(Failure) -> R { try body(span) }
}

private struct JSONParser {
  var position = 0
  let count: Int

  init(count: Int) { self.count = count }

  func wrong(_ what: String) -> Failure { Failure(.malformed, "not JSON: \(what)", at: .init(bytes: position..<position)) }

  mutating func skipSpace(_ text: Span<UInt8>) {
    while position < count, text[position] == 0x20 || (0x09...0x0D).contains(text[position]) { position += 1 }
  }

  private mutating func takes(_ word: StaticString, _ text: Span<UInt8>) -> Bool {
    let length = word.utf8CodeUnitCount
    guard count - position >= length else { return false }
    var matches = true
    word.withUTF8Buffer { bytes in for index in 0..<length where unsafe bytes[index] != text[position + index] { matches = false } }
    if matches { position += length }
    return matches
  }

  mutating func value(_ text: Span<UInt8>, depth: Int) throws(Failure) -> JSON {
    guard depth < JSON.depthLimit else { throw Failure(.limitExceeded, "JSON nested deeper than \(JSON.depthLimit)") }
    skipSpace(text)
    guard position < count else { throw wrong("the text ends early") }
    switch text[position] {
    case UInt8(ascii: "{"): return try object(text, depth: depth)
    case UInt8(ascii: "["): return try array(text, depth: depth)
    case UInt8(ascii: "\""): return .string(try string(text))
    case UInt8(ascii: "t") where takes("true", text): return .bool(true)
    case UInt8(ascii: "f") where takes("false", text): return .bool(false)
    case UInt8(ascii: "n") where takes("null", text): return .null
    case UInt8(ascii: "N") where takes("NaN", text): return .number(.nan)
    case UInt8(ascii: "I") where takes("Infinity", text): return .number(.infinity)
    case UInt8(ascii: "-") where takes("-Infinity", text): return .number(-.infinity)
    default: return try number(text)
    }
  }

  private mutating func object(_ text: Span<UInt8>, depth: Int) throws(Failure) -> JSON {
    position += 1
    var result: [String: JSON] = [:]
    skipSpace(text)
    if position < count, text[position] == UInt8(ascii: "}") {
      position += 1
      return .object(result)
    }
    while true {
      skipSpace(text)
      guard position < count, text[position] == UInt8(ascii: "\"") else { throw wrong("a key is missing") }
      let key = try string(text)
      skipSpace(text)
      guard position < count, text[position] == UInt8(ascii: ":") else { throw wrong("':' is missing") }
      position += 1
      result[key] = try value(text, depth: depth + 1)
      skipSpace(text)
      guard position < count else { throw wrong("the text ends early") }
      let separator = text[position]
      position += 1
      if separator == UInt8(ascii: "}") { return .object(result) }
      guard separator == UInt8(ascii: ",") else { throw wrong("',' is missing") }
    }
  }

  private mutating func array(_ text: Span<UInt8>, depth: Int) throws(Failure) -> JSON {
    position += 1
    var result: [JSON] = []
    skipSpace(text)
    if position < count, text[position] == UInt8(ascii: "]") {
      position += 1
      return .array(result)
    }
    while true {
      result.append(try value(text, depth: depth + 1))
      skipSpace(text)
      guard position < count else { throw wrong("the text ends early") }
      let separator = text[position]
      position += 1
      if separator == UInt8(ascii: "]") { return .array(result) }
      guard separator == UInt8(ascii: ",") else { throw wrong("',' is missing") }
    }
  }

  private mutating func string(_ text: Span<UInt8>) throws(Failure) -> String {
    position += 1
    var bytes: [UInt8] = []
    while position < count {
      let byte = text[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: bytes, as: UTF8.self)
      case UInt8(ascii: "\\"):
        guard position < count else { throw wrong("the text ends early") }
        let escape = text[position]
        position += 1
        switch escape {
        case UInt8(ascii: "n"): bytes.append(0x0A)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "r"): bytes.append(0x0D)
        case UInt8(ascii: "b"): bytes.append(0x08)
        case UInt8(ascii: "f"): bytes.append(0x0C)
        case UInt8(ascii: "/"), UInt8(ascii: "\\"), UInt8(ascii: "\""): bytes.append(escape)
        case UInt8(ascii: "u"): bytes.append(contentsOf: String(try escapedScalar(text)).utf8)
        default: throw wrong("an unknown escape")
        }
      case 0..<0x20: throw wrong("a control character in a string")
      default: bytes.append(byte)
      }
    }
    throw wrong("a string does not end")
  }

  private mutating func hex(_ text: Span<UInt8>) throws(Failure) -> UInt32 {
    guard count - position >= 4 else { throw wrong("the text ends early") }
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = Character(UnicodeScalar(text[position])).hexDigitValue else { throw wrong("an unknown escape") }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  private mutating func escapedScalar(_ text: Span<UInt8>) throws(Failure) -> Character {
    let high = try hex(text)
    if (0xD800..<0xDC00).contains(high), takes("\\u", text) {
      let low = try hex(text)
      if (0xDC00..<0xE000).contains(low), let scalar = UnicodeScalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00)) { return Character(scalar) }
      return "\u{FFFD}"
    }
    return UnicodeScalar(high).map { Character($0) } ?? "\u{FFFD}"
  }

  private mutating func number(_ text: Span<UInt8>) throws(Failure) -> JSON {
    let start = position
    var isInteger = true
    while position < count {
      switch text[position] {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"): break
      case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): isInteger = false
      default:
        return try finish(start, text, isInteger)
      }
      position += 1
    }
    return try finish(start, text, isInteger)
  }

  private func finish(_ start: Int, _ text: Span<UInt8>, _ isInteger: Bool) throws(Failure) -> JSON {
    var digits: [UInt8] = []
    digits.reserveCapacity(position - start)
    for index in start..<position { digits.append(text[index]) }
    let word = String(decoding: digits, as: UTF8.self)
    if isInteger, let value = Int(word) { return .integer(value) }
    guard let value = Double(word) else { throw wrong("'\(word.prefix(20))' is no number") }
    return .number(value)
  }
}
