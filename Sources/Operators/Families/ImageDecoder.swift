internal import Diagnostics
internal import GraphIR
internal import Images
internal import Tensors

/// ImageDecoder (ONNX 20): the bytes of a picture file; (height, width, channels). A damaged file gives no pixels, as
/// the standard says; a format that has no decoder here (WebP, JPEG 2000) is refused by name.
struct ImageDecoder: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  private var channels: Int { op.word("pixel_format") == "Grayscale" ? 1 : 3 }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let bytes = try operands.required(0)
    try checkElement(bytes, [.uint8], "a file")
    try checkRank(bytes, 1, "the file")
    return [Fact(TensorType(.uint8, Shape([.unknown, .unknown, Dim(channels)])))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let file = try operands.required(0)
    _ = try infer([Fact(file.type)], resultCount: 1)
    let image: RGBImage
    do throws(Failure) {
      image = try unsafe file.withUnsafeBytes { (bytes) throws(Failure) in try unsafe RGBImage.decode(bytes) }
    } catch {
      guard error.code == .imageUnreadable else { throw Failure(error.code, "\(mnemonic): \(error.message)") }
      return [try Tensor(.uint8, dims: [0, 0, channels], values: [UInt8]())]
    }
    var pixels = image.pixels
    switch op.word("pixel_format") {
    case "BGR":
      for start in stride(from: 0, to: pixels.count, by: 3) { pixels.swapAt(start, start + 2) }
    case "Grayscale":
      // Luma of ITU-R BT.601, in 16 bits behind the point.
      pixels = stride(from: 0, to: pixels.count, by: 3).map { start in
        let sum = 19595 * Int(pixels[start]) + 38470 * Int(pixels[start + 1]) + 7471 * Int(pixels[start + 2])
        return UInt8((sum + 0x8000) >> 16)
      }
    default: break
    }
    return [try Tensor(.uint8, dims: [image.height, image.width, channels], values: pixels)]
  }
}
