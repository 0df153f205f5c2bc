public import Diagnostics

/// Decoded pixels: 8-bit RGB, rows from the top.
public struct RGBImage: Sendable {
  public let width: Int
  public let height: Int
  /// `height * width * 3` bytes.
  public let pixels: [UInt8]

  /// More than any camera takes; a header that claims more is refused before anything is allocated.
  static let pixelLimit = 1 << 27

  /// The formats that are told apart, by their first bytes.
  public enum Format: String, Sendable, CaseIterable {
    case png = "PNG"
    case jpeg = "JPEG"
    case bitmap = "BMP"
    case portableMap = "PNM"
    case tiff = "TIFF"
    case webP = "WebP"
    case jpeg2000 = "JPEG 2000"

    public init?(_ bytes: UnsafeRawBufferPointer) {
      func starts(_ start: [UInt8], at offset: Int = 0) -> Bool {
        bytes.count >= offset + start.count && start.indices.allSatisfy { unsafe bytes[offset + $0] == start[$0] }
      }
      if starts([0x89, 0x50, 0x4E, 0x47]) {
        self = .png
      } else if starts([0xFF, 0xD8, 0xFF]) {
        self = .jpeg
      } else if starts(Array("BM".utf8)) {
        self = .bitmap
      } else if starts([0x49, 0x49, 42, 0]) || starts([0x4D, 0x4D, 0, 42]) {
        self = .tiff
      } else if starts(Array("RIFF".utf8)), starts(Array("WEBP".utf8), at: 8) {
        self = .webP
      } else if starts(Array("jP  ".utf8), at: 4) || starts([0xFF, 0x4F, 0xFF, 0x51]) {
        self = .jpeg2000
      } else if bytes.count > 2, starts(Array("P".utf8)), unsafe 0x31...0x36 ~= bytes[1] {
        self = .portableMap
      } else {
        return nil
      }
    }
  }

  /// Decodes a file's bytes; the content decides the format.
  ///
  /// - Throws: `imageUnreadable` for what is damaged or no picture, `operatorNotRunnable` for a format, or a variant of
  ///   one, that has no decoder here.
  public static func decode(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> RGBImage {
    switch unsafe Format(bytes) {
    case .png: return try unsafe decodePNG(bytes)
    case .jpeg: return try unsafe decodeJPEG(bytes)
    case .bitmap: return try decodeBitmap(unsafe PictureBytes(bytes))
    case .portableMap: return try decodePortableMap(unsafe PictureBytes(bytes))
    case .tiff: return try decodeTIFF(unsafe PictureBytes(bytes))
    case .webP: throw unsupported("WebP: libwebp is not linked")
    case .jpeg2000: throw unsupported("JPEG 2000: OpenJPEG is not linked")
    case nil: throw damaged("neither PNG nor JPEG nor another known format")
    }
  }

  static func damaged(_ message: String) -> Failure { Failure(.imageUnreadable, message) }
  static func unsupported(_ message: String) -> Failure { Failure(.operatorNotRunnable, "there is no decoder for \(message)") }

  static func checkedByteCount(width: Int, height: Int) throws(Failure) -> Int {
    guard width > 0, height > 0, width <= pixelLimit, height <= pixelLimit, width * height <= pixelLimit else {
      throw damaged("\(width)x\(height) pixels are beyond the limit")
    }
    return width * height * 3
  }
}

/// A file's bytes, read at places that the file itself names.
struct PictureBytes {
  private let bytes: [UInt8]
  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = unsafe Array(bytes) }

  var count: Int { bytes.count }

  func byte(_ offset: Int) throws(Failure) -> Int {
    guard bytes.indices.contains(offset) else { throw RGBImage.damaged("the picture ends early") }
    return Int(bytes[offset])
  }

  /// An unsigned number of `width` bytes.
  func number(_ offset: Int, width: Int, bigEndian: Bool = false) throws(Failure) -> Int {
    var result = 0
    for index in 0..<width { result = result << 8 | (try byte(offset + (bigEndian ? index : width - 1 - index))) }
    return result
  }

  func slice(_ offset: Int, _ count: Int) throws(Failure) -> ArraySlice<UInt8> {
    guard offset >= 0, count >= 0, offset <= bytes.count, count <= bytes.count - offset else { throw RGBImage.damaged("the picture ends early") }
    return bytes[offset..<offset + count]
  }
}
