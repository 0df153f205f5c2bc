import Bytes
import Diagnostics
import FormatHDF5
import FormatKeras
import FormatNPZ
import Foundation
import GraphIR
import TestSupport
import Tensors
import Testing

/// Every way of storing arrays gives what h5py reads, or a refusal (`fixtures/make/hdf5_storages.py`).
@Suite struct HDF5StorageTests {
  @Test(arguments: ["layouts_old", "layouts_new", "types"])
  func arraysAreThoseThatTheirWriterReads(_ name: String) throws {
    let file = try HDF5File.read(ByteSource(mapping: Fixtures.path("keras/\(name).h5")))
    let expected = try ArrayArchive.read(path: Fixtures.path("keras/\(name).npz"))
    for (path, values) in expected.entries {
      let tensor = try file.tensor(path)
      #expect(tensor.dims == values.dims, "\(path)")
      // NumPy has no bfloat16, and its bits of an unusual width are those of a wider type.
      if tensor.elementType == values.elementType {
        #expect(unsafe tensor.withUnsafeBytes { unsafe Array($0) } == values.withUnsafeBytes { unsafe Array($0) }, "\(path)")
      } else {
        #expect(tensor.doubles() == values.doubles(), "\(path)")
      }
    }
    // What the archive does not hold is no array, or one whose filter is not at hand.
    for path in file.allDatasetPaths where expected[path] == nil && !path.contains("up/") {
      let failure = #expect(throws: Failure.self, "\(path)") { try file.tensor(path) }
      #expect(failure?.code == (path == "lzf" ? .unsupportedVersion : .typeMismatch), "\(path)")
    }
  }

  @Test func bigEndianAndUnusualWidthsHaveUsualTypes() throws {
    let file = try HDF5File.read(ByteSource(mapping: Fixtures.path("keras/types.h5")))
    let types: [(String, ElementType)] = [
      ("big_f2", .float16), ("bfloat16", .bfloat16), ("float24", .float32), ("float8", .float32), ("extended", .float64), ("int3_big", .int32),
      ("int5_little", .int64), ("uint20", .uint32), ("bool", .bool), ("odd_bool", .bool),
    ]
    for (path, type) in types { #expect(try file.tensor(path).elementType == type, "\(path)") }
  }

  /// Arrays without an architecture are told under the names of the file, and a copy of them has the same.
  @Test(arguments: ["copy.h5", "copy.safetensors"])
  func copiesKeepNamesAndElements(_ name: String) throws {
    func arrays(_ path: String) throws -> [String: [UInt8]] {
      var sink = DiagnosticSink()
      let graph = try KerasReader.read(ByteSource(mapping: path), path: nil, sink: &sink).graph
      var result: [String: [UInt8]] = [:]
      for value in graph.outputs {
        let tensor = try #require(graph.constant(value))
        result["\(graph[value].name): \(tensor.type)"] = unsafe tensor.withUnsafeBytes { unsafe Array($0) }
      }
      return result
    }
    let original = Fixtures.path("keras/types.h5")
    let copy = NSTemporaryDirectory() + "\(UUID().uuidString)-\(name)"
    defer { try? FileManager.default.removeItem(atPath: copy) }
    var sink = DiagnosticSink()
    let graph = try KerasReader.read(ByteSource(mapping: original), path: nil, sink: &sink).graph
    // What is no array of numbers is told of.
    #expect(sink.diagnostics.filter { $0.code == .typeMismatch }.count == 10)
    if name.hasSuffix(".h5") { try WeightsWriter.writeHDF5(graph, to: copy) } else { try WeightsWriter.writeSafetensors(graph, to: copy) }
    let expected = try arrays(original)
    #expect(expected.keys.contains("große/Gewichte 重み: float32[3]"))
    #expect(try arrays(copy) == expected)
  }
}
