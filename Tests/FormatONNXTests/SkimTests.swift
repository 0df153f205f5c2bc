import Bytes
import Diagnostics
import Tensors
import Testing

@testable import FormatONNX

@Suite struct SkimTests {
  private func skim(_ bytes: [UInt8], limits: ReadLimits = .standard) throws(Failure) -> Skim {
    try Skim(ByteSource(bytes, name: "test"), limits: limits)
  }

  @Test func structureDoesNotGrowWithWeights() throws {
    var model = HandmadeModel.single("Relu")
    let small = try skim(model.bytes).structure.count
    model.initializer(HandmadeModel.tensor("w", .uint8, [1 << 20]) { $0.field(9, bytes: [UInt8](repeating: 7, count: 1 << 20)) })
    let large = try skim(model.bytes).structure.count
    #expect(large - small < 64)
  }

  @Test func unpackedListsBecomeOneReference() throws {
    var model = HandmadeModel.single("Relu")
    model.initializer(HandmadeModel.tensor("w", .int64, [1000]) { t in for i in 0..<1000 { t.field(7, integer: Int64(i)) } })
    let structure = try skim(model.bytes).structure
    let message = try ModelMessage.decode(structure)
    #expect(message.graph?.initializers.first?.payload.count == 1)
  }

  @Test func recordsCoverTheWholeFile() throws {
    var model = HandmadeModel.single("Relu")
    model.extras = [(999, HandmadeModel.message { $0.field(1, string: "unknown") })]
    let bytes = model.bytes
    let skim = try skim(bytes)
    #expect(skim.model.map(\.whole.lowerBound) == [0] + skim.model.dropLast().map(\.whole.upperBound))
    #expect(skim.model.last?.whole.upperBound == bytes.count)
    #expect(skim.graph.map(\.field) == [11, 1, 12])
  }

  @Test func theGraphStandsOnce() {
    let model = HandmadeModel.single("Relu")
    var twice = model
    twice.extras = [(7, HandmadeModel.message { g in for (field, content) in model.graph { g.field(field, message: content) } })]
    #expect(code { () throws(Failure) in _ = try skim(twice.bytes) } == .malformed)
  }

  @Test func limitsAreKept() {
    var limits = ReadLimits.standard
    limits.messages = 3
    #expect(code { () throws(Failure) in _ = try skim(HandmadeModel.single("Relu").bytes, limits: limits) } == .limitExceeded)
    limits = .standard
    limits.depth = 1
    #expect(code { () throws(Failure) in _ = try skim(HandmadeModel.single("Relu").bytes, limits: limits) } == .limitExceeded)
    limits = .standard
    limits.structureBytes = 10
    #expect(code { () throws(Failure) in _ = try skim(HandmadeModel.single("Relu").bytes, limits: limits) } == .limitExceeded)
  }

  /// Each If holds the next; the depth is what the file says, the memory is not.
  @Test func deepNestingIsRefused() {
    var graph: [(Int, WireEncoder)] = [(12, HandmadeModel.info("y"))]
    for _ in 0..<200 { graph = [(1, HandmadeModel.node("If", ["c"], ["y"], attributes: [HandmadeModel.attribute("then_branch", graph: graph)]))] }
    var model = HandmadeModel()
    model.graph = graph
    #expect(code { () throws(Failure) in _ = try model.read() } == .limitExceeded)
  }

  @Test func namesAreTextWithoutNUL() {
    for bytes: [UInt8] in [[0x61, 0x00, 0x62], [0xFF, 0xFE], [0xC3, 0x28]] {
      var model = HandmadeModel.single("Relu")
      model.add(2, WireEncoder())
      model.node(
        HandmadeModel.message {
          $0.field(2, bytes: bytes); $0.field(4, string: "Relu")
        })
      #expect(code { () throws(Failure) in _ = try model.read() } == .malformed)
    }
  }

  @Test func whatIsNoModelIsSaidToBeNone() {
    #expect(code { () throws(Failure) in _ = try skim(Array("PK\u{3}\u{4} a zip archive".utf8)) } == .unknownFormat)
    #expect(!ONNXReader.accepts(ByteSource(Array("PK\u{3}\u{4} a zip archive".utf8), name: "zip")))
    #expect(!ONNXReader.accepts(ByteSource([0x89] + Array("HDF\r\n".utf8), name: "hdf5")))
    #expect(ONNXReader.accepts(ByteSource(HandmadeModel.single("Relu").bytes, name: "onnx")))
  }
}
