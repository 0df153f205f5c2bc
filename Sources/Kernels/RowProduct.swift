internal import CVector

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
public func multiplyRows(
  _ a: [Double], _ aBlock: RowBlock, _ b: [Double], _ bBlock: RowBlock, depth: Int, into c: inout [Double], _ cOffset: Int = 0, stride: Int
) {
  precondition(aBlock.fits(a.count, depth: depth) && bBlock.fits(b.count, depth: depth), "a block leaves its array")
  precondition(RowBlock(offset: cOffset, rows: aBlock.rows, stride: stride).fits(c.count, depth: bBlock.rows), "the result leaves its array")
  guard aBlock.rows > 0, bBlock.rows > 0 else { return }
  unsafe a.withUnsafeBufferPointer { a in
    unsafe b.withUnsafeBufferPointer { b in
      unsafe c.withUnsafeMutableBufferPointer { c in
        guard let a = a.baseAddress, let b = b.baseAddress, let c = c.baseAddress else { return }
        unsafe vc_row_products(
          a + aBlock.offset, aBlock.stride, aBlock.rows, b + bBlock.offset, bBlock.stride, bBlock.rows, depth, c + cOffset, stride)
      }
    }
  }
}
