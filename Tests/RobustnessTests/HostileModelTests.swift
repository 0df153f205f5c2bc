import Bytes
import Diagnostics
import FormatONNX
import Foundation
import GraphIR
import TestSupport
import Testing

/// Reads bytes that may be anything; what comes out must be a failure that blames the input, or a graph that can be
/// written again, as it is and from nothing.
private func outcome(of bytes: [UInt8], path: String? = nil) -> Failure? {
  var sink = DiagnosticSink()
  do {
    let model = try ONNXReader.read(ByteSource(bytes, name: "hostile"), path: path, sink: &sink)
    _ = try ONNXWriter.segments(for: model.graph)
    var fresh = model.graph
    fresh.source = nil
    do {
      _ = try ONNXWriter.segments(for: fresh)
    } catch {
      // Foreign nodes live by their record, and a damaged file may declare nothing of an output.
      return error.code == .notExpressible ? nil : error
    }
    return nil
  } catch {
    return error
  }
}

@Suite struct HostileModelTests {
  private let tiny: [UInt8]

  init() throws { tiny = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Fixtures.path("models/tiny.onnx")))) }

  @Test func theModelItselfIsFine() { #expect(outcome(of: tiny) == nil) }

  @Test func everyTruncationFailsClearly() {
    for length in 0..<tiny.count {
      let failure = outcome(of: Array(tiny[..<length]))
      #expect(failure != nil, "cut at \(length)")
      #expect(failure?.code.exitCode == 3, "cut at \(length): \(failure.debugDescription)")
    }
  }

  @Test(.timeLimit(.minutes(5))) func tenThousandBitFlipsFailClearlyOrRead() {
    var generator = SeededGenerator(state: 0)
    var refused = 0
    for round in 0..<10_000 {
      var bytes = tiny
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        bytes[Int.random(in: bytes.indices, using: &generator)] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      }
      guard let failure = outcome(of: bytes) else { continue }
      refused += 1
      #expect(failure.code.exitCode == 3, "round \(round): \(failure)")
    }
    // Most of a small model is structure, so a good part of the flips must be noticed.
    #expect(refused > 2_000 && refused < 10_000)
  }

  /// Bytes put in, taken out and moved: lengths and tags disagree in ways that single bits do not reach.
  @Test(.timeLimit(.minutes(5))) func splicedBytesFailClearlyOrRead() {
    var generator = SeededGenerator(state: 1)
    for round in 0..<5_000 {
      var bytes = tiny
      let start = Int.random(in: 0..<bytes.count, using: &generator)
      let end = min(bytes.count, start + Int.random(in: 0...12, using: &generator))
      let source = Int.random(in: 0..<bytes.count, using: &generator)
      let piece = tiny[source..<min(tiny.count, source + Int.random(in: 0...40, using: &generator))]
      bytes.replaceSubrange(start..<end, with: piece)
      let failure = outcome(of: bytes)
      #expect(failure == nil || failure?.code.exitCode == 3, "round \(round): \(failure.debugDescription)")
    }
  }

  @Test func garbageIsNoModel() {
    var generator = SeededGenerator(state: 2)
    for length in [1, 2, 7, 64, 1000, 5000] {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
      #expect(outcome(of: bytes)?.code.exitCode == 3)
    }
    #expect(outcome(of: Array("<!doctype html><html></html>".utf8))?.code == .unknownFormat)
    #expect(outcome(of: [0x89] + Array("HDF\r\n\u{1a}\n".utf8))?.code == .unknownFormat)
    #expect(outcome(of: [])?.code == .unknownFormat)
  }
}

/// The files of fixtures/crashers: each with what it must give.
@Suite struct CrasherTests {
  struct Expectation: Decodable, Sendable {
    var exit: Int
    var about: String
  }

  static let expectations: [(name: String, expectation: Expectation)] = {
    guard let data = try? Data(contentsOf: URL(fileURLWithPath: Fixtures.path("crashers/expected.json"))),
      let all = try? JSONDecoder().decode([String: Expectation].self, from: data)
    else { return [] }
    return all.filter { $0.key.hasSuffix(".onnx") }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }()

  @Test func thereAreCrashers() { #expect(CrasherTests.expectations.count > 50) }

  @Test(arguments: CrasherTests.expectations) func givesWhatItMust(_ entry: (name: String, expectation: Expectation)) throws {
    // In a folder of its own, so that links can be made and nothing else lies beside the model.
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("crasher-\(UUID().uuidString)/model")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder.deletingLastPathComponent()) }
    let outside = folder.deletingLastPathComponent().appendingPathComponent("outside.bin")
    try Data(repeating: 1, count: 1 << 16).write(to: outside)
    try FileManager.default.createSymbolicLink(at: folder.appendingPathComponent("link.bin"), withDestinationURL: outside)
    for companion in try FileManager.default.contentsOfDirectory(atPath: Fixtures.path("crashers"))
    where !companion.hasSuffix(".onnx") && !companion.hasSuffix(".json") {
      try FileManager.default.copyItem(atPath: Fixtures.path("crashers/\(companion)"), toPath: folder.appendingPathComponent(companion).path)
    }
    let path = folder.appendingPathComponent(entry.name).path
    try FileManager.default.copyItem(atPath: Fixtures.path("crashers/\(entry.name)"), toPath: path)

    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    let failure = outcome(of: bytes, path: path)
    #expect(Int(failure?.code.exitCode ?? 0) == entry.expectation.exit, "\(entry.expectation.about): \(failure.debugDescription)")
  }
}
