import Diagnostics
import Foundation
import Pipeline
import TestSupport
import Testing

/// What the commands do with files that are damaged: a failure that blames the input, or a report.
@Suite struct HostileCommandTests {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("hostile-\(UUID().uuidString)").path
  private let tiny: [UInt8]

  init() throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    tiny = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Fixtures.path("models/tiny.onnx"))))
  }

  private func damaged(_ bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
    var result = bytes
    for _ in 0..<Int.random(in: 1...3, using: &generator) {
      result[Int.random(in: result.indices, using: &generator)] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
    }
    return result
  }

  /// The code that a command gave; nil for success.
  private func outcome(_ command: () throws(Failure) -> Void) -> Failure? {
    do throws(Failure) {
      try command()
      return nil
    } catch {
      return error
    }
  }

  @Test(.timeLimit(.minutes(5))) func inspectOfDamagedModels() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var generator = SeededGenerator(state: 10)
    let path = "\(folder)/m.onnx"
    for round in 0..<2_000 {
      try Data(damaged(tiny, &generator)).write(to: URL(fileURLWithPath: path))
      let failure = outcome { () throws(Failure) in _ = try Inspection.inspect(path) }
      #expect(failure == nil || failure?.code.exitCode == 3, "round \(round): \(failure.debugDescription)")
    }
  }

  @Test(.timeLimit(.minutes(5))) func runOfDamagedModels() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var generator = SeededGenerator(state: 11)
    let path = "\(folder)/m.onnx"
    for round in 0..<300 {
      try Data(damaged(tiny, &generator)).write(to: URL(fileURLWithPath: path))
      let output = "\(folder)/y.npz"
      let failure = outcome { () throws(Failure) in _ = try Running.run(path, inputs: Fixtures.path("data/tiny.npz"), output: output) }
      #expect(failure == nil || failure?.code.exitCode == 3, "round \(round): \(failure.debugDescription)")
      #expect(FileManager.default.fileExists(atPath: output) == (failure == nil), "round \(round)")
      try? FileManager.default.removeItem(atPath: output)
    }
  }

  @Test(.timeLimit(.minutes(5))) func convertOfDamagedModels() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var generator = SeededGenerator(state: 12)
    let path = "\(folder)/m.onnx"
    for round in 0..<300 {
      try Data(damaged(tiny, &generator)).write(to: URL(fileURLWithPath: path))
      let output = "\(folder)/o.onnx"
      let failure = outcome { () throws(Failure) in _ = try Conversion.convert(ConversionRequest(input: path, output: output)) }
      #expect(failure == nil || failure?.code.exitCode == 3, "round \(round): \(failure.debugDescription)")
      #expect(FileManager.default.fileExists(atPath: output) == (failure == nil), "round \(round)")
      try? FileManager.default.removeItem(atPath: output)
    }
  }
}
