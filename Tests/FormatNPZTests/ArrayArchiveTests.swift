import Diagnostics
import FormatNPZ
import Foundation
import TestSupport
import Tensors
import Testing

@Suite struct ArrayArchiveTests {
  private static func samples() throws -> [(name: String, tensor: Tensor)] {
    [
      ("float32", try Tensor(float32: [1, -2.5, .infinity, 0.1, 5, 6], dims: [2, 3])),
      ("float64", try Tensor(float64: [Double.pi], dims: [])),
      ("float16", try Tensor(.float16, dims: [2], values: [Float16(1.5), -0.25])),
      ("bool", try Tensor(.bool, dims: [3], values: [UInt8(1), 0, 1])),
      ("int8", try Tensor(.int8, dims: [2], values: [Int8(-128), 127])),
      ("uint8", try Tensor(.uint8, dims: [2, 1], values: [UInt8(0), 255])),
      ("int16", try Tensor(.int16, dims: [1], values: [Int16(-300)])),
      ("uint16", try Tensor(.uint16, dims: [1], values: [UInt16(65535)])),
      ("int32", try Tensor(.int32, dims: [1, 1], values: [Int32.min])),
      ("uint32", try Tensor(.uint32, dims: [1], values: [UInt32.max])),
      ("int64", try Tensor(int64: [.min, .max], dims: [2])),
      ("uint64", try Tensor(.uint64, dims: [1], values: [UInt64.max])),
      ("complex64", try Tensor(.complex64, dims: [1], values: [Float(1), 2])),
      ("complex128", try Tensor(.complex128, dims: [1], values: [1.0, 2.0])),
      ("/encoder/blöcke.0/out", try Tensor(float32: [], dims: [0, 4])),
    ]
  }

  @Test func writtenArraysAreReadBack() throws {
    let scratch = try Scratch()
    let samples = try Self.samples()
    try ArrayArchive(samples).write(to: scratch.file("a.npz"))
    let read = try ArrayArchive.read(path: scratch.file("a.npz"))
    #expect(read.names == samples.map(\.name))
    for (got, want) in zip(read.entries, samples) {
      #expect(got.tensor.elementType == want.tensor.elementType && got.tensor.dims == want.tensor.dims)
      #expect(got.tensor.elements(as: UInt8.self) == want.tensor.elements(as: UInt8.self), "\(got.name)")
    }
    try ArrayArchive(samples).write(to: scratch.file("b.npz"))
    let bytes = FileManager.default.contents(atPath: scratch.file("a.npz"))
    #expect(bytes != nil && bytes == FileManager.default.contents(atPath: scratch.file("b.npz")), "equal arrays, equal bytes")
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).sorted() == ["a.npz", "b.npz"])
  }

  @Test func noArraysAtAll() throws {
    let scratch = try Scratch()
    try ArrayArchive().write(to: scratch.file("a.npz"))
    #expect(try ArrayArchive.read(path: scratch.file("a.npz")).entries.isEmpty)
  }

  @Test func bfloat16IsWidened() throws {
    let scratch = try Scratch()
    try ArrayArchive([("x", try Tensor(.bfloat16, dims: [2], values: [UInt16(0x3FC0), 0xC000]))]).write(to: scratch.file("a.npz"))
    let x = try #require(try ArrayArchive.read(path: scratch.file("a.npz"))["x"])
    #expect(x.elementType == .float32 && x.floats() == [1.5, -2])
  }

  @Test func whatNumPyLacksIsRefused() throws {
    let scratch = try Scratch()
    let four = ArrayArchive([("x", try Tensor(.int4, dims: [2], values: [UInt8(0x21)]))])
    let failure = #expect(throws: Failure.self) { try four.write(to: scratch.file("a.npz")) }
    #expect(failure?.code == .notExpressible && failure?.at.element == "x")
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty, "nothing is left behind")
  }

  @Test func npyHeaderBytes() throws {
    let scratch = try Scratch()
    try ArrayArchive([("x", try Tensor(float32: [1], dims: [1]))]).write(to: scratch.file("a.npz"))
    let bytes = try #require(FileManager.default.contents(atPath: scratch.file("a.npz")))
    // Local file header: 30 bytes and the name; stored; then a .npy 1.0 whose data start at a multiple of 64.
    #expect(bytes.starts(with: [0x50, 0x4B, 3, 4]) && bytes[8] == 0)
    let npy = bytes.dropFirst(30 + Int(bytes[26]) + Int(bytes[28]))
    let start = npy.startIndex
    #expect(npy.starts(with: [0x93] + Array("NUMPY".utf8) + [1, 0]))
    let length = Int(npy[start + 8]) + Int(npy[start + 9]) << 8
    #expect((10 + length) % 64 == 0)
    #expect(String(decoding: npy[(start + 10)..<(start + 10 + length)], as: UTF8.self).hasPrefix("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"))
    #expect(Array(npy[(start + 10 + length)..<(start + 14 + length)]) == [0, 0, 0x80, 0x3F])
  }

  @Test func missingFileAndWrongFile() throws {
    let scratch = try Scratch()
    #expect(throws: Failure.self) { try ArrayArchive.read(path: scratch.file("none.npz")) }
    try Data("hello".utf8).write(to: URL(fileURLWithPath: scratch.file("text.npz")))
    let failure = #expect(throws: Failure.self) { try ArrayArchive.read(path: scratch.file("text.npz")) }
    #expect(failure?.code == .archiveUnreadable && failure?.at.file == scratch.file("text.npz"))
    try Data().write(to: URL(fileURLWithPath: scratch.file("empty.npz")))
    #expect(throws: Failure.self) { try ArrayArchive.read(path: scratch.file("empty.npz")) }
  }
}
