/// Where a matrix lies in an array: `rows` rows that start `stride` elements apart, each contiguous.
public struct RowBlock: Hashable, Sendable {
  public var offset: Int
  public var rows: Int
  public var stride: Int
  public init(offset: Int = 0, rows: Int, stride: Int) {
    self.offset = offset
    self.rows = rows
    self.stride = stride
  }

  func fits(_ count: Int, depth: Int) -> Bool {
    guard offset >= 0, rows >= 0, stride >= 0, depth >= 0 else { return false }
    return rows == 0 || offset + (rows - 1) * stride + depth <= count
  }
}

/// `c[i, j] = sum_k a[i, k] * b[j, k]` in float64: every dot product of the rows of two matrices. oneDNN has no float64
/// product on CPUs; the closed-form fits need one, since their normal equations lose half of the digits.
///
/// - Precondition: the blocks lie inside their arrays, and `c` has a row of `b.rows` elements for each row of `a`.
public func multiplyRows(_ a: [Double], _ aBlock: RowBlock, _ b: [Double], _ bBlock: RowBlock, depth: Int, into c: inout [Double], _ cOffset: Int = 0, stride: Int) {
  precondition(aBlock.fits(a.count, depth: depth) && bBlock.fits(b.count, depth: depth), "a block leaves its array")
  precondition(RowBlock(offset: cOffset, rows: aBlock.rows, stride: stride).fits(c.count, depth: bBlock.rows), "the result leaves its array")
  guard aBlock.rows > 0, bBlock.rows > 0 else { return }
  unsafe a.withUnsafeBufferPointer { a in
    unsafe b.withUnsafeBufferPointer { b in
      unsafe c.withUnsafeMutableBufferPointer { c in
        guard let a = a.baseAddress, let b = b.baseAddress, let c = c.baseAddress else { return }
        unsafe rowProducts(a + aBlock.offset, aBlock, b + bBlock.offset, bBlock, depth: depth, into: c + cOffset, stride: stride)
      }
    }
  }
}

/// Tiles of two rows by four: eight sums run side by side, which hides the latency of the additions.
private func rowProducts(
  _ a: UnsafePointer<Double>, _ aBlock: RowBlock, _ b: UnsafePointer<Double>, _ bBlock: RowBlock, depth: Int, into c: UnsafeMutablePointer<Double>, stride: Int
) {
  let pairs = depth & ~1
  var i = 0
  while i < aBlock.rows {
    let twoRows = i + 1 < aBlock.rows
    let a0 = unsafe a + i * aBlock.stride
    let a1 = unsafe twoRows ? a0 + aBlock.stride : a0
    var j = 0
    while j < bBlock.rows {
      let columns = min(4, bBlock.rows - j)
      let b0 = unsafe b + j * bBlock.stride
      let b1 = unsafe columns > 1 ? b0 + bBlock.stride : b0
      let b2 = unsafe columns > 2 ? b1 + bBlock.stride : b0
      let b3 = unsafe columns > 3 ? b2 + bBlock.stride : b0
      var s00 = SIMD2<Double>.zero, s01 = SIMD2<Double>.zero, s02 = SIMD2<Double>.zero, s03 = SIMD2<Double>.zero
      var s10 = SIMD2<Double>.zero, s11 = SIMD2<Double>.zero, s12 = SIMD2<Double>.zero, s13 = SIMD2<Double>.zero
      var k = 0
      while k < pairs {
        let x0 = unsafe SIMD2(a0[k], a0[k + 1]), x1 = unsafe SIMD2(a1[k], a1[k + 1])
        let y0 = unsafe SIMD2(b0[k], b0[k + 1]), y1 = unsafe SIMD2(b1[k], b1[k + 1])
        let y2 = unsafe SIMD2(b2[k], b2[k + 1]), y3 = unsafe SIMD2(b3[k], b3[k + 1])
        s00 += x0 * y0
        s01 += x0 * y1
        s02 += x0 * y2
        s03 += x0 * y3
        s10 += x1 * y0
        s11 += x1 * y1
        s12 += x1 * y2
        s13 += x1 * y3
        k &+= 2
      }
      if pairs < depth {
        let x0 = unsafe a0[pairs], x1 = unsafe a1[pairs]
        unsafe s00[0] += x0 * b0[pairs]
        unsafe s01[0] += x0 * b1[pairs]
        unsafe s02[0] += x0 * b2[pairs]
        unsafe s03[0] += x0 * b3[pairs]
        unsafe s10[0] += x1 * b0[pairs]
        unsafe s11[0] += x1 * b1[pairs]
        unsafe s12[0] += x1 * b2[pairs]
        unsafe s13[0] += x1 * b3[pairs]
      }
      let c0 = unsafe c + i * stride + j
      unsafe c0[0] = s00.sum()
      if columns > 1 { unsafe c0[1] = s01.sum() }
      if columns > 2 { unsafe c0[2] = s02.sum() }
      if columns > 3 { unsafe c0[3] = s03.sum() }
      if twoRows {
        let c1 = unsafe c0 + stride
        unsafe c1[0] = s10.sum()
        if columns > 1 { unsafe c1[1] = s11.sum() }
        if columns > 2 { unsafe c1[2] = s12.sum() }
        if columns > 3 { unsafe c1[3] = s13.sum() }
      }
      j += 4
    }
    i += 2
  }
}
