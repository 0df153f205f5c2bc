import Bytes
import Diagnostics
import Execution
import FormatHDF5
import FormatKeras
import FormatONNX
import Foundation
import GraphIR
import GraphText
import Tensors
import TestSupport
import Testing

/// State dictionaries that hold their graph.
@Suite struct StateDictionaryTests {
  private static func read(_ path: String) throws -> Graph {
    var sink = DiagnosticSink()
    let source = try ByteSource(mapping: path)
    return path.hasSuffix(".onnx")
      ? try ONNXReader.read(source, path: path, sink: &sink).graph : try KerasReader.read(source, path: path, sink: &sink).graph
  }

  private static func inFolder(_ body: (String) throws -> Void) throws {
    let folder = NSTemporaryDirectory() + "weights-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  private static func write(_ graph: Graph, _ path: String) throws {
    if path.hasSuffix(".h5") { try WeightsWriter.writeHDF5(graph, to: path) } else { try WeightsWriter.writeSafetensors(graph, to: path) }
  }

  @Test(arguments: ["models/zoo/vit.legacy17.onnx", "models/zoo/moe_gate.dynamo18.onnx", "keras/vit.keras", "keras/rnn.h5"], ["h5", "safetensors"])
  func graphsComeBack(_ name: String, _ suffix: String) throws {
    let graph = try Self.read(Fixtures.path(name))
    try Self.inFolder { folder in
      try Self.write(graph, "\(folder)/w.\(suffix)")
      let back = try Self.read("\(folder)/w.\(suffix)")
      #expect(GraphPrinter.print(back) == GraphPrinter.print(graph))
      let constants = { (graph: Graph) in
        Dictionary(graph.values.handles.compactMap { id in graph.constant(id).map { (graph[id].name, $0.elements(as: UInt8.self)) } }) { first, _ in first }
      }
      let (before, after) = (constants(graph), constants(back))
      #expect(!after.isEmpty && after.allSatisfy { before[$0.key] == $0.value })
    }
  }

  @Test func weightsBearTheirNames() throws {
    let graph = try Self.read(Fixtures.path("keras/vit.keras"))
    try Self.inFolder { folder in
      try Self.write(graph, folder + "/w.h5")
      let file = try HDF5File.read(ByteSource(mapping: folder + "/w.h5"))
      #expect(file.hasDataset("mha_0.query.kernel") && file.attribute("producer", of: "metadata")?.text == "vitconv")
      #expect(file.attribute("inputs", of: "metadata")?.text?.contains("float32[batch, 16, 16, 3]") == true)
    }
  }

