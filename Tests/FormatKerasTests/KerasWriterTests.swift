import Bytes
import Canonicalization
import Diagnostics
import Execution
import FormatKeras
import FormatONNX
import Foundation
import GraphIR
import GraphText
import Inference
import Recognition
import Tensors
import TestSupport
import Testing

/// What is written for Keras, read back by the reader that is held to Keras's own numbers. Keras itself judges it in
/// `make keras-oracle`.
@Suite struct KerasWriterTests {
  static func read(_ path: String) throws -> Graph {
    var sink = DiagnosticSink()
    let source = try ByteSource(mapping: path)
    if path.hasSuffix(".onnx") { return try ONNXReader.read(source, path: path, sink: &sink).graph }
    return try KerasReader.read(source, path: path, sink: &sink).graph
  }

  /// The canonical graph and the attention in it.
  static func analysed(_ graph: Graph) throws -> (TypedGraph, [AttentionBlock]) {
    var sink = DiagnosticSink()
    let typed = try Inference.infer(graph, sink: &sink)
    let canonical = try Canonicalizer.canonicalize(typed)
    return (try Canonicalizer.canonicalize(typed, for: .writing), AttentionRecognition.recognize(canonical, original: typed.graph).blocks)
  }

  static func run(_ graph: Graph, _ inputs: [Tensor]) throws -> [[Double]] {
    var named: [String: Tensor] = [:]
    for (id, tensor) in zip(graph.inputs, inputs) { named[graph[id].name] = tensor }
    let result = try Executor(graph, options: RunOptions(threads: 1)).run(named)
    return try graph.outputs.map { try #require(result.values[$0]?.doubles()) }
  }

  /// Small numbers that differ everywhere, two samples of each input.
  static func samples(_ graph: Graph) throws -> [Tensor] {
    try graph.inputs.map { id in
      let type = try #require(graph[id].declaredType)
      let dims = try #require(type.shape).dims.map { $0.value ?? 2 }
      let count = dims.reduce(1, *)
      if type.element.isInteger { return try Tensor(.int32, dims: dims, values: (0..<count).map { Int32($0 % 3) }) }
      return try Tensor(float32: (0..<count).map { Float(sin(Double($0) * 0.37) + 0.1 * Double($0 % 7)) }, dims: dims)
    }
  }

  static func written(_ graph: Graph, as container: KerasWriter.Container, _ check: (String) throws -> Void) throws {
    let (canonical, blocks) = try analysed(graph)
    let folder = NSTemporaryDirectory() + "keras-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = "\(folder)/model.\(container == .archive ? "keras" : "h5")"
    try KerasWriter.write(canonical, blocks: blocks, to: path, as: container)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 1)
    try check(path)
  }

  static func agrees(_ path: String, with graph: Graph) throws {
    let back = try read(path)
    let inputs = try samples(graph)
    let (before, after) = (try run(graph, inputs), try run(back, inputs))
    #expect(before.count == after.count && !before.isEmpty)
    for (a, b) in zip(before, after) {
      #expect(a.count == b.count)
      let size = max(1, a.map(abs).max() ?? 0)
      for (x, y) in zip(a, b) { #expect(abs(x - y) <= 2e-5 * size) }
    }
  }

  @Test(arguments: [
    "keras/vit.keras", "keras/vit.h5", "keras/cnn.keras", "keras/nested.keras", "keras/rnn.keras", "models/digits.legacy17.onnx", "models/digits.dynamo18.onnx",
    "models/zoo/vit.legacy17.onnx", "models/zoo/mixer.dynamo18.onnx",
  ])
  func archivesComputeTheSame(_ name: String) throws {
    let graph = try Self.read(Fixtures.path(name))
    try Self.written(graph, as: .archive) { path in try Self.agrees(path, with: graph) }
  }

  @Test(arguments: ["keras/vit.keras", "models/digits.legacy17.onnx"])
  func wholeModelsComputeTheSame(_ name: String) throws {
    let graph = try Self.read(Fixtures.path(name))
    try Self.written(graph, as: .wholeModel) { path in try Self.agrees(path, with: graph) }
  }

  @Test func attentionIsOneLayer() throws {
    let graph = try Self.read(Fixtures.path("models/digits.legacy17.onnx"))
    try Self.written(graph, as: .archive) { path in
      let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: Unicode.ASCII.self)
      #expect(text.components(separatedBy: "\"class_name\": \"MultiHeadAttention\"").count == 5)
      #expect(!text.contains("keras.src.ops"))
    }
  }

  @Test func theSameModelGivesTheSameBytes() throws {
    let graph = try Self.read(Fixtures.path("keras/cnn.keras"))
    var first: Data?
    for _ in 0..<2 {
      try Self.written(graph, as: .archive) { path in
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(first == nil || first == data)
        first = data
      }
    }
  }

