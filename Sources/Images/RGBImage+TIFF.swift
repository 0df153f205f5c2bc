internal import Diagnostics

extension RGBImage {
  /// Baseline TIFF: the first picture of a file, in strips without compression or packed bits, 8 bits a sample, gray,
  /// RGB or by palette.
  static func decodeTIFF(_ file: PictureBytes) throws(Failure) -> RGBImage {
    let isBig = try file.byte(0) == 0x4D
    func number(_ offset: Int, _ width: Int) throws(Failure) -> Int { try file.number(offset, width: width, bigEndian: isBig) }
    let directory = try number(4, 4)
    var fields: [Int: (type: Int, count: Int, at: Int)] = [:]
    for index in 0..<(try number(directory, 2)) {
      let entry = directory + 2 + index * 12
      let (type, count) = (try number(entry + 2, 2), try number(entry + 4, 4))
      let size = [1: 1, 3: 2, 4: 4][type] ?? 0
      guard size > 0 else { continue }
      fields[try number(entry, 2)] = (type, count, count * size <= 4 ? entry + 8 : try number(entry + 8, 4))
    }
    func values(_ tag: Int) throws(Failure) -> [Int] {
      guard let field = fields[tag] else { return [] }
      let size = [1: 1, 3: 2, 4: 4][field.type] ?? 1
      _ = try file.slice(field.at, field.count * size)
      var result: [Int] = []
      for index in 0..<field.count { result.append(try number(field.at + index * size, size)) }
      return result
    }
    func value(_ tag: Int, _ standard: Int) throws(Failure) -> Int { try values(tag).first ?? standard }
    let (width, height) = (try value(256, 0), try value(257, 0))
    let byteCount = try checkedByteCount(width: width, height: height)
    let samples = try value(277, 1)
    let compression = try value(259, 1)
    let photometric = try value(262, 1)
    guard try values(258).allSatisfy({ $0 == 8 }), fields[258] != nil else { throw unsupported("TIFF of \(try values(258)) bits a sample") }
    guard compression == 1 || compression == 32773 else { throw unsupported("TIFF with compression \(compression)") }
    guard 0...3 ~= photometric, 1...8 ~= samples, photometric != 2 || samples >= 3, try value(284, 1) == 1, fields[322] == nil else {
      throw unsupported("TIFF of photometric interpretation \(photometric) with \(samples) samples, in planes or tiles")
    }
    let (offsets, counts) = (try values(273), try values(279))
    guard !offsets.isEmpty, offsets.count == counts.count else { throw damaged("the TIFF names no strips") }
    let expected = width * height * samples
    var data: [UInt8] = []
    for (offset, count) in zip(offsets, counts) where data.count < expected {
      let strip = try file.slice(offset, count)
      if compression == 1 { data += strip } else { try unpack(strip, into: &data, limit: expected) }
    }
    guard data.count >= expected else { throw damaged("the TIFF's strips are too short") }
    let palette = try values(320)
    guard photometric != 3 || palette.count == 768 else { throw damaged("a palette of \(palette.count) numbers") }
    var pixels = [UInt8](repeating: 0, count: byteCount)
    for place in 0..<width * height {
      for channel in 0..<3 {
        let sample = data[place * samples + (photometric == 2 ? channel : 0)]
        pixels[place * 3 + channel] =
          switch photometric {
          case 0: 255 - sample
          case 3: UInt8(truncatingIfNeeded: palette[channel * 256 + Int(sample)] >> 8)
          default: sample
          }
      }
    }
    return RGBImage(width: width, height: height, pixels: pixels)
  }

  /// Packed bits: runs of equal bytes, and bytes as they are.
  private static func unpack(_ strip: ArraySlice<UInt8>, into data: inout [UInt8], limit: Int) throws(Failure) {
    var rest = strip
    while let head = rest.popFirst(), data.count < limit {
      if head < 128 {
        guard rest.count > Int(head) else { throw damaged("a packed strip ends early") }
        data += rest.prefix(Int(head) + 1)
        rest.removeFirst(Int(head) + 1)
      } else if head > 128 {
        guard let byte = rest.popFirst() else { throw damaged("a packed strip ends early") }
        data += [UInt8](repeating: byte, count: 257 - Int(head))
      }
    }
  }
}
