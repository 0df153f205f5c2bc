internal import Bytes
internal import CZip
internal import Diagnostics
internal import Glibc

/// The members of a zip archive that lies in memory. Stored members are ranges of the archive; deflated ones are unpacked
/// by libzip, which also compares checksums.
///
/// The directory at the archive's end is the only truth. Its entries are checked before they are believed: names (no
/// absolute paths, no '..', no name twice, no links), ranges inside the archive, sizes that deflate can reach.
struct ZipArchive {
  struct Member {
    var name: String
    var method: UInt16
    var flags: UInt16
    var checksum: UInt32
    var packed: Range<Int>
    var size: Int
    var index: UInt64
  }

  let source: ByteSource
  private(set) var members: [String: Member] = [:]

  static func accepts(_ source: ByteSource) -> Bool { source.count >= 4 && source.bytes(in: 0..<4) == [0x50, 0x4B, 0x03, 0x04] }

  init(_ source: ByteSource, limits: ReadLimits) throws(Failure) {
    self.source = source
    members = try source.withBytes { (bytes) throws(Failure) in
      try ZipDirectory(count: bytes.byteCount, limits: limits, name: source.name).members(bytes)
    }
  }

  /// A member's bytes, as a range of the archive where they are stored plainly.
  ///
  /// - Parameter limit: the most bytes that it may have.
  func content(of name: String, limit: Int) throws(Failure) -> (source: ByteSource, range: Range<Int>)? {
    guard let member = members[name] else { return nil }
    let place = ModelLocation(file: source.name, element: name)
    guard member.flags & 1 == 0 else { throw Failure(.archiveUnreadable, "is encrypted", at: place) }
    guard member.size <= limit else { throw Failure(.limitExceeded, "declares \(member.size) bytes", at: place) }
    switch member.method {
    case 0:
      guard member.packed.count == member.size else { throw Failure(.archiveUnreadable, "has two different sizes", at: place) }
      return (source, member.packed)
    case 8:
      // Weights hardly pack; what packs better than this was made to fill memory.
      guard member.size <= 1 << 20 || member.size / 64 <= member.packed.count else {
        throw Failure(.limitExceeded, "declares \(member.size) bytes, packed into \(member.packed.count)", at: place)
      }
      let bytes = try inflated(member)
      return (ByteSource(bytes, name: source.name), 0..<bytes.count)
    default: throw Failure(.archiveUnreadable, "is packed by method \(member.method), known are stored and deflated", at: place)
    }
  }

  private func inflated(_ member: Member) throws(Failure) -> [UInt8] {
    let place = ModelLocation(file: source.name, element: member.name)
    return try unsafe source.withUnsafeBytes(in: 0..<source.count) { (bytes) throws(Failure) in
      var error = unsafe zip_error_t()
      unsafe zip_error_init(&error)
      defer { unsafe zip_error_fini(&error) }
      guard let buffer = unsafe zip_source_buffer_create(bytes.baseAddress, UInt64(bytes.count), 0, &error) else {
        throw Failure(.archiveUnreadable, "is not a zip archive", at: place)
      }
      guard let archive = unsafe zip_open_from_source(buffer, ZIP_RDONLY, &error) else {
        unsafe zip_source_free(buffer)
        throw Failure(.archiveUnreadable, "is not a zip archive", at: place)
      }
      defer { unsafe zip_discard(archive) }
      var status = unsafe zip_stat_t()
      guard unsafe zip_stat_index(archive, member.index, 0, &status) == 0, unsafe status.size == UInt64(member.size),
        let file = unsafe zip_fopen_index(archive, member.index, 0)
      else { throw Failure(.archiveUnreadable, "cannot be opened", at: place) }
      defer { unsafe zip_fclose(file) }
      var result = [UInt8](repeating: 0, count: member.size)
      var done = 0
      while done < member.size {
        let got = unsafe result.withUnsafeMutableBytes { target in
          unsafe zip_fread(file, target.baseAddress.map { unsafe $0 + done }, UInt64(min(target.count - done, 1 << 30)))
        }
        guard got > 0 else { throw Failure(.archiveUnreadable, "is damaged", at: place) }
        done += Int(got)
      }
      var byte: UInt8 = 0
      guard unsafe zip_fread(file, &byte, 1) == 0 else { throw Failure(.archiveUnreadable, "is damaged", at: place) }
      return result
    }
  }
}

/// Walks the central directory (APPNOTE 4.3.12 to 4.3.16; zip64 where sizes need it).
private struct ZipDirectory {
  let count: Int
  let limits: ReadLimits
  let name: String

  private func broken(_ what: String, _ element: String? = nil) -> Failure {
    Failure(.archiveUnreadable, what, at: .init(file: name, element: element))
  }

  private func number(_ bytes: RawSpan, _ offset: Int, _ width: Int) throws(Failure) -> Int {
    guard offset >= 0, offset <= count - width else { throw broken("the archive ends early") }
    var value: UInt64 = 0
    for index in (0..<width).reversed() { value = value << 8 | UInt64(unsafe bytes.unsafeLoad(fromByteOffset: offset + index, as: UInt8.self)) }
    guard let result = Int(exactly: value) else { throw broken("a size is larger than any file") }
    return result
  }

