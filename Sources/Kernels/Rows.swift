internal import CVector

/// Functions along the last axis of dense tensors, one row after the other: softmax and normalizations.
public enum Rows {
  /// `y = softmax(scale * x + bias)` of `rows` rows of `width` elements.
  ///
  /// - Parameter biasOffsets: for each row, where its bias row starts; empty without bias.
  public static func softmax(
    _ x: UnsafePointer<Float>, scale: Float = 1, bias: UnsafePointer<Float>? = nil, biasRow: (Int) -> Int = { _ in 0 },
    _ y: UnsafeMutablePointer<Float>, rows: Int, width: Int
  ) {
    Parallel.forRanges(rows, grain: grain(width)) { range in
      for row in range {
        let start = row * width
        unsafe vc_softmax(x + start, bias.map { unsafe $0 + biasRow(row) }, scale, y + start, width)
      }
    }
  }

  public static func logSoftmax(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, rows: Int, width: Int) {
    Parallel.forRanges(rows, grain: grain(width)) { range in
      for row in range { unsafe vc_log_softmax(x + row * width, y + row * width, width) }
    }
  }

  /// Layer normalization, or RMS normalization when not `centered`; gain and bias are rows of `width` elements.
  public static func normalize(
    _ x: UnsafePointer<Float>, gain: UnsafePointer<Float>?, bias: UnsafePointer<Float>?, epsilon: Float, centered: Bool,
    _ y: UnsafeMutablePointer<Float>, rows: Int, width: Int,
    mean: UnsafeMutablePointer<Float>? = nil, inverse: UnsafeMutablePointer<Float>? = nil
  ) {
    Parallel.forRanges(rows, grain: grain(width)) { range in
      for row in range {
        let start = row * width
        unsafe vc_normalize(
          x + start, gain, bias, y + start, width, epsilon, centered ? 1 : 0, mean.map { unsafe $0 + row }, inverse.map { unsafe $0 + row })
      }
    }
  }

  private static func grain(_ width: Int) -> Int { Swift.max(1, 8192 / Swift.max(width, 1)) }
}
