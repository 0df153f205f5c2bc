import Bytes
import Diagnostics
import FormatNPZ
import FormatONNX
import Foundation
import GraphIR
import Inference
import Operators
import Tensors
import TestSupport

/// Runs a graph node by node on the reference kernels alone.
struct ReferenceRun {
  var values: [ValueID: Tensor] = [:]

  init(_ typed: TypedGraph, inputs: [String: Tensor]) throws {
    let graph = typed.graph
    for input in graph.inputs { values[input] = inputs[graph[input].name] }
    for id in graph.order {
      let node = graph[id]
      guard let op = node.op.semantics else { throw Failure(.operatorNotRunnable, "\(node.op.name)") }
      let operands = try node.inputs.map { id -> Tensor? in
        guard let id else { return nil }
        guard let tensor = values[id] ?? graph.constant(id) else { throw Failure(.undefinedValue, "no value for '\(graph[id].name)'") }
        return tensor
      }
      let results = try op.evaluate(operands, resultCount: node.outputs.count)
      for (output, tensor) in zip(node.outputs, results) { if let output { values[output] = tensor } }
    }
  }
}

/// A model of the zoo and the arrays that its exporter's runtime gave.
struct ZooModel: CustomStringConvertible, Sendable {
  let path: String
  var description: String { URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent }

  static let all = models([Fixtures.path("models/zoo"), Fixtures.shared.map { "\($0)/zoo" }])
  /// Trained models and single mechanisms, without arrays under their graphs' names.
  static let others = models([Fixtures.path("models"), Fixtures.shared.map { "\($0)/vectors" }]).filter {
    $0.description != "operators" && !$0.description.hasPrefix("catalogue")
  }

  private static func models(_ folders: [String?]) -> [ZooModel] {
    folders.compactMap { $0 }.flatMap { folder in
      let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      return names.filter { $0.hasSuffix(".onnx") }.sorted().map { ZooModel(path: "\(folder)/\($0)") }
    }
  }

  func graph() throws -> Graph {
    var sink = DiagnosticSink()
    return try ONNXReader.read(try ByteSource(mapping: path), path: path, sink: &sink).graph
  }

  func arrays() throws -> ArrayArchive? {
    let npz = path.replacingOccurrences(of: ".onnx", with: ".npz")
    return FileManager.default.fileExists(atPath: npz) ? try ArrayArchive.read(path: npz) : nil
  }
}

/// The largest difference, relative to the largest element.
func relativeError(_ a: Tensor, _ b: Tensor) -> Double {
  guard a.dims == b.dims, let x = a.doubles(), let y = b.doubles() else { return .infinity }
  let scale = y.reduce(0) { max($0, abs($1)) }
  let worst = zip(x, y).reduce(0) { sum, pair in pair.0 == pair.1 || (pair.0.isNaN && pair.1.isNaN) ? sum : max(sum, (pair.0 - pair.1).magnitude) }
  return worst == 0 ? 0 : worst.isNaN ? .infinity : worst / max(scale, .leastNormalMagnitude)
}
