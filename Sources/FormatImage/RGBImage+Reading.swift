internal import Bytes
public import Diagnostics
public import Images

extension RGBImage {
  /// Decodes a picture's file; the content decides the format.
  public static func read(_ path: String) throws(Failure) -> RGBImage {
    let source = try ByteSource(mapping: path)
    do throws(Failure) {
      return try unsafe source.withUnsafeBytes(in: 0..<source.count) { (bytes) throws(Failure) in try unsafe decode(bytes) }
    } catch {
      throw error.located(file: path)
    }
  }
}
