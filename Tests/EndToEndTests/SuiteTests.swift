import FormatONNX
import Foundation
import GraphText
import TestSupport
import Testing

/// `validate` on a folder of test cases: fixtures/cases, made by fixtures/make/cases.py.
@Suite struct SuiteTests {
  struct Expectation: Decodable {
    var outcome: String
    var code: String?
  }
  private static let folder = Fixtures.path("cases")

  @Test func everyCaseComesOutAsItMust() throws {
    let scratch = try Scratch()
    let outcome = try Program.run(["validate", Self.folder, "--json", "--time-limit", "1", "--junit", scratch.file("report.xml")], seconds: 120)
    #expect(outcome.status == 1 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(try JSONSchema(named: "suite").violations(of: outcome.output) == [])
    let data = try #require(FileManager.default.contents(atPath: "\(Self.folder)/expected.json"))
    let expected = try JSONDecoder().decode([String: Expectation].self, from: data)
    let report = try [String: Any](json: outcome.output)
    let cases = try #require(report["cases"] as? [[String: Any]])
    #expect(cases.count == expected.count && cases.count > 20)
    for item in cases {
      let name = try #require(item["name"] as? String)
      let wanted = try #require(expected[name])
      #expect(item["outcome"] as? String == wanted.outcome && item["code"] as? String == wanted.code, "\(item)")
    }
    #expect(report["passed"] as? Int == expected.values.count { $0.outcome == "passed" })
    let xml = try String(contentsOfFile: scratch.file("report.xml"), encoding: .utf8)
    #expect(xml.contains("<testsuite ") && xml.components(separatedBy: "<testcase ").count == cases.count + 1)
  }

  @Test func oneCaseThatPasses() throws {
    let outcome = try Program.run("validate", "\(Self.folder)/branch")
    #expect(outcome.status == 0 && outcome.output.contains("1 of 1 passed") && outcome.output.contains("If"), "\(outcome.output)")
  }

  /// A case that asks for more memory than may be had ends the process that runs it, and only itself.
  @Test func aCaseThatEndsItsProcessIsOneFailedCase() throws {
    let scratch = try Scratch()
    for name in ["before", "hungry", "later"] { try FileManager.default.copyItem(atPath: "\(Self.folder)/add", toPath: scratch.file(name)) }
    // A gigabyte, which is less than the machine has and more than the limit below.
    let graph = try GraphParser.parse(
      """
      graph %hungry(%a: f32[2], %b: f32[2]) -> (%y: f32[100000000, 2]) {
        %shape = constant [100000000, 2] : i64[2]
        %wide = expand(%a, %shape)
        %y = exp(%wide)
      }
      """)
    try ONNXWriter.write(graph, to: scratch.file("hungry/model.onnx"))
    let command = "ulimit -d 400000; exec '\(Program.path)' validate '\(scratch.path)' --json"
    let outcome = try Program.run(["-c", command], executable: "/bin/bash", seconds: 60)
    #expect(outcome.status == 1 && outcome.errors.isEmpty, "\(outcome.errors)")
    let cases = try #require(try [String: Any](json: outcome.output)["cases"] as? [[String: Any]])
    #expect(cases.map { $0["outcome"] as? String } == ["passed", "failed", "passed"])
    #expect(cases[1]["code"] as? String == "VC9001")
    #expect((cases[1]["reason"] as? String ?? "").hasPrefix("it ended the process that ran it: "), "\(cases[1])")
  }

  @Test func foldersWithoutCasesAndWrongOptions() throws {
    let empty = try Scratch()
    let none = try Program.run("validate", empty.path)
    #expect(none.status == 3 && none.errors.contains("VC1001") && none.output.isEmpty)
    #expect(try Program.run("validate", Self.folder, "--against", "a.onnx").status == 2)
    #expect(try Program.run("validate", "a.onnx", "--junit", "x.xml").status == 2)
    #expect(try Program.run("validate", Self.folder, "--time-limit", "0").status == 2)
  }
}
