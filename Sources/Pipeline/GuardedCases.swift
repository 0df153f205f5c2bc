internal import Bytes
public import Diagnostics
internal import Execution
internal import Reporting

/// Runs test cases in a process of their own, so that a case that ends it, by a bug or for want of memory, or does not
/// come to an end itself, is one failed case and no more.
final class GuardedCases {
  private let arguments: [String]
  private let timeLimit: Double
  private var worker: WorkerProcess?

  /// - Parameter arguments: those with which this program calls `SuiteValidation.answerCases`.
  init(arguments: [String], timeLimit: Double) {
    self.arguments = arguments
    self.timeLimit = timeLimit
  }

  /// nil where there is no such process to be had.
  func outcome(_ item: SuiteCase) -> SuiteReport.Case? {
    guard !item.path.contains(where: \.isNewline) else { return nil }
    if worker == nil { worker = try? WorkerProcess(arguments: arguments) }
    guard let worker else { return nil }
    let sets = (try? Folder.entries(of: item.path))?.count { $0.hasPrefix("test_data_set_") } ?? 1
    // A run stops itself at its limit, between two steps; reading and preparing take time as well.
    let patience = (timeLimit + 10) * Double(max(sets, 1)) + 20
    let clock = ContinuousClock()
    let started = clock.now
    var result: SuiteReport.Case
    switch worker.ask(item.path, within: patience) {
    case .line(let line):
      if let outcome = SuiteReport.Case(line: line, name: item.name) { return outcome }
      result = SuiteReport.Case(name: item.name, outcome: .failed, code: .internalError, reason: "the process that ran it gave no outcome")
    case .ended(let how):
      result = SuiteReport.Case(name: item.name, outcome: .failed, code: .internalError, reason: "it ended the process that ran it: \(how)")
    case .late:
      result = SuiteReport.Case(name: item.name, outcome: .refused, code: .runLimit, reason: "it did not come to an end in \(Int(patience)) s, and was stopped")
    }
    let (seconds, attoseconds) = started.duration(to: clock.now).components
    result.seconds = Double(seconds) + Double(attoseconds) * 1e-18
    self.worker = nil
    return result
  }
}

extension SuiteValidation {
  /// The other side of `GuardedCases`: answers paths of cases on standard input with their outcomes, a line each.
  public static func answerCases(timeLimit: Double, request: CommonRequest) throws(Failure) {
    // Plans that need more than eight tenths are refused with words; this is for what no plan foresees.
    try WorkerDuty.serve(byteLimit: Measurement.physicalBytes / 10 * 9) { path in
      SuiteCase(path: path, name: "", timeLimit: timeLimit).outcome(request).line
    }
  }
}

extension SuiteReport.Case {
  private static let separator: Character = "\u{1F}"

  /// The outcome as one line.
  var line: String {
    let words = [
      outcome.rawValue, code.map { String($0.number) } ?? "", String(dataSets), String(seconds), operators.joined(separator: ","), reason,
    ]
    return words.map { word in String(word.map { $0.isNewline || $0 == Self.separator ? " " : $0 }) }.joined(separator: String(Self.separator))
  }

  /// nil where the line is none of these.
  init?(line: String, name: String) {
    let words = line.split(separator: Self.separator, omittingEmptySubsequences: false).map(String.init)
    guard words.count == 6, let outcome = SuiteReport.Outcome(rawValue: words[0]), let dataSets = Int(words[2]), let seconds = Double(words[3]) else {
      return nil
    }
    self.init(
      name: name, operators: words[4].split(separator: ",").map(String.init), outcome: outcome,
      code: Int(words[1]).flatMap { number in DiagnosticCode.all.first { $0.number == number } }, reason: words[5], dataSets: dataSets, seconds: seconds)
  }
}
