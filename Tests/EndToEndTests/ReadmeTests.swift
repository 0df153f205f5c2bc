import Foundation
import TestSupport
import Testing

/// What README.md shows is what the program prints.
@Suite struct ReadmeTests {
  @Test func theInspectionIsAsPrinted() throws {
    let readme = try String(contentsOfFile: "\(Fixtures.root)/README.md", encoding: .utf8)
    let model = "fixtures/models/shapes.legacy17.onnx"
    let block = try #require(readme.components(separatedBy: "```console\n$ vitconv inspect \(model)\n").last?.components(separatedBy: "```").first)
    let printed = try Program.run("inspect", "\(Fixtures.root)/\(model)").output
    #expect(printed.replacingOccurrences(of: "\(Fixtures.root)/", with: "") == block)
  }

  /// Every command shown must at least parse: options that are gone would stay in the text.
  @Test func theOptionsShownExist() throws {
    let readme = try String(contentsOfFile: "\(Fixtures.root)/README.md", encoding: .utf8)
    let help = try UsageTests.commands.map { try Program.run($0, "--help").output }.joined()
    let options = Set(readme.matches(of: /--([a-z][a-z0-9-]+)/).map { String($0.1) })
    #expect(options.count > 8)
    for option in options { #expect(help.contains("--\(option)"), "--\(option)") }
  }
}
