internal import Glibc

/// Numbers as text for people.
enum Numerals {
  /// `1,234,567`
  static func grouped(_ value: Int) -> String {
    let digits = String(value.magnitude)
    var out = value < 0 ? "-" : ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { out += "," }
      out.append(digit)
    }
    return out
  }

  /// `digits` significant ones: `0.2041`, `12.5`, `3.1e-07`; trailing zeros dropped.
  static func significant(_ value: Double, _ digits: Int = 4) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    guard value != 0 else { return "0" }
    guard abs(value) > 1e-300 else { return value.description }
    let exponent = Int(log10(abs(value)).rounded(.down))
    if (-4..<7).contains(exponent) { return trimmed(fixed(value, Swift.max(0, digits - 1 - exponent))) }
    let mantissa = trimmed(fixed(value / pow(10, Double(exponent)), digits - 1))
    let sign = exponent < 0 ? "-" : "+"
    return "\(mantissa)e\(sign)\(abs(exponent) < 10 ? "0" : "")\(abs(exponent))"
  }

  /// `decimals` digits after the point.
  static func fixed(_ value: Double, _ decimals: Int) -> String {
    let scaled = (abs(value) * pow(10, Double(decimals))).rounded()
    guard scaled < 9e15 else { return value.description }
    var digits = String(Int(scaled))
    if decimals > 0 {
      digits = String(repeating: "0", count: Swift.max(0, decimals + 1 - digits.count)) + digits
      digits.insert(".", at: digits.index(digits.endIndex, offsetBy: -decimals))
    }
    return value < 0 && scaled > 0 ? "-" + digits : digits
  }

  /// `95.2 %`
  static func percent(_ share: Double) -> String { fixed(100 * share, 1) + " %" }

  /// Bytes in decimal units, as file managers and disks count: `2.4 MB`.
  static func bytes(_ count: Int) -> String { scaled(count, ["B", "kB", "MB", "GB", "TB"]) }

  /// Multiply-adds and the like: `41.3 M`.
  static func quantity(_ count: Int) -> String { scaled(count, ["", "k", "M", "G", "T"]).trimmingSpace }

  private static func scaled(_ count: Int, _ units: [String]) -> String {
    var value = Double(count)
    var unit = 0
    while abs(value) >= 999.5, unit + 1 < units.count {
      value /= 1000
      unit += 1
    }
    return unit == 0 ? "\(count) \(units[0])" : "\(significant(value, 3)) \(units[unit])"
  }

  private static func trimmed(_ text: String) -> String {
    guard text.contains(".") else { return text }
    var end = text.endIndex
    while text[text.index(before: end)] == "0" { end = text.index(before: end) }
    if text[text.index(before: end)] == "." { end = text.index(before: end) }
    return String(text[..<end])
  }
}

extension String {
  fileprivate var trimmingSpace: String { hasSuffix(" ") ? String(dropLast()) : self }

  /// The same text with control characters spelled out: names come from files, and a terminal obeys what it is sent.
  public var printable: String {
    guard unicodeScalars.contains(where: { $0.properties.generalCategory == .control || $0.properties.isBidiControl }) else { return self }
    return unicodeScalars.map { scalar in
      scalar.properties.generalCategory == .control || scalar.properties.isBidiControl
        ? "\\u{\(String(scalar.value, radix: 16))}" : String(Character(scalar))
    }.joined()
  }
}
