import Bytes
import Canonicalization
import Diagnostics
import FormatONNX
import Foundation
import GraphIR
import Inference
import Recognition
import TestSupport

/// A model exported in several dialects, with what is in it.
struct ZooModel: Sendable, CustomStringConvertible {
  struct Truth: Decodable {
    struct Block: Decodable {
      var module: String
      var family: String
      var heads: Int?
    }
    var name: String
    var blocks: [Block]
    var dialects: [String]
  }
  let folder: String
  let truth: Truth

  var description: String { truth.name }
  func path(_ dialect: String) -> String { "\(folder)/\(truth.name).\(dialect).onnx" }

  /// Dialects whose file is there.
  var dialects: [String] { truth.dialects.filter { FileManager.default.fileExists(atPath: path($0)) } }

  /// Called `self` by their truth, though keys are pooled or convolved, or projections carry batch norms.
  static let beyondPlain: Set<String> = ["pvt_v2", "levit"]

  /// The models that come with the repository, and those beside it.
  static let all: [ZooModel] = {
    let folders = [Fixtures.path("models/zoo")] + [Fixtures.shared.map { "\($0)/zoo" }].compactMap { $0 }
    return folders.flatMap { folder in
      ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(".json") }.sorted().compactMap { name -> ZooModel? in
        guard let data = FileManager.default.contents(atPath: "\(folder)/\(name)"), let truth = try? JSONDecoder().decode(Truth.self, from: data) else {
          return nil
        }
        return ZooModel(folder: folder, truth: truth)
      }
    }
  }()

  static func infer(_ path: String) throws -> (graph: Graph, typed: TypedGraph) {
    var sink = DiagnosticSink()
    let graph = try ONNXReader.read(ByteSource(mapping: path), path: path, sink: &sink).graph
    return (graph, try Inference.infer(graph, sink: &sink))
  }

  static func recognize(_ path: String) throws -> (graph: Graph, found: Recognized) {
    let (graph, typed) = try infer(path)
    return (graph, AttentionRecognition.recognize(try Canonicalizer.canonicalize(typed), original: graph))
  }
}
