/// A regular expression in RE2's syntax (github.com/google/re2/wiki/Syntax), matched against whole strings in time
/// proportional to states times characters: all states are followed at once, nothing is tried twice.
///
/// Known: literals, `.`, classes with ranges, negation and `[:name:]`, `\d \s \w` and their opposites, `\pL` and
/// `\p{Lu}` (general categories), groups `( ) (?: ) (?P<n> ) (?<n> )`, flags `i m s U`, `|`, `* + ? {n,m}` and their lazy
/// forms, `^ $ \A \z \b \B`, `\Q...\E`, and escapes by letter, `\x41`, `\x{263A}` and octal. Not known: scripts (`\p{Greek}`)
/// and `\C`. As in RE2 there are no back references and no look-around.
struct RegularExpression {
  struct Mistake: Error { let message: String }

  /// Most states of the automaton, most copies of a repetition, and deepest nesting.
  static let stateLimit = 20_000
  static let repetitionLimit = 1000
  static let depthLimit = 200

  indirect enum Tree {
    case empty
    case set(CharacterSet)
    case assertion(Assertion)
    case sequence([Tree])
    case either([Tree])
    case repeated(Tree, least: Int, most: Int?)
  }
  enum Assertion { case textStart, textEnd, lineStart, lineEnd, wordBoundary, noWordBoundary }

  private enum State {
    case consume(CharacterSet, next: Int)
    case check(Assertion, next: Int)
    case split(Int, Int)
    case match
  }
  private var states: [State] = []
  private var start = 0

  init(_ pattern: String) throws(Mistake) {
    var parser = RegularExpressionParser(pattern)
    let tree = try parser.parse()
    states.append(.match)
    start = try add(tree, next: 0)
  }

  private mutating func append(_ state: State) throws(Mistake) -> Int {
    guard states.count < RegularExpression.stateLimit else { throw Mistake(message: "it needs more than \(RegularExpression.stateLimit) states") }
    states.append(state)
    return states.count - 1
  }

  /// Adds states for a tree that go on to `next`; the first one's number.
  private mutating func add(_ tree: Tree, next: Int) throws(Mistake) -> Int {
    switch tree {
    case .empty: return next
    case .set(let set): return try append(.consume(set, next: next))
    case .assertion(let assertion): return try append(.check(assertion, next: next))
    case .sequence(let parts):
      var next = next
      for part in parts.reversed() { next = try add(part, next: next) }
      return next
    case .either(let parts):
      var first = try add(parts[parts.count - 1], next: next)
      for part in parts.dropLast().reversed() { first = try append(.split(try add(part, next: next), first)) }
      return first
    case .repeated(let part, let least, let most):
      var next = next
      if let most {
        for _ in least..<max(most, least) { next = try append(.split(try add(part, next: next), next)) }
      } else {
        let loop = try append(.split(0, next))
        states[loop] = .split(try add(part, next: loop), next)
        next = loop
      }
      for _ in 0..<least { next = try add(part, next: next) }
      return next
    }
  }

  /// Whether the whole text matches.
  func matches(_ text: String) -> Bool {
    let scalars = Array(text.unicodeScalars)
    var current: [Int] = []
    var marks = [Int](repeating: -1, count: states.count)
    follow(start, at: 0, scalars, into: &current, &marks)
    for position in scalars.indices {
      if current.isEmpty { return false }
      var following: [Int] = []
      for state in current {
        if case .consume(let set, let next) = states[state], set.contains(scalars[position]) {
          follow(next, at: position + 1, scalars, into: &following, &marks)
        }
      }
      current = following
    }
    return current.contains { if case .match = states[$0] { true } else { false } }
  }

  /// The states that are reached without a character.
  private func follow(_ state: Int, at position: Int, _ text: [Unicode.Scalar], into list: inout [Int], _ marks: inout [Int]) {
    var pending = [state]
    while let state = pending.popLast() {
      guard marks[state] != position else { continue }
      marks[state] = position
      switch states[state] {
      case .consume, .match: list.append(state)
      case .split(let a, let b): pending += [b, a]
      case .check(let assertion, let next): if RegularExpression.holds(assertion, position, text) { pending.append(next) }
      }
    }
  }

