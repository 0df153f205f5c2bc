/// Reads RE2's syntax: one pass, one character ahead.
struct RegularExpressionParser {
  typealias Mistake = RegularExpression.Mistake
  typealias Tree = RegularExpression.Tree
  typealias CharacterSet = RegularExpression.CharacterSet

  private let text: [Unicode.Scalar]
  private var position = 0
  private var depth = 0
  private var flags = Flags()

  private struct Flags {
    var foldsCase = false
    var multiLine = false
    var dotIsAll = false
  }

  init(_ pattern: String) { text = Array(pattern.unicodeScalars) }

  mutating func parse() throws(Mistake) -> Tree {
    let tree = try alternatives()
    guard peek() == nil else { throw mistake("a ')' closes nothing") }
    return tree
  }

  private func mistake(_ message: String) -> Mistake { Mistake(message: "\(message), at character \(position)") }
  private func peek(_ ahead: Int = 0) -> Unicode.Scalar? { position + ahead < text.count ? text[position + ahead] : nil }
  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard peek() == scalar else { return false }
    position += 1
    return true
  }
  private mutating func take(_ word: String) -> Bool {
    let scalars = Array(word.unicodeScalars)
    guard position + scalars.count <= text.count, Array(text[position..<position + scalars.count]) == scalars else { return false }
    position += scalars.count
    return true
  }
  private mutating func next() throws(Mistake) -> Unicode.Scalar {
    guard let scalar = peek() else { throw mistake("the pattern ends early") }
    position += 1
    return scalar
  }

  private mutating func alternatives() throws(Mistake) -> Tree {
    depth += 1
    defer { depth -= 1 }
    guard depth <= RegularExpression.depthLimit else { throw mistake("groups are nested deeper than \(RegularExpression.depthLimit)") }
    var parts = [try sequence()]
    while take("|" as Unicode.Scalar) { parts.append(try sequence()) }
    return parts.count == 1 ? parts[0] : .either(parts)
  }

  private mutating func sequence() throws(Mistake) -> Tree {
    var parts: [Tree] = []
    while let scalar = peek(), scalar != "|", scalar != ")" {
      if take("\\Q") {
        while peek() != nil, !take("\\E") { parts.append(.set(literal(try next()))) }
        continue
      }
      guard let atom = try atom() else { continue }
      parts.append(try repetitions(of: atom))
    }
    return parts.isEmpty ? .empty : parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private func literal(_ scalar: Unicode.Scalar) -> CharacterSet { CharacterSet(ranges: [scalar.value...scalar.value], foldsCase: flags.foldsCase) }

  /// What stands at this place; nil for flags, which are no part of the text.
  private mutating func atom() throws(Mistake) -> Tree? {
    let scalar = try next()
    switch scalar {
    case "(": return try group()
    case "[": return .set(try characterClass())
    case ".":
      if flags.dotIsAll { return .set(CharacterSet(ranges: [0...0x10FFFF])) }
      return .set(CharacterSet(ranges: [0x0A...0x0A], isNegated: true))
    case "^": return .assertion(flags.multiLine ? .lineStart : .textStart)
    case "$": return .assertion(flags.multiLine ? .lineEnd : .textEnd)
    case "*", "+", "?":
      position -= 1
      throw mistake("nothing stands before '\(scalar)'")
    case "\\":
      switch peek() {
      case "A"?: return assertion(.textStart)
      case "z"?: return assertion(.textEnd)
      case "b"?: return assertion(.wordBoundary)
      case "B"?: return assertion(.noWordBoundary)
      default: return .set(try escape())
      }
    default: return .set(literal(scalar))
    }
  }

  private mutating func assertion(_ assertion: RegularExpression.Assertion) -> Tree {
    position += 1
    return .assertion(assertion)
  }

  private mutating func group() throws(Mistake) -> Tree? {
    let outer = flags
    if take("?" as Unicode.Scalar) {
      if take("P<") || take("<") {
        var name = 0
        while let scalar = peek(), CharacterSet.word.contains(scalar) {
          position += 1
          name += 1
        }
        guard name > 0, take(">" as Unicode.Scalar) else { throw mistake("a group's name is not closed") }
      } else {
        var clears = false
        flagList: while true {
          let scalar = try next()
          switch scalar {
          case "i": flags.foldsCase = !clears
          case "m": flags.multiLine = !clears
          case "s": flags.dotIsAll = !clears
          // Lazy and greedy repetitions match the same whole strings.
          case "U": break
          case "-" where !clears: clears = true
          case ":": break flagList
          case ")": return nil
          default: throw mistake("'(?\(scalar)' is not known; RE2 has no look-around and no back references")
          }
        }
      }
    }
    let tree = try alternatives()
    guard take(")" as Unicode.Scalar) else { throw mistake("a '(' is not closed") }
    flags = outer
    return tree
  }

  private mutating func repetitions(of atom: Tree) throws(Mistake) -> Tree {
    var tree = atom
    var count = 0
    while let scalar = peek() {
      let bounds: (Int, Int?)
      switch scalar {
      case "*": bounds = (0, nil)
      case "+": bounds = (1, nil)
      case "?": bounds = (0, 1)
      case "{":
        guard let given = try counts() else { return tree }
        bounds = given
        position -= 1
      default: return tree
      }
      position += 1
      _ = take("?" as Unicode.Scalar)
      count += 1
      // RE2 refuses `a**`; so does this.
      guard count == 1 else { throw mistake("a repetition of a repetition") }
      tree = .repeated(tree, least: bounds.0, most: bounds.1)
    }
    return tree
  }

  /// `{n}`, `{n,}` or `{n,m}`, read up to behind the brace; nil where the brace is a character like others.
  private mutating func counts() throws(Mistake) -> (Int, Int?)? {
    let start = position
    position += 1
    guard let least = number() else {
      position = start
      return nil
    }
    var most: Int? = least
    if take("," as Unicode.Scalar) { most = peek() == "}" ? nil : number() ?? -1 }
    guard take("}" as Unicode.Scalar), most != -1 else {
      position = start
      return nil
    }
    guard least <= RegularExpression.repetitionLimit, most ?? 0 <= RegularExpression.repetitionLimit, least <= most ?? least else {
      throw mistake("a repetition from \(least) to \(most.map(String.init) ?? "any number of") times")
    }
    return (least, most)
  }

  private mutating func number() -> Int? {
    var value: Int?
    while let scalar = peek(), 0x30...0x39 ~= scalar.value {
      value = min((value ?? 0) * 10 + Int(scalar.value - 0x30), 1_000_000)
      position += 1
    }
    return value
  }

  private mutating func characterClass() throws(Mistake) -> CharacterSet {
    var set = CharacterSet(foldsCase: flags.foldsCase)
    set.isNegated = take("^" as Unicode.Scalar)
    var first = true
    while first || peek() != "]" {
      first = false
      if take("[:") {
        let negated = take("^" as Unicode.Scalar)
        var name = ""
        while let scalar = peek(), scalar != ":" {
          name.unicodeScalars.append(scalar)
          position += 1
        }
        guard take(":]"), let ranges = CharacterSet.named[name] else { throw mistake("the class '[:\(name):]' is not known") }
        set.form(CharacterSet(ranges: ranges, isNegated: negated))
        continue
      }
      guard let low = try member(&set) else { continue }
      if peek() == "-", let end = peek(1), end != "]" {
        position += 1
        var nothing = CharacterSet()
        guard let high = try member(&nothing), high >= low else { throw mistake("a range of characters runs backwards") }
        set.ranges.append(low...high)
      } else {
        set.ranges.append(low...low)
      }
    }
    position += 1
    return set
  }

  /// One character of a class; nil where a whole set was added.
  private mutating func member(_ set: inout CharacterSet) throws(Mistake) -> UInt32? {
    let scalar = try next()
    guard scalar == "\\" else { return scalar.value }
    let escaped = try escape()
    if !escaped.isNegated, escaped.categories.isEmpty, escaped.ranges.count == 1, escaped.ranges[0].count == 1 { return escaped.ranges[0].lowerBound }
    set.form(escaped)
    return nil
  }

  /// What stands behind a backslash.
  private mutating func escape() throws(Mistake) -> CharacterSet {
    func negated(_ set: CharacterSet) -> CharacterSet { CharacterSet(ranges: set.ranges, isNegated: true) }
    let scalar = try next()
    switch scalar {
    case "d": return .digit
    case "D": return negated(.digit)
    case "s": return .space
    case "S": return negated(.space)
    case "w": return .word
    case "W": return negated(.word)
    case "a": return CharacterSet(ranges: [7...7])
    case "f": return CharacterSet(ranges: [12...12])
    case "t": return CharacterSet(ranges: [9...9])
    case "n": return CharacterSet(ranges: [10...10])
    case "r": return CharacterSet(ranges: [13...13])
    case "v": return CharacterSet(ranges: [11...11])
    case "p", "P": return try category(isNegated: scalar == "P")
    case "x":
      let digits: String
      if take("{" as Unicode.Scalar) {
        var list = ""
        while let digit = peek(), digit != "}", list.utf8.count < 8 {
          list.unicodeScalars.append(digit)
          position += 1
        }
        guard take("}" as Unicode.Scalar) else { throw mistake("'\\x{' is not closed") }
        digits = list
      } else {
        digits = String(String.UnicodeScalarView([try next(), try next()]))
      }
      guard let value = UInt32(digits, radix: 16), Unicode.Scalar(value) != nil else { throw mistake("'\\x\(digits)' is no character") }
      return CharacterSet(ranges: [value...value], foldsCase: flags.foldsCase)
    case "0"..."7":
      // One to three octal digits; a single one other than 0 would be a back reference.
      var value = scalar.value - 0x30
      var count = 1
      while count < 3, let digit = peek(), 0x30...0x37 ~= digit.value {
        value = value * 8 + digit.value - 0x30
        position += 1
        count += 1
      }
      guard count > 1 || value == 0 else { throw mistake("RE2 has no back references") }
      return CharacterSet(ranges: [value...value])
    default:
      guard scalar.value < 0x80, !(CharacterSet.word.contains(scalar)) || scalar == "_" else { throw mistake("'\\\(scalar)' is not known") }
      return CharacterSet(ranges: [scalar.value...scalar.value])
    }
  }

  private mutating func category(isNegated: Bool) throws(Mistake) -> CharacterSet {
    var negated = isNegated
    var name = ""
    if take("{" as Unicode.Scalar) {
      if take("^" as Unicode.Scalar) { negated.toggle() }
      while let scalar = peek(), scalar != "}" {
        name.unicodeScalars.append(scalar)
        position += 1
      }
      guard take("}" as Unicode.Scalar) else { throw mistake("'\\p{' is not closed") }
    } else {
      name.unicodeScalars.append(try next())
    }
    guard CharacterSet.categoryNames.contains(name) else { throw mistake("the category '\(name)' is not known") }
    return CharacterSet(categories: [(name, negated)])
  }
}
