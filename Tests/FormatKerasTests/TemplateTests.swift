import Bytes
import Diagnostics
import Execution
import FormatHDF5
import FormatKeras
import FormatNPZ
import Foundation
import GraphIR
import Tensors
import TestSupport
import Testing

/// Weights without an architecture, against what the models that they belong to compute.
@Suite struct TemplateTests {
  private static func read(_ file: String, _ options: CheckpointOptions = CheckpointOptions()) throws -> Graph {
    var sink = DiagnosticSink()
    let path = Fixtures.path("keras/\(file)")
    return try KerasReader.read(ByteSource(mapping: path), path: path, options: options, sink: &sink).graph
  }

  /// Heads are given where no weight tells them, the image's size where positions do not.
  @Test(arguments: [
    ("state_cait.h5", nil), ("state_beit.h5", nil), ("state_swin.safetensors", nil), ("state_vit.h5", 2), ("state_pool.safetensors", 2),
    ("state_pvt.safetensors", 1), ("state_after.h5", 2), ("state_features.safetensors", 2),
  ])
  func templatesComputeWhatTheModelsCompute(_ file: String, _ heads: Int?) throws {
    let stem = file.prefix { $0 != "." }
    let arrays = try ArrayArchive.read(path: Fixtures.path("keras/\(stem).npz"))
    let image: Tensor = try #require(arrays["in0"])
    var options = CheckpointOptions()
    options.heads = heads
    options.imageSize = Array(image.dims.suffix(2))
    let graph = try Self.read(file, options)
    let input = try #require(graph.inputs.first)
    let result = try Executor(graph, options: RunOptions(threads: 1)).run([graph[input].name: image])
    let actual = try #require(graph.outputs.first.flatMap { result.values[$0]?.doubles() })
    let expected = try #require(arrays["out0"]?.doubles())
    #expect(actual.count == expected.count)
    for (a, b) in zip(actual, expected) { #expect(abs(a - b) <= 1e-4 * max(1, abs(b))) }
  }

  @Test(arguments: ["state_vit.h5", "state_pool.safetensors", "state_pvt.safetensors"])
  func headsThatNoWeightTellsAreAskedFor(_ file: String) throws {
    do {
      _ = try Self.read(file)
      Issue.record("\(file) was read without heads")
    } catch let failure as Failure {
      #expect(failure.code == .architectureOpen)
      #expect(failure.advice?.contains("--heads") ?? false)
    }
    var options = CheckpointOptions()
    options.listsOpenWeights = true
    #expect(try Self.read(file, options).isListing, "who only looks gets the weights")
  }

  /// Weights of blocks that the template does not read belong to another model than it looks like.
  @Test func aModelWithOtherPartsIsListed() throws {
    let path = Fixtures.path("keras/state_vit.h5")
    let names = try HDF5File.read(ByteSource(mapping: path)).datasetPaths
    var tensors: [(String, Tensor)] = []
    for name in names { tensors.append((name.replacingOccurrences(of: "/", with: "."), try HDF5File.read(ByteSource(mapping: path)).tensor(name))) }
    let block = try #require(names.first { $0.contains("layernorm_before/weight") || $0.contains("norm1/weight") })
    let rotary = block.replacingOccurrences(of: "/", with: ".").replacingOccurrences(of: "layernorm_before", with: "rotary")
    tensors.append((rotary.replacingOccurrences(of: "norm1", with: "rotary"), try Tensor(float32: [1, 2], dims: [2])))
    let file = NSTemporaryDirectory() + "listed-\(UUID().uuidString).h5"
    defer { try? FileManager.default.removeItem(atPath: file) }
    try HDF5Writer.write(to: file) { (writer) throws(Failure) in for (name, tensor) in tensors { try writer.dataset(name, tensor) } }
    var options = CheckpointOptions()
    options.heads = 2
    var sink = DiagnosticSink()
    let graph = try KerasReader.read(ByteSource(mapping: file), path: nil, options: options, sink: &sink).graph
    #expect(graph.inputs.isEmpty)
    #expect(sink.diagnostics.contains { $0.message.contains("rotary") })
  }

  @Test func headsThatDoNotDivideAreRefused() throws {
    var options = CheckpointOptions()
    options.heads = 3
    #expect(throws: Failure.self) { try Self.read("state_vit.h5", options) }
  }
}