  /// PyTorch's exporters fold the transposition of a linear layer's weight; its module holds it (out, in), under its own name.
  @Test(arguments: ["models/zoo/vit.legacy17.onnx", "models/zoo/vit.dynamo18.onnx"], ["h5", "safetensors"])
  func linearWeightsAreThoseOfTheirModules(_ name: String, _ suffix: String) throws {
    let graph = try Self.read(Fixtures.path(name))
    let product = try #require(
      graph.liveNodes.first { _, node in node.op == .matrix(.matMul) && (node.input(1).flatMap { graph.constant($0) }?.dims.count == 2) }?.1)
    let folded = try #require(product.input(1).flatMap { graph.constant($0) })
    try Self.inFolder { folder in
      try Self.write(graph, "\(folder)/w.\(suffix)")
      var sink = DiagnosticSink()
      let data = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/w.\(suffix)"))
      #expect(data.range(of: Data("blocks.0.attn.qkv.weight.T".utf8)) != nil)
      let back = try KerasReader.read(try ByteSource(mapping: "\(folder)/w.\(suffix)"), path: "\(folder)/w.\(suffix)", sink: &sink).graph
      let same = back.values.handles.contains { id in
        back.constant(id).map { $0.dims == folded.dims && $0.elements(as: UInt8.self) == folded.elements(as: UInt8.self) } ?? false
      }
      #expect(same, "the matrix comes back as the graph has it")
      if suffix == "h5" {
        let file = try HDF5File.read(ByteSource(mapping: folder + "/w.h5"))
        #expect(file.hasDataset("blocks.0.attn.qkv.weight") && !file.hasDataset("Constant_1_output_0"))
      }
    }
  }

  /// A model of the same name beside it may be another one, with other weights.
  @Test(arguments: ["h5", "safetensors"]) func aFileWithItsGraphAsksNobody(_ suffix: String) throws {
    let graph = try Self.read(Fixtures.path("models/zoo/vit.legacy17.onnx"))
    try Self.inFolder { folder in
      try Self.write(graph, "\(folder)/w.\(suffix)")
      try FileManager.default.copyItem(atPath: Fixtures.path("keras/cnn.keras"), toPath: "\(folder)/w.keras")
      #expect(GraphPrinter.print(try Self.read("\(folder)/w.\(suffix)")) == GraphPrinter.print(graph))
    }
  }

  /// What a text in a file says is checked like the rest of the file.
  @Test(arguments: [
    ("graph %g(%x: f32[2]) -> (%y) {", DiagnosticCode.graphText),
    ("graph %g(%x: f32[2]) -> (%y) { %w = weight @\"gone\" : f32[2] %y = add(%x, %w) }", .missingPart),
    ("graph %g(%x: f32[2]) -> (%y) { %w = weight @\"w\" : f32[3] %y = add(%x, %w) }", .payloadMismatch),
    ("graph %g(%x: f32[2]) -> (%y) { %w = weight @\"w\" : f64[2] %y = add(%x, %w) }", .payloadMismatch),
  ])
  func wrongTextsAreErrors(_ text: String, _ code: DiagnosticCode) throws {
    try Self.inFolder { folder in
      try HDF5Writer.write(to: folder + "/w.h5") { (file) throws(Failure) in
        try file.dataset("w", try Tensor(float32: [1, 2], dims: [2]))
        try file.group("metadata")
        try file.attribute("graph_text", text, of: "metadata")
      }
      let failure = #expect(throws: Failure.self) { try Self.read(folder + "/w.h5") }
      #expect(failure?.code == code)
    }
  }

  /// Narrow floats, metadata and tensors that no graph reads: a copy has them all.
  @Test func safetensorsAreCopiedExactly() throws {
    let tensors: [(String, String, [Int], [UInt8])] = [
      ("a.bf16", "BF16", [3], [1, 2, 3, 0xC0, 0x7F, 0xFF]), ("b.f8", "F8_E4M3", [2, 2], [0x7F, 0x80, 1, 0xFE]), ("c.f8", "F8_E5M2", [1], [0x7D]),
      ("d.half", "F16", [1, 1], [0x00, 0x7C]), ("e.flag", "BOOL", [2], [1, 0]), ("f.none", "F32", [0, 4], []),
      ("g.steps", "I64", [], [9, 0, 0, 0, 0, 0, 0, 0]),
    ]
    var header = #"{"__metadata__":{"format":"pt","note":"a \"b\" \u00e9"}"#
    var data: [UInt8] = []
    for (name, type, dims, bytes) in tensors {
      header += #","\#(name)":{"dtype":"\#(type)","shape":\#(dims),"data_offsets":[\#(data.count),\#(data.count + bytes.count)]}"#
      data += bytes
    }
    header += "}"
    let length = (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> ($0 * 8)) }
    try Self.inFolder { folder in
      try Data(length + Array(header.utf8) + data).write(to: URL(fileURLWithPath: folder + "/a.safetensors"))
      try Self.write(try Self.read(folder + "/a.safetensors"), folder + "/b.safetensors")
      try Self.write(try Self.read(folder + "/b.safetensors"), folder + "/c.safetensors")
      let (b, c) = (
        try Data(contentsOf: URL(fileURLWithPath: folder + "/b.safetensors")), try Data(contentsOf: URL(fileURLWithPath: folder + "/c.safetensors"))
      )
      #expect(b == c)
      let size = b.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
      let json = try #require(try JSONSerialization.jsonObject(with: b.dropFirst(8).prefix(size)) as? [String: [String: Any]])
      #expect(json["__metadata__"] as? [String: String] == ["format": "pt", "note": "a \"b\" é"])
      for (name, type, dims, bytes) in tensors {
        let entry = try #require(json[name])
        let range = try #require(entry["data_offsets"] as? [Int])
        #expect(entry["dtype"] as? String == type && entry["shape"] as? [Int] == dims)
        #expect(Array(b[(8 + size + range[0])..<(8 + size + range[1])]) == bytes)
      }
      #expect(json.count == tensors.count + 1)
    }
  }

  /// The index that Transformers writes beside shards.
  @Test func shardsAreReadByTheirIndex() throws {
    let graph = try Self.read(Fixtures.path("keras/vit.keras"))
    try Self.inFolder { folder in
      try Self.write(graph, folder + "/model-00001-of-00002.safetensors")
      let one = "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"
      let length = (0..<8).map { UInt8(truncatingIfNeeded: one.utf8.count >> ($0 * 8)) }
      try Data(length + Array(one.utf8) + [0, 0, 0x80, 0x3F]).write(to: URL(fileURLWithPath: folder + "/model-00002-of-00002.safetensors"))
      let index = #"{"metadata":{},"weight_map":{"a":"model-00001-of-00002.safetensors","x":"model-00002-of-00002.safetensors"}}"#
      try Data(index.utf8).write(to: URL(fileURLWithPath: folder + "/model.safetensors.index.json"))
      let back = try Self.read(folder + "/model.safetensors.index.json")
      let found = Set(back.values.handles.map { back[$0].name })
      #expect(found.contains("x") && found.contains { $0.hasSuffix("query.kernel") })
      let evil = index.replacing("model-00002-of-00002.safetensors", with: "../x.safetensors")
      try Data(evil.utf8).write(to: URL(fileURLWithPath: folder + "/evil.safetensors.index.json"))
      let failure = #expect(throws: Failure.self) { try Self.read(folder + "/evil.safetensors.index.json") }
      #expect(failure?.code == .externalPathRefused)
    }
  }
}
