import Foundation
import TestSupport
import Testing

/// Files made to break readers: each ends with the exit code that fixtures/crashers/expected.json states.
@Suite struct HostileFileTests {
  struct Case: Decodable, CustomTestStringConvertible {
    var exit: Int32
    var about: String
    var file = ""
    var testDescription: String { "\(file): \(about)" }
    private enum CodingKeys: CodingKey { case exit, about }
  }

  static let cases: [Case] = {
    let path = Fixtures.path("crashers/expected.json")
    guard let data = FileManager.default.contents(atPath: path), let table = try? JSONDecoder().decode([String: Case].self, from: data) else { return [] }
    return table.sorted { $0.key < $1.key }.map { Case(exit: $0.value.exit, about: $0.value.about, file: $0.key) }
  }()

  @Test func theTableIsThere() { #expect(Self.cases.count > 50) }

  @Test(arguments: cases) func inspection(_ hostile: Case) throws {
    let outcome = try Program.run(["inspect", Fixtures.path("crashers/\(hostile.file)"), "--json"], seconds: 20)
    #expect(outcome.status == hostile.exit, "\(outcome.errors)")
    if outcome.status == 3 {
      #expect(outcome.output.isEmpty && outcome.errors.contains(/^vitconv: error: .*crashers\/.*\(VC\d{4}\)\n/), "\(outcome.errors)")
    } else {
      #expect(try JSONSchema(named: "inspect").violations(of: outcome.output) == [])
    }
  }

  @Test(arguments: cases) func conversionLeavesNothingHalfDone(_ hostile: Case) throws {
    let scratch = try Scratch()
    let outcome = try Program.run(["convert", Fixtures.path("crashers/\(hostile.file)"), "-o", scratch.file("out.onnx")], seconds: 20)
    #expect([0, 1, 3].contains(outcome.status), "\(outcome.errors)")
    #expect(scratch.contents == (outcome.status == 0 ? ["out.onnx"] : []))
  }
}
