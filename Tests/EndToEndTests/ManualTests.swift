import Foundation
import TestSupport
import Testing

/// docs/vitconv.1 is made from the declarations by `make manual`.
@Suite struct ManualTests {
  @Test(arguments: UsageTests.commands) func everyOptionIsInTheManual(_ command: String) throws {
    let manual = try String(contentsOfFile: "\(Fixtures.root)/docs/vitconv.1", encoding: .utf8)
    let help = try Program.run(command, "--help").output
    let options = help.matches(of: /(?m)^  (?:-\w, )?--([a-z-]+)/).map { String($0.1) }
    #expect(options.count > 5)
    let section = try #require(manual.components(separatedBy: ".It Em ").first { $0.hasPrefix(command + "\n") }, "run `make manual`")
    for option in options { #expect(section.contains("Fl -\(option)") || section.contains(", -\(option)"), "--\(option): run `make manual`") }
  }
}
