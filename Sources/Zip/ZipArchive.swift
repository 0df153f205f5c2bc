public import Bytes
internal import CZip
public import Diagnostics

/// The members of a zip archive that lies in memory. Nothing is extracted: stored members are ranges of the archive.
///
/// The directory at the archive's end is the only truth. Its entries are checked before they are believed: names that occur
/// twice, ranges outside the archive, members that together take more than the archive has.
public struct ZipArchive: Sendable {
  public struct Member: Sendable {
    public var name: String
    var method: UInt16
    var flags: UInt16
    var checksum: UInt32
    var packed: Range<Int>
    /// Unpacked bytes, as declared.
    public var size: Int
  }

  /// What members' names stand for.
  public enum Names: Sendable {
    /// Files: absolute paths, '..' and links are refused.
    case paths
    /// Anything.
    case words
  }

  public let source: ByteSource
  /// In the order of the directory.
  public let members: [Member]
  private let places: [String: Int]

  /// Whether the content starts like an archive with members.
  public static func accepts(_ source: ByteSource) -> Bool { source.count >= 4 && source.bytes(in: 0..<4) == [0x50, 0x4B, 0x03, 0x04] }

  /// - Throws: `archiveUnreadable`, `truncated`, `limitExceeded`, `externalPathRefused` (see `Names`).
  public init(_ source: ByteSource, names: Names, limits: ReadLimits = .standard) throws(Failure) {
    let members = try source.withBytes { (bytes) throws(Failure) in
      try ZipDirectory(count: bytes.byteCount, limits: limits, name: source.name, names: names).members(bytes)
    }
    self.source = source
    self.members = members
    places = Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1.name, $0) })
  }

  public subscript(name: String) -> Member? { places[name].map { members[$0] } }

  /// A member's bytes, as a range of the archive where they are stored plainly; nil where there is no such member. The
  /// checksum of stored ones is left to `compareChecksum`.
  ///
  /// - Parameter limit: the most bytes that it may have.
  /// - Throws: `archiveUnreadable`, `limitExceeded`.
  public func content(of name: String, limit: Int) throws(Failure) -> (source: ByteSource, range: Range<Int>)? {
    guard let member = self[name] else { return nil }
    guard member.size <= limit else { throw Failure(.limitExceeded, "declares \(member.size) bytes", at: place(member)) }
    if try isStored(member) { return (source, member.packed) }
    // Text and weights pack less than this; what packs better was made to fill memory.
    guard member.size <= 1 << 20 || member.size / 64 <= member.packed.count else {
      throw Failure(.limitExceeded, "declares \(member.size) bytes, packed into \(member.packed.count)", at: place(member))
    }
    let bytes = try read(member) { (reader) throws(Failure) in try reader.read(member.size) }
    return (ByteSource(bytes, name: source.name), 0..<bytes.count)
  }

  /// Reads a member from its start to its end, unpacking it and comparing its checksum.
  ///
  /// - Throws: `archiveUnreadable` where it is damaged or longer than what `body` reads, `limitExceeded` where it declares
  ///   more than its packed bytes can hold, and what `body` throws.
  public func read<R>(_ member: Member, _ body: (borrowing ZipMemberReader) throws(Failure) -> R) throws(Failure) -> R {
    let stored = try isStored(member)
    guard stored || member.size / ZipMemberReader.bestRatio <= member.packed.count else {
      throw Failure(.limitExceeded, "declares \(member.size) bytes, more than \(member.packed.count) packed bytes can hold", at: place(member))
    }
    return try unsafe source.withUnsafeBytes(in: member.packed) { (packed) throws(Failure) in
      let reader = try unsafe ZipMemberReader(packed, isStored: stored, place: place(member))
      let result = try body(reader)
      try reader.expectEnd(checksum: member.checksum)
      return result
    }
  }

  /// Compares the checksum of a member that is read in place; a packed one was compared when it was unpacked. Pages of a
  /// mapped file are given back.
  ///
  /// - Throws: `archiveUnreadable`.
  public func compareChecksum(of name: String) throws(Failure) {
    guard let member = self[name], try isStored(member) else { return }
    var checksum: UInt32 = 0
    let step = 4 << 20
    for start in stride(from: member.packed.lowerBound, to: member.packed.upperBound, by: step) {
      let piece = start..<min(start + step, member.packed.upperBound)
      checksum = unsafe source.withUnsafeBytes(in: piece) { unsafe vc_crc32(checksum, $0.baseAddress, $0.count) }
      source.forgetPages(of: piece)
    }
    guard checksum == member.checksum else { throw Failure(.archiveUnreadable, "is damaged: its checksum is another one", at: place(member)) }
  }

  private func place(_ member: Member) -> ModelLocation { ModelLocation(file: source.name, element: member.name) }

  private func isStored(_ member: Member) throws(Failure) -> Bool {
    // Bit 0: encrypted; 6: strongly; 13: with a hidden directory.
    guard member.flags & 0x2041 == 0 else { throw Failure(.archiveUnreadable, "is encrypted", at: place(member)) }
    switch member.method {
    case 0:
      guard member.packed.count == member.size else { throw Failure(.archiveUnreadable, "has two different sizes", at: place(member)) }
      return true
    case 8: return false
    default: throw Failure(.archiveUnreadable, "is packed by method \(member.method), known are stored and deflated", at: place(member))
    }
  }
}
