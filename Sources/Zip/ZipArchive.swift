public import Bytes
internal import CZip
public import Diagnostics

/// The members of a zip archive that lies in memory, as libzip reads its directory. Nothing is extracted: stored members
/// are ranges of the archive.
///
/// What the directory declares is checked before it is believed: names that occur twice, sizes, members that together take
/// more than the archive has.
public struct ZipArchive: Sendable {
  public struct Member: Sendable {
    public var name: String
    var index: UInt64
    var packedSize: Int
    /// Unpacked bytes, as declared.
    public var size: Int
    var packing: Packing
  }

  enum Packing: Sendable {
    case stored, deflated
    /// Why it cannot be read.
    case unreadable(String)
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

  /// - Throws: `archiveUnreadable`, `limitExceeded`, `externalPathRefused` (see `Names`).
  public init(_ source: ByteSource, names: Names, limits: ReadLimits = .standard) throws(Failure) {
    members = try unsafe source.withUnsafeBytes(in: 0..<source.count) { (bytes) throws(Failure) in
      try unsafe OpenArchive(bytes, name: source.name).members(names, limits)
    }
    self.source = source
    places = Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1.name, $0) })
  }

  public subscript(name: String) -> Member? { places[name].map { members[$0] } }

  /// Opens the archive for reading members one after another.
  public func reading<R>(_ body: (borrowing OpenArchive) throws(Failure) -> R) throws(Failure) -> R {
    try unsafe source.withUnsafeBytes(in: 0..<source.count) { (bytes) throws(Failure) in
      try body(try unsafe OpenArchive(bytes, name: source.name))
    }
  }

  /// A member's bytes, as a range of the archive where they are stored plainly; nil where there is no such member. The
  /// checksum of stored ones is left to `compareChecksum`.
  ///
  /// - Parameter limit: the most bytes that it may have.
  /// - Throws: `archiveUnreadable`, `limitExceeded`.
  public func content(of name: String, limit: Int) throws(Failure) -> (source: ByteSource, range: Range<Int>)? {
    guard let member = self[name] else { return nil }
    let place = ModelLocation(file: source.name, element: name)
    guard member.size <= limit else { throw Failure(.limitExceeded, "declares \(member.size) bytes", at: place) }
    if case .stored = member.packing {
      let start = try reading { (archive) throws(Failure) in try archive.start(of: member) }
      return (source, start..<(start + member.size))
    }
    // Text and weights pack less than this; what packs better was made to fill memory.
    guard member.size <= 1 << 20 || member.size / 64 <= member.packedSize else {
      throw Failure(.limitExceeded, "declares \(member.size) bytes, packed into \(member.packedSize)", at: place)
    }
    let bytes = try reading { (archive) throws(Failure) in
      try archive.read(member) { (reader) throws(Failure) in try reader.read(member.size) }
    }
    return (ByteSource(bytes, name: source.name), 0..<bytes.count)
  }

  /// Compares the checksum of a member that is read in place; a packed one was compared when it was unpacked. Pages of a
  /// mapped file are given back.
  ///
  /// - Throws: `archiveUnreadable`.
  public func compareChecksum(of name: String) throws(Failure) {
    guard let member = self[name], case .stored = member.packing, let start = try content(of: name, limit: .max)?.range.lowerBound else { return }
    try reading { (archive) throws(Failure) in
      try archive.read(member) { (reader) throws(Failure) in
        let step = 1 << 20
        var piece = [UInt8](repeating: 0, count: min(step, member.size))
        for done in stride(from: 0, to: member.size, by: step) {
          let count = min(step, member.size - done)
          var span = piece.mutableSpan
          try unsafe span.withUnsafeMutableBytes { (target) throws(Failure) in
            try unsafe reader.read(into: UnsafeMutableRawBufferPointer(rebasing: target[..<count]))
          }
          source.forgetPages(of: (start + done)..<(start + done + count))
        }
      }
    }
  }
}
