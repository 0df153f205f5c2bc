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