  func members(_ bytes: RawSpan) throws(Failure) -> [String: ZipArchive.Member] {
    var (entries, start) = try end(bytes)
    guard entries <= limits.messages / 46 else { throw Failure(.limitExceeded, "\(entries) members", at: .init(file: name)) }
    var result: [String: ZipArchive.Member] = [:]
    var index: UInt64 = 0
    while entries > 0 {
      guard try number(bytes, start, 4) == 0x0201_4B50 else { throw broken("the directory is damaged") }
      let flags = try number(bytes, start + 8, 2)
      let method = try number(bytes, start + 10, 2)
      let checksum = try number(bytes, start + 16, 4)
      var packed = try number(bytes, start + 20, 4)
      var size = try number(bytes, start + 24, 4)
      let nameLength = try number(bytes, start + 28, 2)
      let extraLength = try number(bytes, start + 30, 2)
      let commentLength = try number(bytes, start + 32, 2)
      let attributes = try number(bytes, start + 38, 4)
      var header = try number(bytes, start + 42, 4)
      let text = try text(bytes, start + 46, nameLength)
      try read64(bytes, start + 46 + nameLength, extraLength, size: &size, packed: &packed, header: &header)
      guard try number(bytes, header, 4) == 0x0403_4B50 else { throw broken("has no header of its own", text) }
      let data = header + 30 + (try number(bytes, header + 26, 2)) + (try number(bytes, header + 28, 2))
      guard packed >= 0, data <= count, packed <= count - data else { throw broken("lies beyond the end of the archive", text) }
      if text.hasPrefix("/") || text.split(separator: "/").contains("..") || text.contains("\\") || text.utf8.contains(0) {
        throw Failure(.externalPathRefused, "the member '\(text)' leads out of the archive", at: .init(file: name, element: text))
      }
      // Unix: the kind of file stands in the upper half.
      guard attributes >> 16 & Int(S_IFMT) != Int(S_IFLNK) else {
        throw Failure(.externalPathRefused, "the member '\(text)' is a link", at: .init(file: name, element: text))
      }
      let member = ZipArchive.Member(
        name: text, method: UInt16(truncatingIfNeeded: method), flags: UInt16(truncatingIfNeeded: flags), checksum: UInt32(truncatingIfNeeded: checksum),
        packed: data..<(data + packed), size: size, index: index)
      guard result.updateValue(member, forKey: text) == nil else { throw broken("two members have this name", text) }
      start += 46 + nameLength + extraLength + commentLength
      entries -= 1
      index += 1
    }
    return result
  }

  /// Number of entries and start of the directory, from the last record of the archive.
  private func end(_ bytes: RawSpan) throws(Failure) -> (Int, Int) {
    var position = count - 22
    while position >= 0, position >= count - 22 - 65535 {
      if try number(bytes, position, 4) == 0x0605_4B50, position + 22 + (try number(bytes, position + 20, 2)) == count {
        var entries = try number(bytes, position + 10, 2)
        var start = try number(bytes, position + 16, 4)
        if entries == 0xFFFF || start == 0xFFFF_FFFF {
          let locator = position - 20
          guard try number(bytes, locator, 4) == 0x0706_4B50 else { throw broken("the directory is damaged") }
          let record = try number(bytes, locator + 8, 8)
          guard try number(bytes, record, 4) == 0x0606_4B50 else { throw broken("the directory is damaged") }
          entries = try number(bytes, record + 32, 8)
          start = try number(bytes, record + 48, 8)
        }
        return (entries, start)
      }
      position -= 1
    }
    throw Failure(.truncated, "the archive has no directory: it is cut or damaged", at: .init(file: name))
  }

  private func text(_ bytes: RawSpan, _ offset: Int, _ length: Int) throws(Failure) -> String {
    guard offset <= count - length else { throw broken("the archive ends early") }
    var result: [UInt8] = []
    for index in 0..<length { result.append(unsafe bytes.unsafeLoad(fromByteOffset: offset + index, as: UInt8.self)) }
    guard let text = String(validating: result, as: UTF8.self), !text.isEmpty else { throw broken("a member's name is not UTF-8") }
    return text
  }

  /// Sizes that do not fit 32 bits stand in an extra field, in this order.
  private func read64(
    _ bytes: RawSpan, _ start: Int, _ length: Int, size: inout Int, packed: inout Int, header: inout Int
  ) throws(Failure) {
    var position = start
    while position + 4 <= start + length {
      let kind = try number(bytes, position, 2)
      let end = position + 4 + (try number(bytes, position + 2, 2))
      guard end <= start + length else { return }
      if kind == 1 {
        var field = position + 4
        if size == 0xFFFF_FFFF, field + 8 <= end { size = try number(bytes, field, 8); field += 8 }
        if packed == 0xFFFF_FFFF, field + 8 <= end { packed = try number(bytes, field, 8); field += 8 }
        if header == 0xFFFF_FFFF, field + 8 <= end { header = try number(bytes, field, 8) }
      }
      position = end
    }
  }
}
