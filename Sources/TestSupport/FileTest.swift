internal import Diagnostics
internal import Foundation

/// One test written as a text file: the first line names the command, then a graph follows, and comments say what is
/// expected.
///
///     test recognize
///     graph %block(%x: f32[1, 17, 32]) -> (%y) {
///       …
///     }
///     ; check: attention heads=4
///     ; check-not: near miss
///
/// `check:` lines must stand in what the command reports, in this order, each as a part of a line; `check-not:` lines
/// nowhere. `error: VC3005` (words after the code must stand in the message) expects the command to throw.
/// With `VITCONV_BLESS=1` in the environment the expectations are rewritten, and the test still fails that once.
public struct FileTest: Sendable, CustomStringConvertible {
  public let command: String
  public let path: String
  /// The lines of the graph, expectations left out.
  public let graphText: String
  private let lines: [String]

  public var description: String { URL(fileURLWithPath: path).lastPathComponent }

  /// All tests of a command, by name of file.
  public static func all(_ command: String) -> [FileTest] {
    let folder = Fixtures.path("filetests/\(command)")
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0.hasSuffix(".vcg") }.sorted().compactMap { FileTest(path: "\(folder)/\($0)") }
  }

  init?(path: String) {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
    lines = text.components(separatedBy: "\n")
    guard let first = lines.first, first.hasPrefix("test ") else { return nil }
    command = String(first.dropFirst(5))
    self.path = path
    graphText = lines.dropFirst().filter { !FileTest.isComment($0) && !$0.allSatisfy(\.isWhitespace) }.joined(separator: "\n") + "\n"
  }

  private static func isComment(_ line: String) -> Bool { line.drop { $0 == " " }.hasPrefix(";") }

  private func expectations(_ kind: String) -> [String] {
    lines.filter { $0.hasPrefix("; \(kind): ") }.map { String($0.dropFirst(kind.count + 4)) }
  }

  /// The arguments of every `; kind: …` line: for commands that take more than a graph.
  public func arguments(_ kind: String) -> [String] { expectations(kind) }

  /// Runs `report` and gives what is wrong; empty when all expectations hold.
  public func problems(_ report: () throws -> [String]) -> [String] {
    var output: [String] = []
    var failure: Failure?
    do { output = try report() } catch let error as Failure { failure = error } catch { return ["unexpected error \(error)"] }
    if ProcessInfo.processInfo.environment["VITCONV_BLESS"] == "1" { return [bless(output, failure)] }

    var problems: [String] = []
    let errors = expectations("error")
    if let failure {
      let fits = errors.contains { expected in
        let parts = expected.split(separator: " ", maxSplits: 1)
        return parts.first.map(String.init) == failure.code.id && (parts.count < 2 || failure.message.contains(parts[1]))
      }
      if !fits { problems.append("it failed: \(failure)") }
    } else if let expected = errors.first {
      problems.append("no error, expected \(expected)")
    }
    var next = 0
    let checks = expectations("check")
    for expected in checks {
      guard let found = output[next...].firstIndex(where: { $0.contains(expected) }) else {
        problems.append("not found: \(expected)\nin:\n\(output[next...].joined(separator: "\n"))")
        break
      }
      next = found + 1
    }
    for unwanted in expectations("check-not") {
      if let line = output.first(where: { $0.contains(unwanted) }) { problems.append("unwanted: \(line)") }
    }
    if checks.isEmpty && errors.isEmpty && expectations("check-not").isEmpty && command != "text" { problems.append("the file expects nothing") }
    return problems
  }

  private func bless(_ output: [String], _ failure: Failure?) -> String {
    var kept = lines.filter { !$0.hasPrefix("; check: ") && !$0.hasPrefix("; error: ") }
    while kept.last == "" { kept.removeLast() }
    if let failure { kept.append("; error: \(failure.code.id) \(failure.message)") } else { kept += output.map { "; check: \($0)" } }
    do { try (kept.joined(separator: "\n") + "\n").write(toFile: path, atomically: true, encoding: .utf8) } catch { return "cannot bless: \(error)" }
    return "expectations rewritten; run again without VITCONV_BLESS"
  }
}
