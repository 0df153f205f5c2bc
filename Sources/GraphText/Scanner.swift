internal import Diagnostics

/// What the text is made of; white space and comments (`;` to the end of the line) separate.
enum Token: Hashable {
  /// `%name` or `%"any name"`.
  case value(String)
  case string(String)
  /// A bare word: a mnemonic, a type, an attribute's name.
  case word(String)
  /// A number as it is spelled, sign included.
  case number(String)
  /// One of `( ) [ ] { } = : , * + @ ->`.
  case mark(String)
  case end

  var text: String {
    switch self {
    case .value(let name): "'\(ValueName.spelled(name))'"
    case .string(let text): "\"\(text)\""
    case .word(let text), .number(let text), .mark(let text): "'\(text)'"
    case .end: "the end of the text"
    }
  }
}

/// Cuts text into tokens, one ahead of the parser.
struct Scanner {
  private let bytes: [UInt8]
  private var position = 0
  /// Where the current token starts.
  private(set) var start = 0
  private(set) var current: Token = .end

  init(_ text: String) throws(Failure) {
    bytes = Array(text.utf8)
    try advance()
  }

  /// A failure at the current token.
  func failure(_ message: String, _ code: DiagnosticCode = .graphText) -> Failure { failure(message, code, at: start) }

  func failure(_ message: String, _ code: DiagnosticCode = .graphText, at offset: Int) -> Failure {
    let before = bytes[..<min(offset, bytes.count)]
    let line = before.count { $0 == UInt8(ascii: "\n") } + 1
    let column = before.count - (before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0) + 1
    return Failure(code, "line \(line), column \(column): \(message)", at: ModelLocation(bytes: offset..<min(bytes.count, max(offset, position))))
  }

  mutating func advance() throws(Failure) {
    skipSpace()
    start = position
    guard let byte = peek() else {
      current = .end
      return
    }
    switch byte {
    case UInt8(ascii: "%"):
      position += 1
      if peek() == UInt8(ascii: "\"") {
        current = .value(try quoted())
      } else {
        let name = run(of: ValueName.isPlain)
        guard !name.isEmpty else { throw failure("expected a name after '%'") }
        current = .value(name)
      }
    case UInt8(ascii: "\""):
      current = .string(try quoted())
    case UInt8(ascii: "-") where peek(1) == UInt8(ascii: ">"):
      position += 2
      current = .mark("->")
    case UInt8(ascii: "-"):
      position += 1
      let rest = run(of: Scanner.isWord)
      guard let first = rest.utf8.first, Scanner.isDigit(first) || rest == "inf" || rest == "nan" else { throw failure("expected a number after '-'") }
      current = .number("-" + (try withExponent(rest)))
    case _ where Scanner.isDigit(byte):
      current = .number(try withExponent(run(of: Scanner.isWord)))
    case _ where Scanner.isWord(byte):
      let word = run(of: Scanner.isWord)
      current = word == "inf" || word == "nan" ? .number(word) : .word(word)
    case _ where "()[]{}=:,*+@".utf8.contains(byte):
      position += 1
      current = .mark(String(Unicode.Scalar(byte)))
    default:
      throw failure("unexpected character '\(Unicode.Scalar(byte))'")
    }
  }

  /// The current token, if it is `mark`; moves on then.
  mutating func take(_ mark: String) throws(Failure) -> Bool {
    guard current == .mark(mark) else { return false }
    try advance()
    return true
  }

  mutating func expect(_ mark: String) throws(Failure) {
    guard try take(mark) else { throw failure("expected '\(mark)', found \(current.text)") }
  }

  mutating func word(_ what: String) throws(Failure) -> String {
    guard case .word(let word) = current else { throw failure("expected \(what), found \(current.text)") }
    try advance()
    return word
  }

  mutating func integer(_ what: String) throws(Failure) -> Int {
    guard case .number(let text) = current, let value = Int(text) else { throw failure("expected \(what), found \(current.text)") }
    try advance()
    return value
  }

  private func peek(_ ahead: Int = 0) -> UInt8? { position + ahead < bytes.count ? bytes[position + ahead] : nil }

  private mutating func skipSpace() {
    while let byte = peek() {
      if byte == UInt8(ascii: ";") {
        while let next = peek(), next != UInt8(ascii: "\n") { position += 1 }
      } else if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r") {
        position += 1
      } else {
        return
      }
    }
  }

  private mutating func run(of accepts: (UInt8) -> Bool) -> String {
    let from = position
    while let byte = peek(), accepts(byte) { position += 1 }
    return String(decoding: bytes[from..<position], as: UTF8.self)
  }

  /// `1e` goes on with `-05` or `+05`.
  private mutating func withExponent(_ text: String) throws(Failure) -> String {
    guard text.hasSuffix("e") || text.hasSuffix("E"), let sign = peek(), sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") else { return text }
    position += 1
    return text + String(Unicode.Scalar(sign)) + run(of: Scanner.isDigit)
  }

  private mutating func quoted() throws(Failure) -> String {
    position += 1
    var content: [UInt8] = []
    while let byte = peek() {
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: content, as: UTF8.self)
      case UInt8(ascii: "\n"): throw failure("a string ends with its line")
      case UInt8(ascii: "\\"):
        guard let escaped = peek() else { break }
        position += 1
        content.append(escaped == UInt8(ascii: "n") ? UInt8(ascii: "\n") : escaped)
      default: content.append(byte)
      }
    }
    throw failure("a string is not closed")
  }

  static func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }
  static func isWord(_ byte: UInt8) -> Bool {
    isDigit(byte) || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte || byte == UInt8(ascii: "_")
      || byte == UInt8(ascii: ".")
  }
}

/// How names of values and other strings stand in the text.
enum ValueName {
  /// Bytes that a name may hold without quotes.
  static func isPlain(_ byte: UInt8) -> Bool { Scanner.isWord(byte) || byte == UInt8(ascii: "/") }

  static func spelled(_ name: String) -> String {
    !name.isEmpty && name.utf8.allSatisfy(isPlain) ? "%\(name)" : "%\(quoted(name))"
  }

  static func quoted(_ text: String) -> String {
    "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n") + "\""
  }
}
