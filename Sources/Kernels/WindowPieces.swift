/// The pieces in which the threads compute a convolution or a pool of channels-last images: whole images, or strips of
/// output rows with the input rows that they see.
struct WindowPiece {
  /// What of the input the piece reads, and the element it starts at.
  var x: Strided
  var xStart: Int
  /// What of the output it writes, and the element it starts at.
  var y: Strided
  var yStart: Int
  /// The geometry with the padding that is left at this piece's edges.
  var window: WindowGeometry
  /// Which images, and which rows of the output's first spatial axis.
  var images: Range<Int>
  var rows: Range<Int>

  /// - Parameters:
  ///   - x, y: `(N, C, …)`, channels-last.
  ///   - limit: bytes of output above which a piece is divided even for one thread, so that what follows finds it in cache.
  static func cut(_ x: Strided, _ y: Strided, _ window: WindowGeometry, limit: Int? = nil) -> [WindowPiece] {
    let whole = WindowPiece(x: x, xStart: 0, y: y, yStart: 0, window: window, images: 0..<y.dims[0], rows: 0..<y.dims[2])
    var count = Parallel.pieces
    let bytes = y.count &* MemoryLayout<Float>.size
    if let limit, bytes > limit { count = Swift.max(count, (bytes + limit - 1) / limit) }
    guard count > 1, y.count &* window.kernel.reduce(1, &*) >= 1 << 14 else { return [whole] }
    let (images, rows) = (y.dims[0], y.dims[2])
    if images >= count {
      return (0..<count).map { part in
        let range = images * part / count..<images * (part + 1) / count
        var piece = whole
        (piece.x.dims[0], piece.y.dims[0]) = (range.count, range.count)
        (piece.xStart, piece.yStart, piece.images) = (range.lowerBound * x.strides[0], range.lowerBound * y.strides[0], range)
        return piece
      }
    }
    // One strip of each image at a time: several images' strips would not lie behind each other.
    let strips = Swift.min(Swift.max(1, (count + images - 1) / images), Swift.max(1, rows / 2))
    guard images * strips > 1 else { return [whole] }
    return (0..<images).flatMap { image in
      (0..<strips).map { strip in whole.strip(image, rows * strip / strips..<rows * (strip + 1) / strips) }
    }
  }

  private func strip(_ image: Int, _ range: Range<Int>) -> WindowPiece {
    var piece = self
    let extent = (window.kernel[0] - 1) * window.dilations[0] + 1
    let top = range.lowerBound * window.strides[0] - window.padBegin[0]
    let bottom = (range.upperBound - 1) * window.strides[0] - window.padBegin[0] + extent
    let seen = Swift.min(Swift.max(top, 0), x.dims[2])..<Swift.max(Swift.min(bottom, x.dims[2]), Swift.min(Swift.max(top, 0), x.dims[2]))
    piece.window.padBegin[0] = seen.lowerBound - top
    piece.window.padEnd[0] = bottom - seen.upperBound
    piece.xStart = image * x.strides[0] + seen.lowerBound * x.strides[2]
    piece.yStart = image * y.strides[0] + range.lowerBound * y.strides[2]
    let order = [0] + Array(2..<x.rank) + [1]
    (piece.x.dims[0], piece.x.dims[2]) = (1, seen.count)
    (piece.y.dims[0], piece.y.dims[2]) = (1, range.count)
    // Channels-last rows lie behind each other, so a strip is a whole image of fewer rows.
    piece.x = Strided(dims: piece.x.dims, order: order)
    piece.y = Strided(dims: piece.y.dims, order: order)
    (piece.images, piece.rows) = (image..<image + 1, range)
    return piece
  }
}

extension Parallel {
  /// Calls `body(index, worker)` for each piece and throws the first piece's failure.
  static func tryForEach<Failure: Error>(_ count: Int, _ body: (_ index: Int, _ worker: Int) throws(Failure) -> Void) throws(Failure) {
    if count == 1 { return try body(0, 0) }
    var failures = [Failure?](repeating: nil, count: count)
    unsafe failures.withUnsafeMutableBufferPointer { failures in
      forEach(count) { index, worker in
        do throws(Failure) {
          try body(index, worker)
        } catch {
          unsafe failures[index] = error
        }
      }
    }
    for case let failure? in failures { throw failure }
  }
}
