import Bytes
import Diagnostics
import FormatNPZ
import Foundation
import TestSupport
import Tensors
import Testing

/// Broken and malicious archives give a `Failure`, never a trap and never a large allocation.
@Suite struct HostileArchiveTests {
  private struct Member {
    var name = "x.npy"
    var data: [UInt8]
    var packedSize: Int?
    var size: Int?
    var method: UInt16 = 0
    var flags: UInt16 = 0
  }

  /// A zip archive whose fields may lie.
  private static func zip(_ members: [Member]) -> ByteSource {
    func little(_ value: Int, _ width: Int) -> [UInt8] { (0..<width).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
    var bytes: [UInt8] = []
    var directory: [UInt8] = []
    for member in members {
      let name = Array(member.name.utf8)
      // Version, flags, method, time, date, checksum, packed size, size, length of the name.
      var fields: [UInt8] = little(20, 2)
      fields += little(Int(member.flags), 2)
      fields += little(Int(member.method), 2)
      fields += [0, 0, 0x21, 0]
      fields += little(Int(crc32(member.data)), 4)
      fields += little(member.packedSize ?? member.data.count, 4)
      fields += little(member.size ?? member.data.count, 4)
      fields += little(name.count, 2)
      // The directory's entry begins with one more version and ends with six more fields, of which the last is the offset.
      directory += [0x50, 0x4B, 1, 2, 20, 0] + fields
      directory += [UInt8](repeating: 0, count: 12)
      directory += little(bytes.count, 4)
      directory += name
      bytes += [0x50, 0x4B, 3, 4] + fields
      bytes += [0, 0] + name
      bytes += member.data
    }
    var end: [UInt8] = [0x50, 0x4B, 5, 6, 0, 0, 0, 0]
    end += little(members.count, 2) + little(members.count, 2)
    end += little(directory.count, 4) + little(bytes.count, 4) + [0, 0]
    return ByteSource(bytes + directory + end, name: "hostile.npz")
  }

  private static func crc32(_ bytes: [UInt8]) -> UInt32 {
    var crc = UInt32.max
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = (crc >> 1) ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0) }
    }
    return ~crc
  }

  private static func npy(_ dictionary: String, data: [UInt8] = [], version: UInt8 = 1, length: UInt16? = nil) -> [UInt8] {
    let length = length ?? UInt16(dictionary.utf8.count)
    return [0x93] + Array("NUMPY".utf8) + [version, 0, UInt8(length & 0xFF), UInt8(length >> 8)] + Array(dictionary.utf8) + data
  }

  private static func header(_ descr: String, _ shape: String, order: String = "False") -> String {
    "{'descr': \(descr), 'fortran_order': \(order), 'shape': \(shape), }"
  }

  private func code(_ members: [Member]) -> DiagnosticCode? {
    do throws(Failure) {
      _ = try ArrayArchive.read(Self.zip(members))
      return nil
    } catch {
      return error.code
    }
  }

  @Test func theMakerMakesReadableArchives() throws {
    let archive = try ArrayArchive.read(Self.zip([Member(data: Self.npy(Self.header("'<i2'", "(2,)"), data: [1, 0, 2, 0]))]))
    #expect(archive["x"]?.integers() == [1, 2])
    let python2 = try ArrayArchive.read(Self.zip([Member(data: Self.npy(Self.header("\"<i2\"", "(1L, 2L)"), data: [1, 0, 2, 0]))]))
    #expect(python2["x"]?.dims == [1, 2])
  }

  @Test(arguments: [
    ("'|O'", "(1,)"), ("[('a', '<f4')]", "(1,)"), ("'<U4'", "(1,)"), ("'|S4'", "(1,)"), ("'|V8'", "(1,)"), ("'<M8[ns]'", "(1,)"), ("'<f3'", "(1,)"),
    ("''", "(1,)"), ("'<f4'", "(-1,)"), ("'<f4'", "(1.5,)"), ("'<f4'", "(2"), ("'<f4'", "3"), ("'<f4'", "(99999999999999999999,)"), ("'<f4", "(1,)"),
    ("'<f4'", "(2,)"), ("'<f4'", "()()"),
  ])
  func unreadableHeaders(_ descr: String, _ shape: String) {
    #expect(code([Member(data: Self.npy(Self.header(descr, shape), data: [0, 0, 0, 0]))]) == .archiveUnreadable)
  }

  @Test func brokenMembers() {
    let good = Self.npy(Self.header("'<f4'", "(1,)"), data: [0, 0, 0, 0])
    #expect(code([Member(data: good)]) == nil)
    #expect(code([Member(name: "readme.txt", data: good)]) == .archiveUnreadable)
    #expect(code([Member(data: good), Member(data: good)]) == .archiveUnreadable, "twice the same name")
    #expect(code([Member(data: [])]) == .archiveUnreadable)
    #expect(code([Member(data: Array(good.dropLast()))]) == .archiveUnreadable)
    #expect(code([Member(data: good + [0])]) == .archiveUnreadable)
    #expect(code([Member(data: good, method: 12)]) == .archiveUnreadable)
    #expect(code([Member(data: good, flags: 1)]) == .archiveUnreadable, "encrypted")
    #expect(code([Member(data: Self.npy(Self.header("'<f4'", "(1,)"), data: [0, 0, 0, 0], version: 9))]) == .archiveUnreadable)
    #expect(code([Member(data: Self.npy("{}"))]) == .archiveUnreadable)
    #expect(code([Member(data: Self.npy("{'descr': '<f4', 'shape': (), }", data: [0, 0, 0, 0]))]) == .archiveUnreadable)
    #expect(code([Member(data: Self.npy("", length: 0xFFFF))]) == .archiveUnreadable)
    #expect(code([Member(data: Self.npy(Self.header("'<f4'", "(1,)", order: "None"), data: [0, 0, 0, 0]))]) == .archiveUnreadable)
  }

  @Test func sizesThatLie() {
    let huge = Self.npy(Self.header("'<f8'", "(1000000000, 1000)"))
    #expect(code([Member(data: huge)]) == .archiveUnreadable, "the header claims more than the member holds")
    #expect(code([Member(data: huge, size: 0xFFFF_FFFE, method: 8)]) == .limitExceeded, "more than deflate can pack")
    #expect(code([Member(data: huge, packedSize: 1 << 30, size: 1 << 30)]) == .archiveUnreadable)
    #expect(code([Member(data: Self.npy(Self.header("'<f8'", "(4294967296, 4294967296)")))]) == .sizeOverflow)
    #expect(code([Member(data: Self.npy(Self.header("'<f4'", "(" + String(repeating: "1, ", count: 100) + ")"), data: [0, 0, 0, 0]))]) == .limitExceeded)
    #expect(code([Member(data: Self.npy(Self.header("'<f4'", "(0, 9223372036854775807)")))]) == nil, "no elements, no bytes")
  }

  @Test func truncatedAnywhere() throws {
    let bytes = Array(try #require(FileManager.default.contents(atPath: Fixtures.path("data/arrays.npz"))))
    for end in 0..<bytes.count {
      #expect(throws: Failure.self) { try ArrayArchive.read(ByteSource(Array(bytes[..<end]), name: "cut")) }
    }
  }

  @Test(arguments: ["arrays.npz", "arrays_stored.npz"])
  func bitFlips(_ file: String) throws {
    let bytes = Array(try #require(FileManager.default.contents(atPath: Fixtures.path("data/\(file)"))))
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
    var refused = 0
    for _ in 0..<2_000 {
      var damaged = bytes
      for _ in 0...random(3) { damaged[random(bytes.count)] ^= 1 << UInt8(random(8)) }
      do throws(Failure) {
        _ = try ArrayArchive.read(ByteSource(damaged, name: "flipped"))
      } catch {
        refused += 1
      }
    }
    // A flip in a field that readers ignore, such as a time stamp, is harmless; the checksum catches the rest.
    #expect(refused > 1_000)
  }
}
