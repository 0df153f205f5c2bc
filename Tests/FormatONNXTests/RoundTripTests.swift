import Bytes
import Diagnostics
import FormatONNX
import Foundation
import GraphIR
import Tensors
import TestSupport
import Testing

/// A folder that is removed when the test is done with it.
final class TemporaryFolder {
  let path: String
  init() {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("vitconv-\(UUID().uuidString)").path
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(atPath: path) }
  func file(_ name: String) -> String { "\(path)/\(name)" }
}

extension ONNXOutput {
  /// The main file in memory.
  var bytes: [UInt8] {
    main.flatMap { segment in
      switch segment {
      case .bytes(let bytes): bytes
      case .source(let source, let range): source.bytes(in: range)
      }
    }
  }
}

enum Edits {
  /// An identity behind the operand of every third node: the computation stays, the records must be written anew.
  static func insertingIdentities(_ graph: Graph) throws -> Graph {
    var patch = Patch(graph)
    var wrapped = Set<ValueID>()
    for (index, id) in graph.order.enumerated() where index % 3 == 0 {
      guard let value = graph[id].outputs.first ?? nil, !graph.outputs.contains(value), wrapped.insert(value).inserted else { continue }
      patch.replace(value, with: patch.add(.unary(.identity), [value], name: "inserted"))
    }
    return try patch.commit()
  }

  /// An identity behind the first output, which takes its name over.
  static func appendingIdentity(_ graph: Graph) throws -> Graph {
    var patch = Patch(graph)
    patch.replace(graph.outputs[0], with: patch.add(.unary(.identity), [graph.outputs[0]], name: "appended"))
    return try patch.commit()
  }

  /// The graph as if it had come from nowhere.
  static func withoutSource(_ graph: Graph) -> Graph {
    var copy = graph
    copy.source = nil
    return copy
  }
}

@Suite struct RoundTripTests {
  /// What two graphs must share to be the same computation: operators, how they are joined, and the constants read.
  private func expectSame(_ a: Graph, _ b: Graph, _ comment: Comment) {
    let describe = { (graph: Graph) in
      graph.liveNodes.map { _, node in
        "\(node.op) \(node.inputs.map { $0.map { graph[$0].name } ?? "-" }) \(node.outputs.map { $0.map { graph[$0].name } ?? "-" })"
      }
    }
    #expect(describe(a) == describe(b), comment)
    #expect(a.inputs.map { a[$0].name } == b.inputs.map { b[$0].name }, comment)
    #expect(a.outputs.map { a[$0].name } == b.outputs.map { b[$0].name }, comment)
    let constants = { (graph: Graph) in
      Dictionary(
        graph.liveNodes.flatMap { $1.reads }.compactMap { id in graph.constant(id).map { (graph[id].name, ($0.elements(as: UInt8.self), $0.dims)) } }
      ) { first, _ in first }
    }
    let (left, right) = (constants(a), constants(b))
    #expect(Set(left.keys) == Set(right.keys), comment)
    for (name, value) in left { #expect(right[name]?.0 == value.0 && right[name]?.1 == value.1, comment) }
  }

  @Test(arguments: Checkpoints.all) func anUntouchedGraphIsItsFile(_ path: String) throws {
    let (model, _) = try Checkpoints.read(path)
    let output = try ONNXWriter.segments(for: model.graph)
    #expect(output.main.count == 1 && output.external.isEmpty)
    #expect(output.bytes == [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))))
  }

  @Test(arguments: Checkpoints.all) func anEditedGraphReadsBackAsItself(_ path: String) throws {
    let (model, _) = try Checkpoints.read(path)
    let edited = try Edits.insertingIdentities(model.graph)
    let output = try ONNXWriter.segments(for: edited)
    var sink = DiagnosticSink()
    let again = try ONNXReader.read(ByteSource(output.bytes, name: "edited"), path: nil, sink: &sink)
    expectSame(edited, again.graph, "\(path)")
    #expect(again.header.producerName == model.header.producerName)
    #expect(again.header.opsets == model.header.opsets)
    #expect(again.header.metadata == model.header.metadata)
  }

  @Test(arguments: Checkpoints.all) func aGraphFromNowhereReadsBackAsItself(_ path: String) throws {
    let (model, _) = try Checkpoints.read(path)
    let output = try ONNXWriter.segments(for: Edits.withoutSource(model.graph))
    var sink = DiagnosticSink()
    let again = try ONNXReader.read(ByteSource(output.bytes, name: "new"), path: nil, sink: &sink)
    expectSameNodes(model.graph, again.graph, "\(path)")
  }

  /// The same operators in the same order; bodies are compared by what they hold, since each is equal to itself alone.
  private func expectSameNodes(_ a: Graph, _ b: Graph, _ comment: Comment) {
    #expect(a.order.count == b.order.count, comment)
    for ((_, old), (_, new)) in zip(a.liveNodes, b.liveNodes) {
      #expect(old.inputs.count == new.inputs.count && old.outputs.count == new.outputs.count, comment)
      if old.op.bodies.isEmpty {
        #expect(old.op == new.op, comment)
      } else {
        #expect(old.op.bodies.count == new.op.bodies.count, comment)
        for (x, y) in zip(old.op.bodies, new.op.bodies) { expectSameNodes(x.graph, y.graph, comment) }
      }
    }
  }

  /// Needs a Python with onnx and onnxruntime, named by VITCONV_PYTHON.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["VITCONV_PYTHON"] != nil))
  func writtenFilesComputeTheSameBits() throws {
    let python = try #require(ProcessInfo.processInfo.environment["VITCONV_PYTHON"])
    let folder = TemporaryFolder()
    var pairs = ""
    for (index, path) in Checkpoints.all.enumerated() {
      let graph = try Checkpoints.read(path).model.graph
      for (kind, variant) in [
        ("same", graph), ("edited", try Edits.insertingIdentities(graph)), ("appended", try Edits.appendingIdentity(graph)),
        ("new", Edits.withoutSource(graph)),
      ] {
        let written = folder.file("\(index)-\(kind).onnx")
        try ONNXWriter.write(variant, to: written)
        pairs += "\(path)\t\(written)\n"
      }
    }
    try pairs.write(toFile: folder.file("pairs.txt"), atomically: true, encoding: .utf8)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: python)
    process.arguments = ["\(Fixtures.root)/Tests/oracle/onnx_roundtrip.py", folder.file("pairs.txt")]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let report = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(report)")
    #expect(report.contains("\(4 * Checkpoints.all.count) pairs, 0 failed"), "\(report)")
  }
}
