internal import Bytes
internal import Diagnostics
internal import Glibc

/// Walks the central directory (APPNOTE 4.3.12 to 4.3.16; zip64 where sizes need it).
struct ZipDirectory {
  let count: Int
  let limits: ReadLimits
  let name: String
  let names: ZipArchive.Names

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

  func members(_ bytes: RawSpan) throws(Failure) -> [ZipArchive.Member] {
    var (entries, start) = try end(bytes)
    guard entries <= limits.messages / 46 else { throw Failure(.limitExceeded, "\(entries) members", at: .init(file: name)) }
    var result: [ZipArchive.Member] = []
    var seen: Set<String> = []
    var held = 0
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
      held += packed
      guard held <= count else { throw broken("lies where another member does", text) }
      if names == .paths { try refusePath(text, attributes: attributes) }
      let member = ZipArchive.Member(
        name: text, method: UInt16(truncatingIfNeeded: method), flags: UInt16(truncatingIfNeeded: flags), checksum: UInt32(truncatingIfNeeded: checksum),
        packed: data..<(data + packed), size: size)
      guard seen.insert(text).inserted else { throw broken("two members have this name", text) }
      result.append(member)
      start += 46 + nameLength + extraLength + commentLength
      entries -= 1
    }
    return result
  }

  private func refusePath(_ path: String, attributes: Int) throws(Failure) {
    if path.hasPrefix("/") || path.split(separator: "/").contains("..") || path.contains("\\") || path.utf8.contains(0) {
      throw Failure(.externalPathRefused, "the member '\(path)' leads out of the archive", at: .init(file: name, element: path))
    }
    // Unix: the kind of file stands in the upper half.
    guard attributes >> 16 & Int(S_IFMT) != Int(S_IFLNK) else {
      throw Failure(.externalPathRefused, "the member '\(path)' is a link", at: .init(file: name, element: path))
    }
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
