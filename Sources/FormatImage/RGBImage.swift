internal import Bytes
internal import CImage
public import Diagnostics

/// Decoded pixels: 8-bit RGB, rows from the top.
public struct RGBImage: Sendable {
  public let width: Int
  public let height: Int
  /// `height * width * 3` bytes.
  public let pixels: [UInt8]

  /// More than any camera takes; a header that claims more is refused before anything is allocated.
  static let pixelLimit = 1 << 27

  /// Decodes a PNG (libpng) or a JPEG (libjpeg-turbo); the content decides which.
  public static func read(_ path: String) throws(Failure) -> RGBImage {
    let source = try ByteSource(mapping: path)
    let start = source.bytes(in: 0..<min(source.count, 8))
    if start.starts(with: [0x89, 0x50, 0x4E, 0x47]) { return try decodePNG(source) }
    if start.starts(with: [0xFF, 0xD8, 0xFF]) { return try decodeJPEG(source) }
    throw Failure(.imageUnreadable, "neither a PNG nor a JPEG", at: .init(file: path))
  }

  private static func checkedByteCount(width: Int, height: Int, path: String) throws(Failure) -> Int {
    guard width > 0, height > 0, width <= pixelLimit, height <= pixelLimit, width * height <= pixelLimit else {
      throw Failure(.imageUnreadable, "\(width)x\(height) pixels are beyond the limit", at: .init(file: path))
    }
    return width * height * 3
  }

  private static func decodePNG(_ source: ByteSource) throws(Failure) -> RGBImage {
    try unsafe source.withUnsafeBytes(in: 0..<source.count) { (bytes) throws(Failure) in
      var image = unsafe png_image()
      defer { unsafe vc_png_free(&image) }
      guard unsafe vc_png_begin(&image, bytes.baseAddress, bytes.count) != 0 else {
        throw Failure(.imageUnreadable, "not a readable PNG", at: .init(file: source.name))
      }
      let width = unsafe Int(image.width)
      let height = unsafe Int(image.height)
      var pixels = [UInt8](repeating: 0, count: try checkedByteCount(width: width, height: height, path: source.name))
      guard unsafe vc_png_decode(&image, &pixels) != 0 else { throw Failure(.imageUnreadable, "the PNG is damaged", at: .init(file: source.name)) }
      return RGBImage(width: width, height: height, pixels: pixels)
    }
  }

  private static func decodeJPEG(_ source: ByteSource) throws(Failure) -> RGBImage {
    guard let handle = unsafe tjInitDecompress() else { throw Failure(.imageUnreadable, "the JPEG decoder does not start", at: .init(file: source.name)) }
    defer { unsafe tjDestroy(handle) }
    return try unsafe source.withUnsafeBytes(in: 0..<source.count) { (bytes) throws(Failure) in
      let start = unsafe bytes.assumingMemoryBound(to: UInt8.self).baseAddress
      var width: Int32 = 0
      var height: Int32 = 0
      guard unsafe vc_jpeg_header(handle, start, bytes.count, &width, &height) != 0 else {
        throw Failure(.imageUnreadable, "not a readable JPEG", at: .init(file: source.name))
      }
      var pixels = [UInt8](repeating: 0, count: try checkedByteCount(width: Int(width), height: Int(height), path: source.name))
      guard unsafe vc_jpeg_decode(handle, start, bytes.count, &pixels, width, height) != 0 else {
        throw Failure(.imageUnreadable, "the JPEG is damaged", at: .init(file: source.name))
      }
      return RGBImage(width: Int(width), height: Int(height), pixels: pixels)
    }
  }
}
