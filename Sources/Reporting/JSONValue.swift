/// A JSON document; members of objects keep their order.
///
/// An own writer instead of Foundation's, which would cost more at start than an inspection takes.
public enum JSONValue: Sendable, Hashable {
  case object([Member])
  case array([JSONValue])
  case string(String)
  case integer(Int)
  /// Not a number and infinities, which JSON cannot say, are written as null.
  case number(Double)
  case bool(Bool)
  case null

  public struct Member: Sendable, Hashable {
    public var key: String
    public var value: JSONValue
    public init(_ key: String, _ value: JSONValue) {
      self.key = key
      self.value = value
    }
  }

  public subscript(key: String) -> JSONValue? {
    if case .object(let members) = self { members.first { $0.key == key }?.value } else { nil }
  }

  /// The text, indented by two spaces; arrays and objects of scalars that fit a line stay on one.
  public var text: String {
    var out = ""
    write(to: &out, indent: "")
    return out
  }

  private static let lineWidth = 100

  private func write(to out: inout String, indent: String) {
    let children: [(prefix: String, value: JSONValue)]
    let brackets: (String, String)
    switch self {
    case .object(let members):
      children = members.map { (JSONValue.quoted($0.key) + ": ", $0.value) }
      brackets = ("{", "}")
    case .array(let elements):
      children = elements.map { ("", $0) }
      brackets = ("[", "]")
    default:
      out += scalarText
      return
    }
    if children.allSatisfy({ !$0.value.hasChildren }) {
      let line = brackets.0 + children.map { $0.prefix + $0.value.emptyOrScalarText }.joined(separator: ", ") + brackets.1
      if line.utf8.count <= JSONValue.lineWidth {
        out += line
        return
      }
    }
    out += brackets.0
    let inner = indent + "  "
    for (index, child) in children.enumerated() {
      out += index == 0 ? "\n" : ",\n"
      out += inner + child.prefix
      child.value.write(to: &out, indent: inner)
    }
    out += "\n" + indent + brackets.1
  }

  private var hasChildren: Bool {
    switch self {
    case .object(let members): !members.isEmpty
    case .array(let elements): !elements.isEmpty
    default: false
    }
  }

  private var emptyOrScalarText: String {
    switch self {
    case .object: "{}"
    case .array: "[]"
    default: scalarText
    }
  }

  private var scalarText: String {
    switch self {
    case .string(let value): JSONValue.quoted(value)
    case .integer(let value): String(value)
    case .number(let value): value.isFinite ? value.description : "null"
    case .bool(let value): value ? "true" : "false"
    case .null, .object, .array: "null"
    }
  }

  /// A string literal after RFC 8259.
  private static func quoted(_ string: String) -> String {
    var out = "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F:
        let digits = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(elements.map { Member($0.0, $0.1) }) }

  public init(_ value: String?) { self = value.map(JSONValue.string) ?? .null }
  public init(_ value: Int?) { self = value.map(JSONValue.integer) ?? .null }
  public init(_ value: Double?) { self = value.map(JSONValue.number) ?? .null }
}
