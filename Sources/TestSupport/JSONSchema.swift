internal import Foundation

/// Holds JSON documents against a schema: the part of JSON Schema 2020-12 that the files in `schemas/` use.
///
/// A keyword outside that part is a violation of its own, so that no rule passes unread.
public struct JSONSchema {
  private let root: Document

  /// Reads `schemas/<name>.schema.json`.
  public init(named name: String) throws {
    root = try JSONDecoder().decode(Document.self, from: Data(contentsOf: URL(fileURLWithPath: "\(Fixtures.root)/schemas/\(name).schema.json")))
  }

  /// What is wrong with a document, one line each; empty when it follows the schema.
  public func violations(of document: String) -> [String] {
    guard let value = try? JSONDecoder().decode(Document.self, from: Data(document.utf8)) else { return ["not a JSON document"] }
    var out: [String] = []
    check(value, root, at: "$", &out)
    return out
  }

  private static let annotations: Set<String> = ["$schema", "$id", "title", "description"]

  private func check(_ value: Document, _ schema: Document, at path: String, _ out: inout [String]) {
    let rules = schema.members
    for (keyword, rule) in rules.sorted(by: { $0.key < $1.key }) where !Self.annotations.contains(keyword) {
      switch (keyword, rule) {
      case ("type", _):
        let types = rule.strings
        if !types.contains(where: value.isOf) { out.append("\(path): is no \(types.joined(separator: " or "))") }
      case ("const", _):
        if value != rule { out.append("\(path): is not \(rule)") }
      case ("enum", .array(let allowed)):
        if !allowed.contains(value) { out.append("\(path): \(value) is none of \(rule.strings.joined(separator: ", "))") }
      case ("pattern", .string(let pattern)):
        if case .string(let text) = value, text.range(of: pattern, options: .regularExpression) == nil {
          out.append("\(path): '\(text)' does not match \(pattern)")
        }
      case ("minimum", .number(let bound)):
        if case .number(let number) = value, number < bound { out.append("\(path): \(number) is below \(bound)") }
      case ("maximum", .number(let bound)):
        if case .number(let number) = value, number > bound { out.append("\(path): \(number) is above \(bound)") }
      case ("required", .array):
        guard case .object(let members) = value else { continue }
        for name in rule.strings where members[name] == nil { out.append("\(path): lacks '\(name)'") }
      case ("properties", .object(let declared)):
        for (name, member) in value.members {
          if let schema = declared[name] { check(member, schema, at: "\(path).\(name)", &out) }
        }
      case ("additionalProperties", _):
        let declared = rules["properties"]?.members ?? [:]
        for (name, member) in value.members where declared[name] == nil {
          if rule == .bool(false) {
            out.append("\(path): has the undeclared '\(name)'")
          } else {
            check(member, rule, at: "\(path).\(name)", &out)
          }
        }
      case ("items", .object):
        guard case .array(let elements) = value else { continue }
        for (index, element) in elements.enumerated() { check(element, rule, at: "\(path)[\(index)]", &out) }
      default:
        out.append("\(path): the schema uses '\(keyword)' in a way that this checker does not know")
      }
    }
  }
}

/// A JSON document as read.
private enum Document: Decodable, Hashable {
  case object([String: Document])
  case array([Document])
  case string(String)
  case number(Double)
  case bool(Bool)
  case null

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode([Document].self) {
      self = .array(value)
    } else {
      self = .object(try container.decode([String: Document].self))
    }
  }

  var members: [String: Document] { if case .object(let members) = self { members } else { [:] } }

  /// The strings of an array, or one string alone.
  var strings: [String] {
    switch self {
    case .string(let value): [value]
    case .array(let elements): elements.flatMap(\.strings)
    default: []
    }
  }

  func isOf(type: String) -> Bool {
    switch (type, self) {
    case ("null", .null), ("object", .object), ("array", .array), ("string", .string), ("boolean", .bool), ("number", .number): true
    case ("integer", .number(let value)): value == value.rounded()
    default: false
    }
  }
}
