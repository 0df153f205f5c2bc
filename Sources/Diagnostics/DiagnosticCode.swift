/// A stable name for one kind of problem: `VC` and four digits, of which the first is the stage:
/// 1 bytes, 2 format, 3 graph and shapes, 4 recognition, 5 rewriting, 6 running and comparing, 7 usage, 9 internal.
/// Codes are never used again for another meaning.
public struct DiagnosticCode: Sendable, Hashable, Comparable {
  public let number: Int
  public let title: String
  public let defaultLevel: Severity
  public let help: String

  /// Which exit code a `Failure` with this code gives: see the contract in README.md.
  public var exitCode: Int32 {
    switch number / 1000 {
    case 7: 2
    case 1, 2, 3, 4: 3
    case 5, 6: refusesInput ? 3 : 1
    default: 4
    }
  }

  /// Whether a failure of the later stages is the input's fault (exit 3) and not a check that failed (exit 1).
  let refusesInput: Bool

  public var id: String { "VC\(number)" }

  init(_ number: Int, _ title: String, _ level: Severity = .error, refusesInput: Bool = true, help: String) {
    self.number = number
    self.title = title
    self.defaultLevel = level
    self.refusesInput = refusesInput
    self.help = help
  }

  public static func == (a: DiagnosticCode, b: DiagnosticCode) -> Bool { a.number == b.number }
  public static func < (a: DiagnosticCode, b: DiagnosticCode) -> Bool { a.number < b.number }
  public func hash(into hasher: inout Hasher) { hasher.combine(number) }
}
