import Bytes
import Diagnostics
import Execution
import FormatKeras
import FormatNPZ
import Foundation
import GraphIR
import Tensors
import TestSupport
import Testing

/// Layers that a user describes.
@Suite struct CustomLayerTests {
  private static func read(_ name: String, _ descriptions: String?) throws -> Graph {
    var sink = DiagnosticSink()
    var options = CheckpointOptions()
    options.customLayers = descriptions
    let path = Fixtures.path("keras/\(name)")
    return try KerasReader.read(ByteSource(mapping: path), path: path, options: options, sink: &sink).graph
  }

  @Test(arguments: ["custom.keras", "custom.h5"]) func describedLayersCompute(_ name: String) throws {
    let graph = try Self.read(name, Fixtures.path("keras/custom.yml"))
    let arrays = try ArrayArchive.read(path: Fixtures.path("keras/custom.npz"))
    let input = try #require(arrays["in0"])
    let result = try Executor(graph, options: RunOptions(threads: 1)).run([graph[graph.inputs[0]].name: input])
    let expected = try #require(arrays["out0"]?.doubles())
    let actual = try #require(result.values[graph.outputs[0]]?.doubles())
    #expect(actual.count == expected.count)
    for (a, b) in zip(actual, expected) { #expect(abs(a - b) <= 1e-5 * max(1, abs(b))) }
  }

  @Test func withoutADescriptionTheyStayOpaque() throws {
    let graph = try Self.read("custom.keras", nil)
    #expect(graph.liveNodes.contains { _, node in if case .foreign = node.op { true } else { false } })
  }

  /// The description of GatedUnit in `custom.yml`, changed.
  private static func failure(_ text: String) throws -> Failure {
    let path = NSTemporaryDirectory() + "custom-\(UUID().uuidString).yml"
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try #require(throws: Failure.self) { try read("custom.keras", path) }
  }

  private static func unit(_ body: String = "%y = matmul(%x, %kernel)", shape: String = "[channels, 2 * units]", outputs: String = "[y]") -> String {
    """
    layers:
      GatedUnit:
        config: {units: }
        inputs: {x: [batch, tokens, channels]}
        weights:
          - {name: kernel, shape: \(shape)}
        outputs: \(outputs)
        graph: |
          %a = relu(%x)
          \(body)

    """
  }

  @Test(arguments: [
    ("layers:\n  - x: [\n", "line "), ("layers:\n  A: {graph: x, grph: y}\n", "line 2"), ("", "empty"), ("other: 1\n", "line 1: 'other'"),
    ("layers:\n  A:\n    graph: x\n", "'inputs'"), ("layers: {A: {graph: x, inputs: {x: 3}}}\n", "line 1: a list of axes"),
    ("layers: {A: {}, A: {}}\n", "twice"),
    (unit("%y = frobnicate(%x)"), "line 10"), (unit("%y = matmul(%x, %nothing)"), "line 10"), (unit("%y = add(%x, ${units})"), "line 10"),
    (unit("%c = constant [${tokens / 4}] : i64[]"), "line 10"), (unit("%c = constant [${batch}] : i64[]"), "line 10: the size of 'batch' is open"),
    (unit("%c = constant [${nobody}] : i64[]"), "line 10: 'nobody'"), (unit("%w = weight : f32[2]"), "line 10"), (unit(outputs: "[z]"), "%z"),
    (unit(shape: "[channels, units]"), "kernel"), (unit(shape: "[channels, units"), "line "),
    (unit(shape: "[channels, units * 9223372036854775807]"), "overflows"),
  ])
  func slipsAreNamedByLine(_ text: String, _ part: String) throws {
    let failure = try Self.failure(text)
    #expect(failure.message.contains(part) || failure.at.element?.contains(part) == true, "\(failure.message) at \(failure.at)")
    #expect([.malformed, .graphText, .undefinedValue, .missingPart, .shapeMismatch, .sizeOverflow].contains(failure.code), "\(failure.code.id)")
  }

  /// Nothing here may take long, grow, or end the process.
  @Test func bombsAreRefused() throws {
    let deep = String(repeating: "[", count: 100_000)
    let dashes = String(repeating: "- ", count: 100_000)
    var laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for (name, other) in zip("bcdefghijk", "abcdefghij") {
      laughs += "\(name): &\(name) [" + Array(repeating: "*\(other)", count: 9).joined(separator: ", ") + "]\n"
    }
    let stairs = (0..<400).map { String(repeating: " ", count: $0) + "a:\n" }.joined()
    let long = "layers: {A: '" + String(repeating: "x", count: 1 << 19) + "'}"
    for text in [
      deep, dashes, laughs, stairs, long, "layers: " + deep, "? " + laughs, "layers:\n  A: !!binary x\n", "\u{0}", "--- \n--- \n", "%YAML 9.9\n---\n",
    ] {
      let failure = try Self.failure(text)
      #expect([.malformed, .limitExceeded].contains(failure.code), "\(failure.code.id): \(failure.message)")
    }
  }

  @Test func placeholdersDoNotGrowWithoutEnd() throws {
    let failure = try Self.failure(
      Self.unit("%c = constant [" + String(repeating: "(", count: 5000) + "] : i64[]").replacing("constant [", with: "constant [${"))
    #expect([.malformed, .graphText, .limitExceeded].contains(failure.code))
  }
}
