import Bytes
import Diagnostics
import Foundation
import GraphIR
import Tensors
import Testing

@testable import FormatONNX

@Suite struct ExternalDataTests {
  private let folder = TemporaryFolder()
  private let values = (0..<12).map { Float($0) / 4 }

  private var weightBytes: [UInt8] { values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32(8 * $0)) } } }

  /// A model `m.onnx` whose weight `w` (2x3) lies at byte 16 of `weights/w.bin`.
  private func model(_ entries: [(String, String)]) -> HandmadeModel {
    var model = HandmadeModel()
    model.input("x")
    model.initializer(HandmadeModel.external("w", [2, 3], entries))
    model.node(HandmadeModel.node("Add", ["x", "w"], ["y"], name: "add"))
    model.output("y")
    return model
  }

  private func write(_ model: HandmadeModel, _ name: String = "m.onnx") throws -> String {
    try FileManager.default.createDirectory(atPath: folder.file("weights"), withIntermediateDirectories: true)
    try Data(weightBytes).write(to: URL(fileURLWithPath: folder.file("weights/w.bin")))
    try Data(model.bytes).write(to: URL(fileURLWithPath: folder.file(name)))
    return folder.file(name)
  }

  private func outcome(_ entries: [(String, String)]) throws -> DiagnosticCode? {
    let path = try write(model(entries))
    var sink = DiagnosticSink()
    return code { () throws(Failure) in _ = try ONNXReader.read(ByteSource(mapping: path), path: path, sink: &sink) }
  }

  private func weight(_ graph: Graph) -> Tensor? {
    graph.liveNodes.flatMap { $1.reads }.lazy.filter { graph[$0].name == "w" }.compactMap { graph.constant($0) }.first
  }

  @Test func elementsAreMapped() throws {
    let path = try write(model([("location", "weights/w.bin"), ("offset", "16"), ("length", "24")]))
    let graph = try Checkpoints.read(path).model.graph
    #expect(weight(graph)?.floats() == Array(values[4..<10]))
    guard case .mapped? = weight(graph)?.storage else { throw Failure(.internalError, "external data was copied") }
    #expect(try outcome([("location", "weights/w.bin"), ("offset", "16")]) == nil)
    #expect(try outcome([("location", "./weights//w.bin")]) == nil)
  }

  /// The file has a hole of five gigabytes, so it takes no room.
  @Test func offsetsBeyondFourGigabytesWork() throws {
    let path = try write(model([("location", "weights/large.bin"), ("offset", "5000000000"), ("length", "24")]))
    #expect(FileManager.default.createFile(atPath: folder.file("weights/large.bin"), contents: nil))
    let file = try FileHandle(forWritingTo: URL(fileURLWithPath: folder.file("weights/large.bin")))
    try file.seek(toOffset: 5_000_000_000)
    try file.write(contentsOf: Data(weightBytes[16..<40]))
    try file.close()
    let graph = try Checkpoints.read(path).model.graph
    #expect(weight(graph)?.floats() == Array(values[4..<10]))
    try ONNXWriter.write(graph, to: folder.file("o.onnx"))
    #expect(try Data(contentsOf: URL(fileURLWithPath: folder.file("o.onnx.data"))) == Data(weightBytes[16..<40]))
  }

  @Test func whatLeadsOutIsRefused() throws {
    let outside = TemporaryFolder()
    try Data(weightBytes).write(to: URL(fileURLWithPath: outside.file("w.bin")))
    for location in [outside.file("w.bin"), "../w.bin", "weights/../../w.bin", ".."] {
      #expect(try outcome([("location", location)]) == .externalPathRefused, "\(location)")
    }
    _ = try write(model([]))
    try FileManager.default.createSymbolicLink(atPath: folder.file("link.bin"), withDestinationPath: outside.file("w.bin"))
    try FileManager.default.createSymbolicLink(atPath: folder.file("linked"), withDestinationPath: outside.path)
    try FileManager.default.createSymbolicLink(atPath: folder.file("inside.bin"), withDestinationPath: "weights/w.bin")
    #expect(try outcome([("location", "link.bin")]) == .externalPathRefused)
    #expect(try outcome([("location", "linked/w.bin")]) == .externalPathRefused)
    #expect(try outcome([("location", "inside.bin")]) == nil)
  }

  @Test func rangesAreHeldAgainstTheFile() throws {
    let location = ("location", "weights/w.bin")
    #expect(try outcome([location, ("offset", "-1")]) == .externalDataRange)
    #expect(try outcome([location, ("offset", "twelve")]) == .externalDataRange)
    #expect(try outcome([location, ("offset", "25")]) == .externalDataRange)
    #expect(try outcome([location, ("offset", "9223372036854775807")]) == .externalDataRange)
    #expect(try outcome([location, ("length", "99999999999999999999")]) == .externalDataRange)
    #expect(try outcome([location, ("length", "20")]) == .payloadMismatch)
    #expect(try outcome([location, ("length", "28")]) == .payloadMismatch)
    #expect(try outcome([("location", "weights/none.bin")]) == .fileUnreadable)
    #expect(try outcome([("location", "weights")]) == .fileUnreadable)
    #expect(try outcome([]) == .missingPart)
  }

  @Test func aPipeHasNoFolder() {
    #expect(code { () throws(Failure) in _ = try model([("location", "weights/w.bin")]).read(path: nil) } == .externalPathRefused)
  }

  @Test func writingTakesTheDataAlong() throws {
    var both = model([("location", "weights/w.bin"), ("offset", "16"), ("length", "24"), ("checksum", "abc")])
    // The same bytes again inside a subgraph, where no initializer list shows them.
    let inner = HandmadeModel.attribute(
      "value", tensor: HandmadeModel.external("inner", [2, 3], [("location", "weights/w.bin"), ("offset", "16"), ("length", "24")]))
    let branch = [(1, HandmadeModel.node("Constant", [], ["k"], attributes: [inner])), (12, HandmadeModel.info("k"))]
    both.initializer(HandmadeModel.tensor("c", .bool, []) { $0.field(9, bytes: [1]) })
    both.node(
      HandmadeModel.node(
        "If", ["c"], ["z"], attributes: [HandmadeModel.attribute("then_branch", graph: branch), HandmadeModel.attribute("else_branch", graph: branch)]))
    both.output("z")
    let graph = try Checkpoints.read(write(both)).model.graph
    for (name, variant) in [("same.onnx", graph), ("edited.onnx", try Edits.insertingIdentities(graph))] {
      let target = TemporaryFolder()
      try ONNXWriter.write(variant, to: target.file(name))
      #expect(try FileManager.default.contentsOfDirectory(atPath: target.path).sorted() == [name, name + ".data"])
      let again = try Checkpoints.read(target.file(name)).model.graph
      #expect(weight(again)?.floats() == Array(values[4..<10]))
      // Three tensors, one copy.
      #expect(try Data(contentsOf: URL(fileURLWithPath: target.file(name + ".data"))).count == 24)
      let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: target.file(name))), as: UTF8.self)
      #expect(!text.contains("w.bin") && text.contains("checksum"))
    }
  }

  @Test func inputsAreNeverOverwritten() throws {
    let path = try write(model([("location", "weights/w.bin"), ("length", "24")]))
    let graph = try Checkpoints.read(path).model.graph
    #expect(code { () throws(Failure) in try ONNXWriter.write(graph, to: path) } == .outputUnwritable)
    try FileManager.default.createDirectory(atPath: folder.file("sub"), withIntermediateDirectories: true)
    try FileManager.default.linkItem(atPath: folder.file("weights/w.bin"), toPath: folder.file("sub/o.onnx.data"))
    #expect(code { () throws(Failure) in try ONNXWriter.write(graph, to: folder.file("sub/o.onnx")) } == .outputUnwritable)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("sub")) == ["o.onnx.data"])
    #expect(try Checkpoints.read(path).model.graph.order.count == 1)
  }

  @Test func constantsBeyondTheLimitGoOut() throws {
    var large = HandmadeModel()
    large.input("x", .float32, [1000])
    large.initializer(HandmadeModel.floats("w", [1000], [Float](repeating: 2, count: 1000)))
    large.node(HandmadeModel.node("Add", ["x", "w"], ["y"]))
    large.output("y", .float32, [1000])
    let graph = try large.read().graph
    var patch = Patch(graph)
    let added = patch.addConstant("added", try Tensor(float32: (0..<1000).map(Float.init), dims: [1000]))
    patch.replace(graph.outputs[0], with: patch.add(.binary(.add), [graph.outputs[0], added], name: "sum"))
    let edited = try patch.commit()

    // Untouched files, too: other readers take no message beyond the limit.
    let untouched = try ONNXWriter.segments(for: graph, dataFileName: "o.data", embeddedLimit: 2000)
    #expect(untouched.main.reduce(0) { $0 + $1.count } < 2000)
    #expect(untouched.external.first?.segments.reduce(0) { $0 + $1.count } == 4000)

    let inside = try ONNXWriter.segments(for: edited)
    #expect(inside.external.isEmpty)
    let outside = try ONNXWriter.segments(for: edited, dataFileName: "o.data", embeddedLimit: 6000)
    #expect(outside.external.map(\.fileName) == ["o.data"])
    #expect(outside.main.reduce(0) { $0 + $1.count } < 6000)
    try AtomicOutput.write(outside.main, to: folder.file("o.onnx"))
    try AtomicOutput.write(outside.external[0].segments, to: folder.file("o.data"))
    let again = try Checkpoints.read(folder.file("o.onnx")).model.graph
    let constants = Dictionary(uniqueKeysWithValues: again.liveNodes.flatMap { $1.reads }.compactMap { id in again.constant(id).map { (again[id].name, $0) } })
    #expect(constants["added"]?.floats() == (0..<1000).map(Float.init))
    #expect(constants["w"]?.floats() == [Float](repeating: 2, count: 1000))
    // The new constant left, the old one stayed.
    guard case .mapped(let source, _)? = constants["w"]?.storage else { throw Failure(.internalError, "not mapped") }
    #expect(source.name.hasSuffix("o.onnx"))

    // Where even the old ones are too much, they leave as well; what stays is structure.
    let bare = try ONNXWriter.segments(for: edited, dataFileName: "o.data", embeddedLimit: 1000)
    #expect(bare.main.reduce(0) { $0 + $1.count } < 1000)
    #expect(bare.external[0].segments.reduce(0) { $0 + $1.count } == 4096 + 4000)
    #expect(code { () throws(Failure) in _ = try ONNXWriter.segments(for: edited, embeddedLimit: 100) } == .notExpressible)
  }
}
