import Bytes
import Diagnostics
import FormatHDF5
import FormatKeras
import FormatNPZ
import Foundation
import GraphIR
import Tensors
import TestSupport
import Testing

/// Ways of storing arrays, and files that are damaged or meant to do damage.
@Suite struct BrokenFileTests {
  private static func outcome(_ bytes: [UInt8]) -> Result<KerasCheckpoint, Failure> {
    var sink = DiagnosticSink()
    do throws(Failure) {
      return .success(try KerasReader.read(ByteSource(bytes, name: "damaged"), path: nil, sink: &sink))
    } catch {
      return .failure(error)
    }
  }

  private static func bytes(_ name: String) throws -> [UInt8] {
    let source = try ByteSource(mapping: Fixtures.path("keras/\(name)"))
    return source.bytes(in: 0..<source.count)
  }

  @Test(arguments: ["contiguous", "big_endian", "packed", "chunked", "groups/inner/copy", "hard", "soft", "double", "half"])
  func storagesHoldTheSameNumbers(_ path: String) throws {
    let file = try HDF5File.read(ByteSource(mapping: Fixtures.path("keras/storages.h5")))
    let expected = try #require(ArrayArchive.read(path: Fixtures.path("keras/storages.npz"))["values"]?.floats())
    let tensor = try file.tensor(path)
    #expect(tensor.dims == [12, 10])
    let values = try #require(tensor.floats())
    for (a, b) in zip(values, expected) { #expect(abs(a - b) <= (path == "half" ? 2e-3 : 0)) }
  }

  @Test func contiguousArraysStayInTheFile() throws {
    let source = try ByteSource(mapping: Fixtures.path("keras/storages.h5"))
    guard case .mapped(let holder, _) = try HDF5File.read(source).tensor("contiguous").storage else { throw Failure(.internalError, "not mapped") }
    #expect(holder === source)
  }

  @Test func whatWasNeverWrittenIsTheFillValue() throws {
    let file = try HDF5File.read(ByteSource(mapping: Fixtures.path("keras/storages.h5")))
    #expect(try file.tensor("unwritten").floats() == [Float](repeating: 1.5, count: 6))
    #expect(!file.hasDataset("dangling"))
    #expect(throws: Failure.self) { try file.tensor("text") }
  }

  @Test func linksToOtherFilesAreRefused() throws {
    guard case .failure(let failure) = Self.outcome(try Self.bytes("external.h5")) else { throw Failure(.internalError, "accepted") }
    #expect(failure.code == .externalPathRefused)
  }

  /// A global heap that makes libhdf5 1.10.8 end by a signal.
  @Test func aFileThatTheLibraryFailsOnIsRefused() throws {
    guard case .failure(let failure) = Self.outcome(try Self.bytes("broken_heap.h5")) else { throw Failure(.internalError, "accepted") }
    #expect(failure.code == .malformed)
  }

  /// A bit of a weight that changed after the archive was made: whoever uses the weights is told.
  @Test func changedWeightsOfAnArchiveAreNoticed() throws {
    var bytes = try Self.bytes("nested.keras")
    // Somewhere in the largest member, behind its structure.
    bytes[bytes.count / 2] ^= 4
    let source = ByteSource(bytes, name: "changed.keras")
    var sink = DiagnosticSink()
    let failure = #expect(throws: Failure.self) { try KerasReader.read(source, path: nil, sink: &sink) }
    #expect(failure?.code == .archiveUnreadable)
  }

  /// With `VITCONV_DAMAGE=full` in the environment files are cut at every byte and have 10,000 bits flipped, one at a time.
  private static let isFull = ProcessInfo.processInfo.environment["VITCONV_DAMAGE"] == "full"

  @Test(arguments: ["nested.h5", "nested.keras"])
  func truncatedFilesAreRefused(_ name: String) throws {
    let whole = try Self.bytes(name)
    for length in stride(from: 0, to: whole.count, by: Self.isFull ? 1 : 331) {
      guard case .failure = Self.outcome(Array(whole[..<length])) else {
        Issue.record("\(length) bytes of \(name) were accepted")
        continue
      }
    }
  }

  /// Any answer but a trap or a hang: a flipped bit of a weight or a name leaves a model that can be read.
  @Test(arguments: ["nested.h5", "nested.keras"])
  func flippedBitsGiveAnAnswer(_ name: String) throws {
    let whole = try Self.bytes(name)
    var random = SeededRandom(11)
    var refused = 0
    for _ in 0..<(Self.isFull ? 10_000 : 200) {
      var damaged = whole
      let place = Int(random.next() % UInt64(whole.count))
      damaged[place] ^= 1 << UInt8(random.next() % 8)
      switch Self.outcome(damaged) {
      case .failure(let failure):
        #expect(failure.code != .internalError)
        refused += 1
      case .success: break
      }
    }
    #expect(refused > 0)
  }

  /// Forty models in each other, each called twice by the one around it, would unfold to 2⁴⁰ layers.
  @Test(arguments: [20, 40])
  func modelsThatDoubleAtEveryLevelAreRefused(_ levels: Int) throws {
    func tensor(_ layer: String) -> String {
      #"{"class_name":"__keras_tensor__","config":{"shape":[null,4],"dtype":"float32","keras_history":["\#(layer)",0,0]}}"#
    }
    let input = #"{"class_name":"InputLayer","name":"in","config":{"batch_shape":[null,4],"dtype":"float32","name":"in"},"inbound_nodes":[]}"#
    func call(_ layer: String) -> String { #"{"args":[\#(tensor(layer))],"kwargs":{}}"# }
    var model =
      #"{"name":"l","input_layers":[["in",0,0]],"output_layers":[["r",0,0]],"layers":[\#(input),"#
      + #"{"class_name":"ReLU","name":"r","config":{"name":"r","dtype":"float32"},"inbound_nodes":[\#(call("in"))]}]}"#
    for level in 0..<levels {
      model =
        #"{"name":"l\#(level)","input_layers":[["in",0,0]],"output_layers":[["m",2,0]],"layers":[\#(input),"#
        + #"{"class_name":"Functional","name":"m","config":\#(model),"inbound_nodes":[\#(call("in")),\#(call("m"))]}]}"#
    }
    let folder = NSTemporaryDirectory() + "doubling-\(UUID().uuidString)/"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "m.config.json"
    try Data(#"{"class_name":"Functional","config":\#(model)}"#.utf8).write(to: URL(fileURLWithPath: path))
    try HDF5Writer.write(to: folder + "m.weights.h5") { (writer) throws(Failure) in try writer.group("layers") }
    var sink = DiagnosticSink()
    let failure = #expect(throws: Failure.self) { try KerasReader.read(ByteSource(mapping: path), path: path, sink: &sink) }
    #expect(failure?.code == .limitExceeded)
  }

  @Test func safetensorsAreCheckedBeforeTheyAreBelieved() throws {
    func file(_ header: String, data: Int) -> [UInt8] {
      (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> ($0 * 8)) } + Array(header.utf8) + [UInt8](repeating: 0, count: data)
    }
    let cases: [(String, Int, DiagnosticCode)] = [
      (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4, .truncated),
      (#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8, .payloadMismatch),
      (#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#, 8, .sizeOverflow),
      (#"{"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}}"#, 8, .unknownElementType),
      (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12, .malformed),
    ]
    for (header, data, code) in cases {
      guard case .failure(let failure) = Self.outcome(file(header, data: data)) else {
        Issue.record("accepted: \(header)")
        continue
      }
      #expect(failure.code == code)
    }
  }
}
