public import Bytes
internal import CZip
public import Diagnostics

/// Makes a zip archive of plainly stored members, so that readers can map them. Equal members give equal bytes: no clock
/// goes in. What does not fit 32 bits stands in zip64's fields (APPNOTE 4.3 and 4.5.3).
public struct ZipWriter {
  private var content: [OutputSegment] = []
  private var directory: [UInt8] = []
  private var count = 0
  private var position = 0
  /// What a field of 32 bits holds, where the number stands elsewhere.
  private static let elsewhere = 0xFFFF_FFFF

  public init() {}

  /// - Throws: `notExpressible` for names that the format does not hold.
  public mutating func add(_ name: String, _ member: OutputSegment) throws(Failure) {
    let nameBytes = Array(name.utf8)
    guard nameBytes.count <= 0xFFFF, !nameBytes.contains(0) else {
      throw Failure(.notExpressible, "no archive can hold a member of this name", at: .element(name))
    }
    let size = member.count
    let isLarge = size >= ZipWriter.elsewhere
    // Version, flags (the name is UTF-8), method, time, and the first day that a zip archive can tell: 1980-01-01.
    var fields: [UInt8] = little(isLarge ? 45 : 20, 2) + little(0x800, 2) + [0, 0, 0, 0, 0x21, 0]
    fields += little(Int(checksum(member)), 4)
    fields += little(isLarge ? ZipWriter.elsewhere : size, 4) + little(isLarge ? ZipWriter.elsewhere : size, 4)
    fields += little(nameBytes.count, 2)
    let sizes = isLarge ? little(size, 8) + little(size, 8) : []
    let header = [0x50, 0x4B, 3, 4] + fields + little(isLarge ? 20 : 0, 2) + nameBytes + extra(sizes)
    let isFar = position >= ZipWriter.elsewhere
    let entry = sizes + (isFar ? little(position, 8) : [])
    directory += [0x50, 0x4B, 1, 2] + little(45, 2) + fields
    directory += little(entry.isEmpty ? 0 : entry.count + 4, 2)
    // Comment, disk, and two kinds of attributes.
    directory += [UInt8](repeating: 0, count: 10)
    directory += little(min(position, ZipWriter.elsewhere), 4)
    directory += nameBytes + extra(entry)
    content.append(.bytes(header))
    content.append(member)
    position += header.count + size
    count += 1
  }

  /// The whole archive.
  public consuming func segments() -> [OutputSegment] {
    var end: [UInt8] = []
    if count >= 0xFFFF || position >= ZipWriter.elsewhere || directory.count >= ZipWriter.elsewhere {
      end += [0x50, 0x4B, 6, 6] + little(44, 8) + little(45, 2) + little(45, 2) + little(0, 8)
      end += little(count, 8) + little(count, 8) + little(directory.count, 8) + little(position, 8)
      end += [0x50, 0x4B, 6, 7] + little(0, 4) + little(position + directory.count, 8) + little(1, 4)
    }
    end += [0x50, 0x4B, 5, 6, 0, 0, 0, 0] + little(min(count, 0xFFFF), 2) + little(min(count, 0xFFFF), 2)
    end += little(min(directory.count, ZipWriter.elsewhere), 4) + little(min(position, ZipWriter.elsewhere), 4) + [0, 0]
    return content + [.bytes(directory + end)]
  }

  private func extra(_ sizes: [UInt8]) -> [UInt8] { sizes.isEmpty ? [] : [1, 0] + little(sizes.count, 2) + sizes }

  private func little(_ value: Int, _ width: Int) -> [UInt8] { (0..<width).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }

  private func checksum(_ member: OutputSegment) -> UInt32 {
    switch member {
    case .bytes(let bytes): unsafe bytes.withUnsafeBytes { unsafe vc_crc32(0, $0.baseAddress, $0.count) }
    case .source(let source, let range): unsafe source.withUnsafeBytes(in: range) { unsafe vc_crc32(0, $0.baseAddress, $0.count) }
    }
  }
}
