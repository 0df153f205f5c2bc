extension JSON {
  /// The value as one line of text, keys sorted, numbers in the fewest digits that read back the same. Numbers that are
  /// not finite are spelled as Python's `json` spells them.
  var text: String {
    var result = ""
    write(to: &result)
    return result
  }

  private func write(to result: inout String) {
    switch self {
    case .null: result += "null"
    case .bool(let value): result += value ? "true" : "false"
    case .integer(let value): result += String(value)
    case .number(let value): result += JSON.spelled(value)
    case .string(let value): result += JSON.quoted(value)
    case .array(let entries):
      result += "["
      for (index, entry) in entries.enumerated() {
        if index > 0 { result += ", " }
        entry.write(to: &result)
      }
      result += "]"
    case .object(let entries):
      result += "{"
      for (index, key) in entries.keys.sorted().enumerated() {
        if index > 0 { result += ", " }
        result += "\(JSON.quoted(key)): "
        (entries[key] ?? .null).write(to: &result)
      }
      result += "}"
    }
  }

  private static func spelled(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
    return "\(value)"
  }

  static func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }
  static func integers(_ values: [Int]) -> JSON { .array(values.map { .integer($0) }) }
}
