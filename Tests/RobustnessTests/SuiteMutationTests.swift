import Diagnostics
import Foundation
import Pipeline
import Reporting
import TestSupport
import Testing

/// Test cases whose files are damaged: each comes to an outcome, and none ends the run.
@Suite struct SuiteMutationTests {
  @Test(.timeLimit(.minutes(5))) func damagedCasesHaveAnOutcome() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("cases-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let names = try FileManager.default.contentsOfDirectory(atPath: Fixtures.path("cases")).sorted().filter { !$0.hasSuffix(".json") }
    var generator = SeededGenerator(state: 12)
    let count = 400
    for round in 0..<count {
      let name = try #require(names.randomElement(using: &generator))
      let target = "\(folder)/\(round)-\(name)"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      try FileManager.default.copyItem(atPath: Fixtures.path("cases/\(name)"), toPath: target)
      let data = "\(target)/test_data_set_0"
      let inputs = try FileManager.default.contentsOfDirectory(atPath: data).sorted().map { "\(data)/\($0)" }
      let file = try #require(([String](repeating: "\(target)/model.onnx", count: 3) + inputs).randomElement(using: &generator))
      var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        guard let place = bytes.indices.randomElement(using: &generator) else { break }
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 1: bytes[place] = [0, 0x7F, 0x80, 0xFF][Int.random(in: 0..<4, using: &generator)]
        default: bytes.remove(at: place)
        }
      }
      try Data(bytes).write(to: URL(fileURLWithPath: file))
    }
    let report = try SuiteValidation.validate(folder, timeLimit: 0.1)
    #expect(report.cases.count == count)
    // No outcome is an error of our own.
    for item in report.cases where item.outcome == .refused {
      #expect(item.code.map { $0.exitCode == 3 } ?? false, "\(item.name): \(item.reason)")
    }
  }
}