  /// Every spelling here is one that a layer or operation has to be found for.
  @Test(arguments: [
    // Channels first through convolutions, pools and norms.
    """
    graph %g(%x: f32[batch, 2, 6, 6]) -> (%y) {
      %w = constant [0.5, -1.0, 0.25, 2.0, 1.5, -0.5, 1.0, 0.75] : f32[2, 1, 2, 2]
      %c = conv(%x, %w) {kernel = [2, 2], strides = [2, 2], dilations = [1, 1], pads = [1, 0, 0, 1], groups = 2}
      %p = global_average_pool(%c)
      %s = sigmoid(%p)
      %y = mul(%c, %s)
    }
    """,
    // A class token in front and a register behind.
    """
    graph %g(%x: f32[batch, 3, 2]) -> (%y) {
      %token = constant [1.0, 2.0] : f32[1, 1, 2]
      %other = constant [3.0, -4.0] : f32[1, 1, 2]
      %s = shape(%x) {end = 1}
      %rest = constant [1, 2] : i64[2]
      %dims = concat(%s, %rest) {axis = 0}
      %a = expand(%token, %dims)
      %b = expand(%other, %dims)
      %y = concat(%a, %x, %b) {axis = 1}
    }
    """,
    // A constant as a product's left operand, batched constants, a number divided by the input.
    """
    graph %g(%x: f32[batch, 3, 2]) -> (%y) {
      %m = constant [1.0, 0.0, 2.0, -1.0, 0.5, 0.25] : f32[2, 3]
      %a = matmul(%m, %x)
      %k = constant [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0] : f32[2, 2, 2]
      %h = reshape(%a, %to)
      %to = constant [0, 2, 1, 2] : i64[4]
      %b = matmul(%h, %k)
      %one = constant [1.0] : f32[]
      %two = constant [2.5] : f32[]
      %e = exp(%b)
      %f = add(%e, %two)
      %y = div(%one, %f)
    }
    """,
    // Reductions, extremes, choices, an index list.
    """
    graph %g(%x: f32[batch, 4, 3]) -> (%y, %i) {
      %last = constant [-1] : i64[1]
      %m = reduce_mean(%x, %last) {keep_dims = true}
      %d = sub(%x, %m)
      %n = reduce_l2(%d, %last) {keep_dims = false}
      %zero = constant [0.2] : f32[]
      %c = greater(%n, %zero)
      %w = where(%c, %n, %zero)
      %idx = constant [3, 0, -2] : i64[3]
      %y = gather(%w, %idx) {axis = 1}
      %tokens = constant [1] : i64[1]
      %i = arg_max(%x, %tokens) {keep_dims = false}
    }
    """,
  ])
  func operatorsFindTheirLayers(_ text: String) throws {
    // Constants may stand anywhere in these texts.
    let lines = text.split(separator: "\n").map(String.init)
    let constants = lines.filter { $0.contains("= constant") }
    let sorted = [lines[0]] + constants + lines.dropFirst().filter { !$0.contains("= constant") }
    let graph = try GraphParser.parse(sorted.joined(separator: "\n"))
    try Self.written(graph, as: .archive) { path in try Self.agrees(path, with: graph) }
  }

  @Test func whatHasNoLayerIsRefusedByName() throws {
    let graph = try GraphParser.parse(
      """
      graph %g(%x: f32[batch, 4]) -> (%y) {
        %h = hardmax(%x) @"odd one"
        %y = softmax(%h)
      }
      """)
    let (canonical, blocks) = try Self.analysed(graph)
    let path = NSTemporaryDirectory() + "refused-\(UUID().uuidString).keras"
    let failure = #expect(throws: Failure.self) { try KerasWriter.write(canonical, blocks: blocks, to: path, as: .archive) }
    #expect(failure?.code == .notExpressible && failure?.at.element == "odd one")
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  /// Keras does not read operations back from one HDF5 file.
  @Test func wholeModelsAreOfLayersAlone() throws {
    let graph = try GraphParser.parse(
      """
      graph %g(%x: f32[batch, 4]) -> (%y) {
        %y = erf(%x) @"the erf"
      }
      """)
    let (canonical, blocks) = try Self.analysed(graph)
    let path = NSTemporaryDirectory() + "refused-\(UUID().uuidString).h5"
    let failure = #expect(throws: Failure.self) { try KerasWriter.write(canonical, blocks: blocks, to: path, as: .wholeModel) }
    #expect(failure?.code == .notExpressible && failure?.at.element == "the erf")
    #expect(!FileManager.default.fileExists(atPath: path))
  }
}
