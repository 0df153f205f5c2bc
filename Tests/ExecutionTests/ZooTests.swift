import Bytes
import Diagnostics
import FormatNPZ
import FormatONNX
import Foundation
import GraphIR
import Tensors
import TestSupport
import Testing

@testable import Execution

/// Every model of the zoo in every exporter's dialect against the outputs its authors computed.
struct ZooTests {
  /// Paths without suffix of the models that have arrays beside them.
  static let models: [String] = {
    let folders = [Fixtures.path("models/zoo")] + [Fixtures.shared.map { "\($0)/zoo" }].compactMap { $0 }
    return folders.flatMap { folder in
      ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(".npz") }.sorted().map { "\(folder)/\($0.dropLast(4))" }
    }
  }()

  static func load(_ path: String) throws -> Graph {
    var sink = DiagnosticSink()
    return try ONNXReader.read(ByteSource(mapping: path), path: path, sink: &sink).graph
  }

  /// Arrays are named by position: `in0`, `out0` …
  static func inputs(_ graph: Graph, _ arrays: ArrayArchive) -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for (index, id) in graph.inputs.enumerated() { result[graph[id].name] = arrays["in\(index)"] ?? arrays[graph[id].name] }
    return result
  }

  /// Largest difference, relative to the largest expected element.
  static func error(_ got: Tensor, _ expected: Tensor) -> Double {
    guard got.dims == expected.dims, let a = got.doubles(), let b = expected.doubles() else { return .infinity }
    let size = max(b.map { abs($0) }.max() ?? 0, 1e-30)
    return zip(a, b).map { ($0 - $1).isNaN ? .infinity : abs($0 - $1) / size }.max() ?? 0
  }

  static func worst(_ graph: Graph, _ result: RunResult, _ arrays: ArrayArchive) -> Double {
    graph.outputs.enumerated().map { index, id in
      guard let got = result.values[id], let expected = arrays["out\(index)"] else { return .infinity }
      return error(got, expected)
    }.max() ?? .infinity
  }

  @Test(arguments: models) func runsAsItsAuthorsDid(_ model: String) throws {
    let graph = try Self.load("\(model).onnx")
    let arrays = try ArrayArchive.read(path: "\(model).npz")
    for threads in [1, 2] {
      let executor = Executor(graph, options: RunOptions(threads: threads))
      let result = try executor.run(Self.inputs(graph, arrays))
      let error = Self.worst(graph, result, arrays)
      #expect(error <= 1e-4, "\(threads) threads: \(error)")
      let again = try executor.run(Self.inputs(graph, arrays))
      for id in graph.outputs { #expect(result.values[id]?.elements(as: UInt8.self) == again.values[id]?.elements(as: UInt8.self), "runs differ") }
    }
  }

  @Test(arguments: models) func runsInDoublePrecision(_ model: String) throws {
    let graph = try Self.load("\(model).onnx")
    let arrays = try ArrayArchive.read(path: "\(model).npz")
    let result = try Executor(graph, options: RunOptions(precision: .reference)).run(Self.inputs(graph, arrays))
    #expect(Self.worst(graph, result, arrays) <= 2e-5)
  }
}
