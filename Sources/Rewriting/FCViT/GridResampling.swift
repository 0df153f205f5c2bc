/// One axis of the patch grid brought to fewer places and back: the matrices of adaptive average pooling and of
/// bilinear interpolation at half-pixel centers. On a grid both act on rows and columns separately.
public enum GridResampling {
  /// (to, from): place `i` is the mean of `floor(i * from / to) ..< ceil((i + 1) * from / to)`.
  public static func pooling(from: Int, to: Int) -> [Double] {
    var matrix = [Double](repeating: 0, count: to * from)
    for i in 0..<to {
      let start = i * from / to
      let end = ((i + 1) * from + to - 1) / to
      for j in start..<end { matrix[i * from + j] = 1 / Double(end - start) }
    }
    return matrix
  }

  /// (to, from): place `i` reads between the two nearest centers; beyond the outer centers the outer value holds.
  public static func upsampling(from: Int, to: Int) -> [Double] {
    var matrix = [Double](repeating: 0, count: to * from)
    for i in 0..<to {
      let center = max(0, (Double(i) + 0.5) * Double(from) / Double(to) - 0.5)
      let low = min(Int(center), from - 1)
      let high = min(low + 1, from - 1)
      let weight = center - Double(low)
      matrix[i * from + low] += 1 - weight
      matrix[i * from + high] += weight
    }
    return matrix
  }

  /// The matrix on the flattened grid of one matrix on its rows and one on its columns (their Kronecker product).
  public static func onGrid(_ rows: [Double], _ columns: [Double], height: (to: Int, from: Int), width: (to: Int, from: Int)) -> [Double] {
    var matrix: [Double] = []
    matrix.reserveCapacity(rows.count * columns.count)
    for i in 0..<height.to {
      for j in 0..<width.to {
        for k in 0..<height.from {
          for l in 0..<width.from { matrix.append(rows[i * height.from + k] * columns[j * width.from + l]) }
        }
      }
    }
    return matrix
  }
}
