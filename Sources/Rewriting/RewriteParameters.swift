internal import Diagnostics

/// Reads `key=value` parameters; what is left over at the end is a mistake.
struct RewriteParameters {
  private let rewrite: String
  private let known: [ParameterDescription]
  private var values: [String: String] = [:]

  init(_ parameters: [String], of rewrite: String, known: [ParameterDescription]) throws(Failure) {
    self.rewrite = rewrite
    self.known = known
    var last: String?
    for parameter in parameters {
      guard let equals = parameter.firstIndex(of: "=") else {
        guard let last, let value = values[last] else {
          throw Failure(.rewriteParameter, "'\(parameter)' of \(rewrite) is not of the form key=value", advice: RewriteParameters.advice(known))
        }
        values[last] = value + "," + parameter
        continue
      }
      let name = String(parameter[..<equals])
      guard known.contains(where: { $0.name == name }) else {
        throw Failure(.rewriteParameter, "\(rewrite) has no parameter '\(name)'", advice: RewriteParameters.advice(known))
      }
      guard values[name] == nil else { throw Failure(.rewriteParameter, "'\(name)' of \(rewrite) is given twice") }
      values[name] = String(parameter[parameter.index(after: equals)...])
      last = name
    }
  }

  private static func advice(_ known: [ParameterDescription]) -> String {
    "it takes " + known.map { "\($0.name)=\($0.values)" }.joined(separator: ", ")
  }

  func text(_ name: String) -> String? { values[name] }

  func wrong(_ name: String) -> Failure {
    let takes = known.first { $0.name == name }?.values ?? ""
    return Failure(.rewriteParameter, "'\(name)=\(values[name] ?? "")' of \(rewrite) is not one of \(takes)")
  }

  /// One of the cases of an enumeration.
  func choice<Choice: RawRepresentable>(_ name: String, _ standard: Choice) throws(Failure) -> Choice where Choice.RawValue == String {
    guard let text = values[name] else { return standard }
    guard let choice = Choice(rawValue: text) else { throw wrong(name) }
    return choice
  }

  /// Finite numbers separated by commas.
  func numbers(_ name: String) throws(Failure) -> [Double]? {
    guard let text = values[name] else { return nil }
    var result: [Double] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let number = Double(part), number.isFinite else { throw wrong(name) }
      result.append(number)
    }
    return result
  }

  /// `4` or `4x6`, both sides positive.
  func sides(_ name: String) throws(Failure) -> (height: Int, width: Int)? {
    guard let text = values[name] else { return nil }
    let parts = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    guard let first = parts[0], first > 0, first <= 1 << 16, parts.count <= 2 else { throw wrong(name) }
    if parts.count == 1 { return (first, first) }
    guard let second = parts[1], second > 0, second <= 1 << 16 else { throw wrong(name) }
    return (first, second)
  }
}
