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
    ("state_swinv2.h5", nil), ("state_padded.safetensors", nil), ("state_merged.h5", nil), ("state_clip.safetensors", 2), ("state_siglip.h5", 2),
    ("state_gmlp.safetensors", nil), ("state_resmlp.h5", nil), ("state_eva02.safetensors", 2), ("state_dinov3.h5", 2), ("state_joint.safetensors", 2),
    ("state_torchvision.h5", nil),
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

  /// What no weight tells and changes results is told, and not where a configuration says it.
  @Test func choicesAreTold() throws {
    func notes(_ file: String, heads: Int? = nil, configuration: String? = nil) throws -> [String] {
      var options = CheckpointOptions()
      options.heads = heads
      var sink = DiagnosticSink()
      let path = Fixtures.path("keras/\(file)")
      let beside = NSTemporaryDirectory() + "config-\(UUID().uuidString).json"
      defer { try? FileManager.default.removeItem(atPath: beside) }
      if let configuration {
        try Data(configuration.utf8).write(to: URL(fileURLWithPath: beside))
        options.configuration = beside
      }
      _ = try KerasReader.read(ByteSource(mapping: path), path: path, options: options, sink: &sink)
      #expect(sink.diagnostics.allSatisfy { $0.code == .openChoice })
      return sink.diagnostics.map(\.message)
    }
    // Tensors sorted by name do not tell where norms stand; an HDF5 file's order does.
    let sorted = try notes("state_features.safetensors", heads: 2)
    #expect(sorted.contains { $0.contains("rpn") } && sorted.contains { $0.contains("layer_norm_eps") } && sorted.contains { $0.contains("class token") })
    #expect(try !notes("state_after.h5", heads: 2).contains { $0.contains("rpn") })
    #expect(try notes("state_swin.safetensors").contains { $0.contains("--shape") })
    #expect(try notes("state_clip.safetensors", heads: 2).contains { $0.contains("1.702") })
    let told = #"{"num_attention_heads": 2, "layer_norm_eps": 1e-6, "hidden_act": "gelu", "image_size": 16}"#
    #expect(try notes("state_clip.safetensors", configuration: told) == [])
    #expect(
      try notes("state_features.safetensors", configuration: #"{"architecture": "vit_tiny_patch8_rpn_16", "num_heads": 2, "global_pool": "token"}"#) == [])
  }

  @Test func windowsThatNoWeightTellsAreAskedFor() throws {
    var sink = DiagnosticSink()
    let source = try ByteSource(mapping: Fixtures.path("keras/state_swinv2.h5"))
    let failure = #expect(throws: Failure.self) { try KerasReader.read(source, path: nil, sink: &sink) }
    #expect(failure?.code == .architectureOpen && failure?.advice?.contains("window_size") ?? false)
  }

  @Test func headsThatDoNotDivideAreRefused() throws {
    var options = CheckpointOptions()
    options.heads = 3
    #expect(throws: Failure.self) { try Self.read("state_vit.h5", options) }
  }
}
