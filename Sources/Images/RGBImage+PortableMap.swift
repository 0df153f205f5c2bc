internal import Diagnostics

extension RGBImage {
  /// PBM, PGM and PPM, as text (P1 to P3) or binary (P4 to P6); up to 16 bits a sample.
  static func decodePortableMap(_ file: PictureBytes) throws(Failure) -> RGBImage {
    var position = 2
    func skipSpace() throws(Failure) {
      while true {
        switch try file.byte(position) {
        case 0x09...0x0D, 0x20: position += 1
        case 0x23: while try file.byte(position) != 0x0A { position += 1 }
        default: return
        }
      }
    }
    func number() throws(Failure) -> Int {
      try skipSpace()
      var value = 0
      let start = position
      while position < file.count, 0x30...0x39 ~= (try file.byte(position)), value < 1 << 30 {
        value = value * 10 + (try file.byte(position)) - 0x30
        position += 1
      }
      guard position > start else { throw damaged("the PNM header is damaged") }
      return value
    }
    let kind = try file.byte(1) - 0x30
    let (width, height) = (try number(), try number())
    let isBits = kind == 1 || kind == 4
    let most = isBits ? 1 : try number()
    guard 1...65535 ~= most else { throw damaged("samples up to \(most)") }
    let channels = kind == 3 || kind == 6 ? 3 : 1
    var pixels = [UInt8](repeating: 0, count: try checkedByteCount(width: width, height: height))
    // One white space ends the header.
    position += 1
    let bytes = most > 255 ? 2 : 1
    if kind == 4 { _ = try file.slice(position, (width + 7) / 8 * height) }
    if kind > 4 { _ = try file.slice(position, width * height * channels * bytes) }
    func sample(_ index: Int) throws(Failure) -> UInt8 {
      let value: Int
      switch kind {
      case 1:
        try skipSpace()
        value = 1 - (try file.byte(position) - 0x30)
        position += 1
      case 2, 3: value = try number()
      case 4:
        let (y, x) = (index / width, index % width)
        value = 1 - (try file.byte(position + y * ((width + 7) / 8) + x / 8) >> (7 - x % 8) & 1)
      default: value = try file.number(position + index * bytes, width: bytes, bigEndian: true)
      }
      guard 0...most ~= value else { throw damaged("a sample of \(value) above \(most)") }
      return UInt8((value * 255 + most / 2) / most)
    }
    for place in 0..<width * height {
      for channel in 0..<channels { pixels[place * 3 + channel] = try sample(place * channels + channel) }
      if channels == 1 {
        pixels[place * 3 + 1] = pixels[place * 3]
        pixels[place * 3 + 2] = pixels[place * 3]
      }
    }
    return RGBImage(width: width, height: height, pixels: pixels)
  }
}
