import Bytes
import Diagnostics
import FormatONNX
import Foundation
import GraphIR
import TestSupport
import Testing

/// Every model file among the fixtures and, where there are some, the shared models.
enum Checkpoints {
  static let all: [String] = {
    var folders = [Fixtures.path("models")]
    if let shared = Fixtures.shared { folders += ["\(shared)/zoo", "\(shared)/vectors"] }
    return folders.flatMap { folder in
      (FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []).filter { $0.hasSuffix(".onnx") }.sorted().map { "\(folder)/\($0)" }
    }
  }()

  static func read(_ path: String) throws -> (model: ONNXModel, sink: DiagnosticSink) {
    var sink = DiagnosticSink()
    let model = try ONNXReader.read(ByteSource(mapping: path), path: path, sink: &sink)
    return (model, sink)
  }
}

@Suite struct CheckpointReadingTests {
  @Test func thereAreCheckpoints() { #expect(!Checkpoints.all.isEmpty) }

  @Test(arguments: Checkpoints.all) func readsWithoutForeignNodes(_ path: String) throws {
    let (model, sink) = try Checkpoints.read(path)
    #expect(sink.diagnostics.isEmpty, "\(sink.diagnostics.map(\.message))")
    #expect(!model.graph.order.isEmpty)
    #expect(model.header.byteCount > 0 && model.header.irVersion >= 3)
    #expect(model.header.parameterCount > 0)
  }
}
