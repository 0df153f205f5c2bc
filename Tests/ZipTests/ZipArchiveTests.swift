import Bytes
import Diagnostics
import Foundation
import TestSupport
import Testing
import Zip

/// Archives as others write them, and archives that lie.
@Suite struct ZipArchiveTests {
  private static func little(_ value: Int, _ width: Int) -> [UInt8] { (0..<width).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }

  /// A member whose fields may be anything.
  private struct Member {
    var name = Array("a.txt".utf8)
    var data = Array("hello hello hello".utf8)
    var checksum = 0xE5F9_8880
    var method = 0
    var flags = 0
    var packedSize: Int?
    var size: Int?
    var offset: Int?
    var attributes = 0
    /// Whether the directory says sizes and place in zip64's fields.
    var isLarge = false
    /// Whether the sizes stand behind the data alone.
    var hasDescriptor = false
  }

  private static func zip(_ members: [Member], entries: Int? = nil, start: Int? = nil) -> ByteSource {
    var bytes: [UInt8] = []
    var directory: [UInt8] = []
    for member in members {
      let offset = member.offset ?? bytes.count
      let packedSize = member.packedSize ?? member.data.count
      let size = member.size ?? member.data.count
      let flags = member.flags | (member.hasDescriptor ? 8 : 0)
      let beginning = little(45, 2) + little(flags, 2) + little(member.method, 2) + [0, 0, 0x21, 0]
      let known = member.hasDescriptor ? [UInt8](repeating: 0, count: 12) : little(member.checksum, 4) + little(packedSize, 4) + little(size, 4)
      bytes += [0x50, 0x4B, 3, 4] + beginning + known + little(member.name.count, 2) + [0, 0] + member.name + member.data
      if member.hasDescriptor { bytes += [0x50, 0x4B, 7, 8] + little(member.checksum, 4) + little(packedSize, 4) + little(size, 4) }
      let large = member.isLarge ? [1, 0, 24, 0] + little(size, 8) + little(packedSize, 8) + little(offset, 8) : []
      directory += [0x50, 0x4B, 1, 2] + little(0x32D, 2) + beginning + little(member.checksum, 4)
      directory += little(member.isLarge ? -1 : packedSize, 4) + little(member.isLarge ? -1 : size, 4)
      directory += little(member.name.count, 2) + little(large.count, 2) + [0, 0, 0, 0, 0, 0] + little(member.attributes, 4)
      directory += little(member.isLarge ? -1 : offset, 4) + member.name + large
    }
    let place = bytes.count
    bytes += directory + [0x50, 0x4B, 5, 6, 0, 0, 0, 0] + little(entries ?? members.count, 2) + little(entries ?? members.count, 2)
    return ByteSource(bytes + little(directory.count, 4) + little(start ?? place, 4) + [0, 0], name: "made.zip")
  }

  private func code(_ source: ByteSource, _ name: String = "a.txt", limit: Int = 1 << 20) -> DiagnosticCode? {
    do throws(Failure) {
      let archive = try ZipArchive(source, names: .paths)
      guard try archive.content(of: name, limit: limit) != nil else { return .missingPart }
      try archive.compareChecksum(of: name)
      return nil
    } catch {
      return error.code
    }
  }

  private static let deflated: [UInt8] = [0xCB, 0x48, 0xCD, 0xC9, 0xC9, 0x57, 0xC8, 0x40, 0x90, 0x00]

  @Test func storedDeflatedAndLargeMembersAreRead() throws {
    let plain = Member()
    let packed = Member(data: Self.deflated, method: 8, size: 17)
    for member in [plain, packed] {
      for isLarge in [false, true] {
        for hasDescriptor in [false, true] {
          var own = member
          own.isLarge = isLarge
          own.hasDescriptor = hasDescriptor
          let source = Self.zip([own])
          #expect(code(source) == nil)
          let content = try #require(try ZipArchive(source, names: .paths).content(of: "a.txt", limit: 17))
          #expect(content.source.bytes(in: content.range) == plain.data)
        }
      }
    }
    #expect(code(Self.zip([plain]), limit: 16) == .limitExceeded)
    #expect(code(Self.zip([])) != nil, "no member, no signature at the start, and none of this name")
  }

