public import Diagnostics

/// The outcome of `validate` on a folder of test cases.
public struct SuiteReport: Sendable {
  public enum Outcome: String, Sendable, CaseIterable {
    case passed
    /// It ran, and gave something else than the case wants.
    case failed
    /// It could not be read or run.
    case refused
  }

  /// One folder with a model and its test data.
  public struct Case: Sendable {
    /// The folder, relative to the one that was asked for.
    public var name: String
    /// The distinct operators of the model's graph, sorted; empty where it cannot be read.
    public var operators: [String]
    public var outcome: Outcome
    /// Why it was refused.
    public var code: DiagnosticCode?
    /// What differs, or why it was refused; empty where it passed.
    public var reason: String
    /// Data sets that were run.
    public var dataSets: Int
    public var seconds: Double

    public init(
      name: String, operators: [String] = [], outcome: Outcome, code: DiagnosticCode? = nil, reason: String = "", dataSets: Int = 0, seconds: Double = 0
    ) {
      self.name = name
      self.operators = operators
      self.outcome = outcome
      self.code = code
      self.reason = reason
      self.dataSets = dataSets
      self.seconds = seconds
    }
  }

  public var folder: String
  public var cases: [Case]

  public init(folder: String, cases: [Case]) {
    self.folder = folder
    self.cases = cases
  }

  public func count(_ outcome: Outcome) -> Int { cases.count { $0.outcome == outcome } }
  public var allPassed: Bool { cases.allSatisfy { $0.outcome == .passed } }

  /// For each operator the cases that hold it, by outcome; a case of several operators counts for each.
  var byOperator: [(name: String, passed: Int, failed: Int, refused: Int)] {
    var counts: [String: [Outcome: Int]] = [:]
    for item in cases { for name in item.operators { counts[name, default: [:]][item.outcome, default: 0] += 1 } }
    return counts.sorted { $0.key < $1.key }.map { ($0.key, $0.value[.passed] ?? 0, $0.value[.failed] ?? 0, $0.value[.refused] ?? 0) }
  }
}

extension SuiteReport: Report {
  public static let schema = "vitconv.suite/1"

  public var json: JSONValue {
    [
      "schema": .string(Self.schema), "folder": .string(folder), "verdict": .string(allPassed ? "pass" : "fail"),
      "passed": .integer(count(.passed)), "failed": .integer(count(.failed)), "refused": .integer(count(.refused)),
      "operators": .array(
        byOperator.map { ["name": .string($0.name), "passed": .integer($0.passed), "failed": .integer($0.failed), "refused": .integer($0.refused)] }),
      "cases": .array(
        cases.map { item in
          [
            "name": .string(item.name), "operators": .array(item.operators.map(JSONValue.string)), "outcome": .string(item.outcome.rawValue),
            "code": .init(item.code?.id), "reason": .string(item.reason), "data_sets": .integer(item.dataSets), "seconds": .number(item.seconds),
          ]
        }),
    ]
  }

  public func text(_ style: TextStyle) -> String {
    var out = style.bold(folder.printable) + "\n\n"
    let rows = byOperator
    var table = TextTable([.left("operator"), .right("passed"), .right("failed"), .right("refused")])
    for row in rows { table.add([row.name, String(row.passed), String(row.failed), String(row.refused)]) }
    if !rows.isEmpty { out += style.bold("operators") + ", by the cases that hold them\n" + table.text(style) + "\n" }
    let shown = cases.filter { $0.outcome != .passed || style.verbose }
    if !shown.isEmpty {
      var table = TextTable([.left("case"), .left(""), .left("code"), .left("why")])
      for item in shown { table.add([item.name, item.outcome.rawValue, item.code?.id ?? "", item.reason]) }
      out += style.bold("cases") + "\n" + table.text(style) + "\n"
    }
    let counts = "\(count(.passed)) of \(cases.count) passed, \(count(.failed)) failed, \(count(.refused)) refused"
    return out + style.bold("total") + ": " + counts + "\n" + style.bold("verdict") + ": " + (allPassed ? style.green("pass") : style.red("fail")) + "\n"
  }

  /// The outcome as the XML that build servers read: one `testcase` for each case; a refusal is an `error`.
  public var junit: String {
    let time = cases.reduce(0) { $0 + $1.seconds }
    var out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    out += "<testsuite name=\"\(folder.escaped)\" tests=\"\(cases.count)\" failures=\"\(count(.failed))\" errors=\"\(count(.refused))\""
    out += " time=\"\(Numerals.fixed(time, 3))\">\n"
    for item in cases {
      let group = item.operators.count == 1 ? item.operators[0] : "several operators"
      out += "  <testcase classname=\"\(group.escaped)\" name=\"\(item.name.escaped)\" time=\"\(Numerals.fixed(item.seconds, 3))\""
      switch item.outcome {
      case .passed: out += "/>\n"
      case .failed: out += "><failure message=\"\(item.reason.escaped)\"/></testcase>\n"
      case .refused: out += "><error type=\"\(item.code?.id ?? "")\" message=\"\(item.reason.escaped)\"/></testcase>\n"
      }
    }
    return out + "</testsuite>\n"
  }
}

extension String {
  /// Text for an attribute of XML 1.0: markup escaped, characters that it forbids replaced.
  fileprivate var escaped: String {
    var out = ""
    for scalar in unicodeScalars {
      switch scalar {
      case "&": out += "&amp;"
      case "<": out += "&lt;"
      case ">": out += "&gt;"
      case "\"": out += "&quot;"
      case "\n": out += "&#10;"
      case "\t": out += "&#9;"
      case _ where scalar.value < 0x20 || scalar.value == 0xFFFE || scalar.value == 0xFFFF: out += "\u{FFFD}"
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }
}
