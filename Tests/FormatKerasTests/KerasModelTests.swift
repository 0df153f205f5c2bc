import Bytes
import Diagnostics
import Execution
import FormatKeras
import FormatNPZ
import GraphIR
import Tensors
import TestSupport
import Testing

/// Models as Keras wrote them, against what Keras computed with them.
@Suite struct KerasModelTests {
  static func read(_ path: String) throws -> KerasCheckpoint {
    var sink = DiagnosticSink()
    return try KerasReader.read(ByteSource(mapping: path), path: path, sink: &sink)
  }

  @Test(arguments: ["vit", "cnn", "rnn", "nested", "recurrences", "resizings", "operations", "quantized", "sequences", "hub"], ["keras", "h5"])
  func computesWhatKerasComputes(_ name: String, _ suffix: String) throws {
    try Self.compare(name, suffix)
  }

  /// The legacy layout keeps adapters beside quantized kernels, where archives hold the merged kernel.
  @Test func adaptersStandBesideQuantizedKernels() throws { try Self.compare("adapted", "h5") }

  private static func compare(_ name: String, _ suffix: String) throws {
    let checkpoint = try Self.read(Fixtures.path("keras/\(name).\(suffix)"))
    let arrays = try ArrayArchive.read(path: Fixtures.path("keras/\(name).npz"))
    let graph = checkpoint.graph
    var inputs: [String: Tensor] = [:]
    for (index, id) in graph.inputs.enumerated() {
      let tensor: Tensor = try #require(arrays["in\(index)"])
      inputs[graph[id].name] = tensor
    }
    let result = try Executor(graph, options: RunOptions(threads: 1)).run(inputs)
    #expect(!graph.outputs.isEmpty)
    for (index, id) in graph.outputs.enumerated() {
      let expected = try #require(arrays["out\(index)"]?.doubles())
      let actual = try #require(result.values[id]?.doubles())
      #expect(actual.count == expected.count)
      for (a, b) in zip(actual, expected) { #expect(abs(a - b) <= 1e-4 * max(1, abs(b))) }
    }
  }

  /// The trained transformer of each version, and weights whose graph stands in the archive beside them.
  @Test(arguments: [("digits.keras", "digits_keras3"), ("digits.weights.h5", "digits_keras3"), ("digits.h5", "digits_keras2")])
  func trainedDigitsGiveTheirLogits(_ file: String, _ expected: String) throws {
    let graph = try Self.read(Fixtures.path("keras/\(file)")).graph
    let images: Tensor = try #require(try ArrayArchive.read(path: Fixtures.path("data/digits_nhwc.npz"))["image"])
    let logits = try #require(try ArrayArchive.read(path: Fixtures.path("keras/\(expected).npz"))["logits"]?.doubles())
    let input = try #require(graph.inputs.first)
    let result = try Executor(graph, options: RunOptions(threads: 1)).run([graph[input].name: images])
    let output = try #require(graph.outputs.first)
    let actual = try #require(result.values[output]?.doubles())
    #expect(actual.count == logits.count)
    for (a, b) in zip(actual, logits) { #expect(abs(a - b) <= 1e-3) }
  }

  @Test func bothContainersGiveTheSameCounts() throws {
    let archive = try Self.read(Fixtures.path("keras/vit.keras"))
    let legacy = try Self.read(Fixtures.path("keras/vit.h5"))
    #expect(archive.parameterCount == legacy.parameterCount)
    #expect(archive.graph.order.count == legacy.graph.order.count)
    #expect(archive.producer.hasPrefix("keras 3"))
  }
}