  @Test func whatLiesIsRefused() {
    let packed = Member(data: Self.deflated, method: 8, size: 17)
    func changed(_ member: Member = Member(), _ change: (inout Member) -> Void) -> ByteSource {
      var own = member
      change(&own)
      return Self.zip([own])
    }
    #expect(code(changed { $0.checksum ^= 1 }) == .archiveUnreadable, "stored bytes with another checksum")
    #expect(code(changed(packed) { $0.checksum ^= 1 }) == .archiveUnreadable, "deflated bytes with another checksum")
    #expect(code(changed(packed) { $0.size = 16 }) == .archiveUnreadable, "more than declared")
    #expect(code(changed(packed) { $0.size = 18 }) == .archiveUnreadable, "less than declared")
    #expect(code(changed(packed) { $0.data[0] = 0xFF }) == .archiveUnreadable, "no deflate")
    #expect(code(changed(packed) { $0.data.removeLast(3) }) == .archiveUnreadable, "a stream that is cut")
    #expect(code(changed(packed) { $0.size = 1 << 19 }) == .limitExceeded, "more than deflate packs")
    #expect(code(changed { $0.size = 16 }) == .archiveUnreadable, "two sizes of stored bytes")
    #expect(code(changed { $0.method = 93 }) == .archiveUnreadable)
    for flags in [1, 1 | 1 << 6] { #expect(code(changed { $0.flags = flags }) == .archiveUnreadable, "encrypted") }
    #expect(code(changed { $0.offset = 1 }) == .archiveUnreadable)
    #expect(code(changed { $0.offset = 0x7FFF_FFFF }) == .archiveUnreadable)
    #expect(code(changed { $0.packedSize = 0x7FFF_FFFF }) == .archiveUnreadable)
    #expect(code(changed { member in (member.isLarge, member.offset) = (true, .max) }) == .archiveUnreadable)
    #expect(code(changed { member in (member.isLarge, member.packedSize) = (true, .max) }) == .archiveUnreadable)
    #expect(code(changed { member in (member.isLarge, member.size) = (true, -1) }) == .archiveUnreadable, "above every size")
    #expect(code(changed { $0.name = [0xFF, 0xFE] }) == .archiveUnreadable)
    #expect(code(changed { $0.name = [] }) == .archiveUnreadable)
    #expect(code(Self.zip([Member(), Member()])) == .archiveUnreadable, "one name twice")
    #expect(code(Self.zip([Member()], entries: 2)) == .archiveUnreadable)
    #expect(code(Self.zip([Member()], entries: 0)) != nil, "no member of this name")
    #expect(code(Self.zip([Member()], start: 3)) == .archiveUnreadable)
    // A thousand members that all are the same bytes.
    #expect(code(Self.zip((0..<1000).map { Member(name: Array("m\($0)".utf8), packedSize: 40_000, size: 40_000, offset: 0) }), "m1") == .archiveUnreadable)
  }

  @Test(arguments: ["/etc/passwd", "../a", "a/../../b", "a\\b"])
  func namesThatLeadOutAreRefusedWhereTheyArePaths(_ name: String) throws {
    let source = Self.zip([Member(name: Array(name.utf8))])
    #expect(code(source, name) == .externalPathRefused)
    #expect(try ZipArchive(source, names: .words).members.map(\.name) == [name])
  }

  @Test func linksAreRefused() {
    #expect(code(Self.zip([Member(attributes: 0o120777 << 16)])) == .externalPathRefused)
    #expect(code(Self.zip([Member(attributes: 0o100644 << 16)])) == nil)
  }

  @Test func cutAnywhere() {
    let source = Self.zip([Member(), Member(name: Array("b".utf8), data: Self.deflated, method: 8, size: 17)])
    for count in 0..<source.count { #expect(code(ByteSource(source.bytes(in: 0..<count), name: "cut")) != nil, "\(count)") }
  }

  @Test func whatIsWrittenIsReadBack() throws {
    let scratch = try Scratch()
    try Data("0123456789".utf8).write(to: URL(fileURLWithPath: scratch.file("whole")))
    try ZipWriter.write(to: scratch.file("a.zip")) { (writer) throws(Failure) in
      try writer.add("größe.txt", Array("text".utf8))
      try writer.add("whole", file: scratch.file("whole"))
      try writer.add("empty", [])
      try unsafe writer.add("made", count: 3) { target in unsafe target.copyBytes(from: [1, 2, 3]) }
    }
    let archive = try ZipArchive(ByteSource(mapping: scratch.file("a.zip")), names: .paths)
    #expect(archive.members.map(\.name) == ["größe.txt", "whole", "empty", "made"])
    for (name, bytes) in [("größe.txt", Array("text".utf8)), ("whole", Array("0123456789".utf8)), ("empty", []), ("made", [1, 2, 3])] {
      let content = try #require(try archive.content(of: name, limit: 100))
      #expect(content.source.bytes(in: content.range) == bytes)
      try archive.compareChecksum(of: name)
    }
    #expect(scratch.contents == ["a.zip", "whole"], "nothing is left beside it")
  }

  /// What cannot be added leaves no archive, whole or half.
  @Test func aFailureWritesNothing() throws {
    let scratch = try Scratch()
    for name in ["zero\0", String(repeating: "x", count: 70_000)] {
      #expect(throws: Failure.self) {
        try ZipWriter.write(to: scratch.file("a.zip")) { (writer) throws(Failure) in
          try writer.add("first", [1])
          try writer.add(name, [2])
        }
      }
    }
    #expect(throws: Failure.self) {
      try ZipWriter.write(to: scratch.file("a.zip")) { (writer) throws(Failure) in try writer.add("gone", file: scratch.file("missing")) }
    }
    #expect(scratch.contents.isEmpty)
  }

  @Test func anArchiveMayBeEmpty() throws {
    let scratch = try Scratch()
    try ZipWriter.write(to: scratch.file("a.zip")) { (_) throws(Failure) in }
    #expect(try ZipArchive(ByteSource(mapping: scratch.file("a.zip")), names: .words).members.isEmpty)
  }

  /// More members than 16 bits count: zip64's records at the end.
  @Test func moreMembersThanTheOldRecordCounts() throws {
    let scratch = try Scratch()
    try ZipWriter.write(to: scratch.file("a.zip")) { (writer) throws(Failure) in
      for index in 0..<66_000 { try writer.add("\(index)", [UInt8(index & 255)]) }
    }
    let archive = try ZipArchive(ByteSource(mapping: scratch.file("a.zip")), names: .paths)
    #expect(archive.members.count == 66_000)
    let content = try #require(try archive.content(of: "65999", limit: 1))
    #expect(content.source.bytes(in: content.range) == [UInt8(65_999 & 255)])
  }
}
