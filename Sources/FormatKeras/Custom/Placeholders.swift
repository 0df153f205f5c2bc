internal import Diagnostics
internal import Tensors

/// What stands for the placeholders `${…}` of a layer's description: keys of its configuration, names of axes, and axes of
/// operands and weights (`kernel.1`), joined by `+ - * /` and parentheses where they are numbers.
struct Placeholders {
  private var values: [String: JSON] = [:]
  /// Names of axes whose size is open.
  private var open: [String: Dim] = [:]
  private var shapes: [String: [Dim]] = [:]

  /// What a description may write by its placeholders.
  private static let textLimit = 1 << 20
  private static let depthLimit = 32

  mutating func set(_ name: String, _ value: JSON) { values[name] = value }
  mutating func set(_ name: String, dims: [Dim]) { shapes[name] = dims }

  /// Names an axis; false where the name already stands for another size.
  mutating func bind(_ name: String, _ dim: Dim) throws(Failure) -> Bool {
    if let known = values[name] { return dim.value != nil && known.int == dim.value }
    if let known = open[name] { return known == dim }
    if let size = dim.value { values[name] = .integer(size) } else { open[name] = dim }
    return true
  }

  /// The text with every placeholder replaced.
  func expanded(_ text: String, firstLine: Int, file: String) throws(Failure) -> String {
    var result = ""
    var line = firstLine
    var rest = text[...]
    while let start = rest.firstRange(of: "${") {
      let before = rest[..<start.lowerBound]
      line += before.count { $0 == "\n" }
      result += before
      guard let end = rest[start.upperBound...].firstIndex(of: "}") else { throw Failure(.graphText, "\(file), line \(line): '${' without '}'") }
      let expression = String(rest[start.upperBound..<end])
      do throws(Failure) { result += try self.text(expression) } catch { throw Failure(error.code, "\(file), line \(line): \(error.message)") }
      guard result.utf8.count <= Placeholders.textLimit else { throw Failure(.limitExceeded, "\(file), line \(line): the text becomes too long") }
      rest = rest[rest.index(after: end)...]
    }
    return result + rest
  }

  /// A placeholder as text: a word or list of the configuration as it is, everything else as a number.
  private func text(_ expression: String) throws(Failure) -> String {
    let name = expression.trimmed
    if let value = values[name] {
      switch value {
      case .string(let word): return word
      case .bool(let flag): return flag ? "true" : "false"
      case .number(let number): return "\(number)"
      case .integer(let number): return "\(number)"
      case .array(let entries):
        var items: [String] = []
        for entry in entries {
          switch entry {
          case .integer(let number): items.append("\(number)")
          case .number(let number): items.append("\(number)")
          case .string(let word): items.append(word)
          default: throw Failure(.graphText, "'\(name)' is no list of numbers or words")
          }
        }
        return "[\(items.joined(separator: ", "))]"
      case .null, .object: throw Failure(.graphText, "'\(name)' is neither number, word nor list")
      }
    }
    return String(try integer(expression))
  }

  /// The whole number that an expression gives.
  func integer(_ expression: String) throws(Failure) -> Int {
    var reading = ArithmeticReading(text: Array(expression.utf8))
    let result = try reading.sum(depth: 0) { (name) throws(Failure) in try self.number(name) }
    guard reading.isAtEnd else { throw Failure(.graphText, "'\(expression)' is no whole number") }
    return result
  }

  private func number(_ name: String) throws(Failure) -> Int {
    if let value = values[name] {
      guard let number = value.int else { throw Failure(.graphText, "'\(name)' is no whole number") }
      return number
    }
    if open[name] != nil { throw Failure(.graphText, "the size of '\(name)' is open: the graph must do without it") }
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    if parts.count == 2, let dims = shapes[String(parts[0])], let axis = Int(parts[1]), dims.indices.contains(axis) {
      guard let size = dims[axis].value else { throw Failure(.graphText, "axis \(axis) of '\(parts[0])' is open: the graph must do without it") }
      return size
    }
    throw Failure(.graphText, "'\(name)' names nothing here")
  }

  /// `a * (b + 2) / c`; quotients must come out even.
  private struct ArithmeticReading {
    let text: [UInt8]
    var position = 0

    typealias Lookup = (String) throws(Failure) -> Int

    init(text: [UInt8]) { self.text = text }

    private mutating func skip() { while position < text.count, text[position] == 0x20 { position += 1 } }
    var isAtEnd: Bool { text[position...].allSatisfy { $0 == 0x20 } }

    private mutating func takes(_ mark: Unicode.Scalar) -> Bool {
      skip()
      guard position < text.count, text[position] == UInt8(ascii: mark) else { return false }
      position += 1
      return true
    }

    private func checked(_ result: (partialValue: Int, overflow: Bool)) throws(Failure) -> Int {
      guard !result.overflow else { throw Failure(.sizeOverflow, "a size overflows") }
      return result.partialValue
    }

    mutating func sum(depth: Int, _ lookup: Lookup) throws(Failure) -> Int {
      var result = try product(depth: depth, lookup)
      while true {
        if takes("+") {
          result = try checked(result.addingReportingOverflow(try product(depth: depth, lookup)))
        } else if takes("-") {
          result = try checked(result.subtractingReportingOverflow(try product(depth: depth, lookup)))
        } else {
          return result
        }
      }
    }

    private mutating func product(depth: Int, _ lookup: Lookup) throws(Failure) -> Int {
      var result = try factor(depth: depth, lookup)
      while true {
        if takes("*") {
          result = try checked(result.multipliedReportingOverflow(by: try factor(depth: depth, lookup)))
        } else if takes("/") {
          let divisor = try factor(depth: depth, lookup)
          guard divisor != 0, divisor != -1, result % divisor == 0 else { throw Failure(.graphText, "\(result) / \(divisor) does not come out even") }
          result /= divisor
        } else {
          return result
        }
      }
    }

    private mutating func factor(depth: Int, _ lookup: Lookup) throws(Failure) -> Int {
      guard depth < Placeholders.depthLimit else { throw Failure(.limitExceeded, "parentheses nest too deep") }
      if takes("(") {
        let result = try sum(depth: depth + 1, lookup)
        guard takes(")") else { throw Failure(.graphText, "')' is missing") }
        return result
      }
      if takes("-") { return try checked(0.subtractingReportingOverflow(try factor(depth: depth + 1, lookup))) }
      skip()
      let start = position
      while position < text.count, isWord(text[position]) { position += 1 }
      let word = String(decoding: text[start..<position], as: UTF8.self)
      guard !word.isEmpty else { throw Failure(.graphText, "a number or name is missing") }
      if let number = Int(word) { return number }
      return try lookup(word)
    }

    private func isWord(_ byte: UInt8) -> Bool {
      byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".") || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }
  }
}

extension String {
  fileprivate var trimmed: String {
    var part = self[...]
    while part.first == " " { part.removeFirst() }
    while part.last == " " { part.removeLast() }
    return String(part)
  }
}
