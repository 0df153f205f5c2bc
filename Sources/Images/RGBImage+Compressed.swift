internal import CImage
internal import Diagnostics

extension RGBImage {
  /// By libpng.
  static func decodePNG(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> RGBImage {
    var image = unsafe png_image()
    defer { unsafe vc_png_free(&image) }
    guard unsafe vc_png_begin(&image, bytes.baseAddress, bytes.count) != 0 else { throw damaged("not a readable PNG") }
    let width = unsafe Int(image.width)
    let height = unsafe Int(image.height)
    var pixels = [UInt8](repeating: 0, count: try checkedByteCount(width: width, height: height))
    guard unsafe vc_png_decode(&image, &pixels) != 0 else { throw damaged("the PNG is damaged") }
    return RGBImage(width: width, height: height, pixels: pixels)
  }

  /// By libjpeg-turbo, chroma interpolated and the transform exact.
  static func decodeJPEG(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> RGBImage {
    guard let handle = unsafe tjInitDecompress() else { throw damaged("the JPEG decoder does not start") }
    defer { unsafe tjDestroy(handle) }
    let start = unsafe bytes.assumingMemoryBound(to: UInt8.self).baseAddress
    var width: Int32 = 0
    var height: Int32 = 0
    guard unsafe vc_jpeg_header(handle, start, bytes.count, &width, &height) != 0 else { throw damaged("not a readable JPEG") }
    var pixels = [UInt8](repeating: 0, count: try checkedByteCount(width: Int(width), height: Int(height)))
    guard unsafe vc_jpeg_decode(handle, start, bytes.count, &pixels, width, height) != 0 else { throw damaged("the JPEG is damaged") }
    return RGBImage(width: Int(width), height: Int(height), pixels: pixels)
  }
}
