internal import Diagnostics

extension RGBImage {
  /// BMP without compression: 1, 4 and 8 bits with a palette, 24 and 32 bits.
  static func decodeBitmap(_ file: PictureBytes) throws(Failure) -> RGBImage {
    let first = try file.number(10, width: 4)
    let header = try file.number(14, width: 4)
    // OS/2's header has sizes of 16 bits and a palette of three bytes a color.
    let isOld = header == 12
    guard isOld || header >= 40 else { throw unsupported("BMP with a header of \(header) bytes") }
    let width = try file.number(18, width: isOld ? 2 : 4)
    let rawHeight = try file.number(isOld ? 20 : 22, width: isOld ? 2 : 4)
    let isTopDown = !isOld && rawHeight >= 1 << 31
    let height = isTopDown ? 1 << 32 - rawHeight : rawHeight
    let bits = try file.number(isOld ? 24 : 28, width: 2)
    let compression = isOld ? 0 : try file.number(30, width: 4)
    guard compression == 0 || compression == 3 && bits == 32 else { throw unsupported("BMP with compression \(compression)") }
    guard [1, 4, 8, 24, 32].contains(bits) else { throw unsupported("BMP of \(bits) bits") }
    let count = try checkedByteCount(width: width, height: height)
    var palette: [(Int, Int, Int)] = []
    if bits <= 8 {
      let given = isOld ? 0 : try file.number(46, width: 4)
      let size = isOld ? 3 : 4
      for index in 0..<min(given == 0 ? 1 << bits : given, 1 << bits) {
        let at = 14 + header + index * size
        palette.append((try file.byte(at + 2), try file.byte(at + 1), try file.byte(at)))
      }
    }
    let row = (width * bits + 31) / 32 * 4
    _ = try file.slice(first, row * height)
    var pixels = [UInt8](repeating: 0, count: count)
    for y in 0..<height {
      let start = first + (isTopDown ? y : height - 1 - y) * row
      for x in 0..<width {
        let color: (Int, Int, Int)
        if bits <= 8 {
          let bit = x * bits
          let index = try file.byte(start + bit / 8) >> (8 - bits - bit % 8) & (1 << bits - 1)
          guard palette.indices.contains(index) else { throw damaged("a color outside the palette") }
          color = palette[index]
        } else {
          let at = start + x * bits / 8
          color = (try file.byte(at + 2), try file.byte(at + 1), try file.byte(at))
        }
        let target = (y * width + x) * 3
        (pixels[target], pixels[target + 1], pixels[target + 2]) = (UInt8(color.0), UInt8(color.1), UInt8(color.2))
      }
    }
    return RGBImage(width: width, height: height, pixels: pixels)
  }
}