  private static func holds(_ assertion: Assertion, _ position: Int, _ text: [Unicode.Scalar]) -> Bool {
    func isWord(_ index: Int) -> Bool { text.indices.contains(index) && CharacterSet.word.contains(text[index]) }
    return switch assertion {
    case .textStart: position == 0
    case .textEnd: position == text.count
    case .lineStart: position == 0 || text[position - 1] == "\n"
    case .lineEnd: position == text.count || text[position] == "\n"
    case .wordBoundary: isWord(position - 1) != isWord(position)
    case .noWordBoundary: isWord(position - 1) == isWord(position)
    }
  }
}

extension RegularExpression {
  /// Characters by ranges and categories.
  struct CharacterSet {
    var ranges: [ClosedRange<UInt32>] = []
    /// General categories by the start of their two-letter names, and whether they are left out instead.
    var categories: [(name: String, isNegated: Bool)] = []
    var isNegated = false
    var foldsCase = false

    static let digit = CharacterSet(ranges: [0x30...0x39])
    static let space = CharacterSet(ranges: [0x09...0x0A, 0x0C...0x0D, 0x20...0x20])
    static let word = CharacterSet(ranges: [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])

    func contains(_ scalar: Unicode.Scalar) -> Bool {
      var found = holds(scalar.value)
      if !found, !categories.isEmpty {
        let own = CharacterSet.category(scalar)
        found = categories.contains { own.hasPrefix($0.name) != $0.isNegated }
      }
      if !found, foldsCase {
        for mapped in [scalar.properties.lowercaseMapping, scalar.properties.uppercaseMapping, scalar.properties.titlecaseMapping] {
          if let other = mapped.unicodeScalars.first, mapped.unicodeScalars.count == 1, holds(other.value) { found = true }
        }
      }
      return found != isNegated
    }

    private func holds(_ value: UInt32) -> Bool { ranges.contains { $0.contains(value) } }

    mutating func form(_ other: CharacterSet) {
      categories += other.categories
      guard other.isNegated else {
        ranges += other.ranges
        return
      }
      var from: UInt32 = 0
      for range in other.ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
        if range.lowerBound > from { ranges.append(from...range.lowerBound - 1) }
        from = max(from, range.upperBound + 1)
      }
      if from <= 0x10FFFF { ranges.append(from...0x10FFFF) }
    }

    /// The two letters of the general category.
    private static func category(_ scalar: Unicode.Scalar) -> String {
      switch scalar.properties.generalCategory {
      case .uppercaseLetter: "Lu"
      case .lowercaseLetter: "Ll"
      case .titlecaseLetter: "Lt"
      case .modifierLetter: "Lm"
      case .otherLetter: "Lo"
      case .nonspacingMark: "Mn"
      case .spacingMark: "Mc"
      case .enclosingMark: "Me"
      case .decimalNumber: "Nd"
      case .letterNumber: "Nl"
      case .otherNumber: "No"
      case .connectorPunctuation: "Pc"
      case .dashPunctuation: "Pd"
      case .openPunctuation: "Ps"
      case .closePunctuation: "Pe"
      case .initialPunctuation: "Pi"
      case .finalPunctuation: "Pf"
      case .otherPunctuation: "Po"
      case .mathSymbol: "Sm"
      case .currencySymbol: "Sc"
      case .modifierSymbol: "Sk"
      case .otherSymbol: "So"
      case .spaceSeparator: "Zs"
      case .lineSeparator: "Zl"
      case .paragraphSeparator: "Zp"
      case .control: "Cc"
      case .format: "Cf"
      case .surrogate: "Cs"
      case .privateUse: "Co"
      case .unassigned: "Cn"
      @unknown default: "Cn"
      }
    }

    static let categoryNames: Set<String> = [
      "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc",
      "Sk", "So", "Z", "Zs", "Zl", "Zp", "C", "Cc", "Cf", "Cs", "Co",
    ]

    /// `[:name:]`, of ASCII only.
    static let named: [String: [ClosedRange<UInt32>]] = [
      "alnum": [0x30...0x39, 0x41...0x5A, 0x61...0x7A], "alpha": [0x41...0x5A, 0x61...0x7A], "ascii": [0...0x7F], "blank": [0x09...0x09, 0x20...0x20],
      "cntrl": [0...0x1F, 0x7F...0x7F], "digit": [0x30...0x39], "graph": [0x21...0x7E], "lower": [0x61...0x7A], "print": [0x20...0x7E],
      "punct": [0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E], "space": [0x09...0x0D, 0x20...0x20], "upper": [0x41...0x5A],
      "word": [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A], "xdigit": [0x30...0x39, 0x41...0x46, 0x61...0x66],
    ]
  }
}
