internal import Bytes
public import Diagnostics
public import Reporting

/// `vitconv validate` on a folder of test cases in the layout of ONNX's backend suite: every folder below it with a
/// `model.onnx` and `test_data_set_*` beside it is a case.
public enum SuiteValidation {
  /// Whether the path is one that holds cases, and not a model.
  public static func accepts(_ path: String) -> Bool { Folder.exists(path) }

  /// - Parameters:
  ///   - junit: a file that takes the outcome as JUnit XML.
  ///   - timeLimit: seconds that one run of a case may take; one that takes longer is refused.
  ///   - worker: arguments with which this program calls `answerCases`, where cases shall run in a process of their own;
  ///     nil: in this one.
  /// - Throws: `fileUnreadable` when the folder cannot be listed or holds no case, `outputUnwritable`. What is wrong
  ///   with a case is its own outcome.
  public static func validate(
    _ folder: String, junit: String? = nil, timeLimit: Double = 20, worker: [String]? = nil, request: CommonRequest = CommonRequest()
  ) throws(Failure) -> SuiteReport {
    var paths: [String] = []
    try collect(folder, depth: 0, into: &paths)
    guard !paths.isEmpty else {
      throw Failure(
        .fileUnreadable, "there is no model.onnx with a test_data_set_* beside it", at: .init(file: folder), advice: "give a model, or a folder of test cases")
    }
    var cases: [SuiteReport.Case] = []
    cases.reserveCapacity(paths.count)
    let guarded = worker.map { GuardedCases(arguments: $0, timeLimit: timeLimit) }
    for (index, path) in paths.enumerated() {
      request.progress?(ProgressUpdate(stage: "cases", completed: index, total: paths.count))
      let name = path == folder ? path.split(separator: "/").last.map(String.init) ?? path : String(path.dropFirst(folder.count).drop { $0 == "/" })
      let item = SuiteCase(path: path, name: name, timeLimit: timeLimit)
      cases.append(guarded?.outcome(item) ?? item.outcome(request))
    }
    request.progress?(ProgressUpdate(stage: "cases", completed: paths.count, total: paths.count))
    let report = SuiteReport(folder: folder, cases: cases)
    if let junit { try AtomicOutput.write([.bytes(Array(report.junit.utf8))], to: junit) }
    return report
  }

  private static let depthLimit = 16

  private static func collect(_ folder: String, depth: Int, into paths: inout [String]) throws(Failure) {
    let entries = try Folder.entries(of: folder)
    if entries.contains("model.onnx"), entries.contains(where: { $0.hasPrefix("test_data_set_") }) { paths.append(folder) }
    guard depth < depthLimit else { return }
    for entry in entries where !entry.hasPrefix("test_data_set_") && Folder.isOwn("\(folder)/\(entry)") {
      // A folder that may not be read hides its cases, and no others.
      do throws(Failure) { try collect("\(folder)/\(entry)", depth: depth + 1, into: &paths) } catch { continue }
    }
  }
}
