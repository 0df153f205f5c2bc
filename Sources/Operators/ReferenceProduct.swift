/// The product under every matrix operator: for each batch, `C[m, n] = sum over k of A[m, k] B[k, n]`, where operands lie
/// anywhere: an element's place is the sum of its batch's, row's and column's offsets.
struct ReferenceProduct {
  /// Where the matrices of each batch start in A and in B.
  var aBatches, bBatches: [Int]
  var aRows, aInner: [Int]
  var bInner, bColumns: [Int]

  /// The matrices of all batches, one after the other, row-major.
  func callAsFunction(_ a: [Double], _ b: [Double]) -> [Double] {
    let rows = aRows.count
    let columns = bColumns.count
    let inner = aInner.count
    var result = [Double](repeating: 0, count: aBatches.count * rows * columns)
    guard !result.isEmpty, inner > 0 else { return result }
    var packed = [Double](repeating: 0, count: inner * columns)
    var packedFrom: Int?
    for batch in aBatches.indices {
      if packedFrom != bBatches[batch] {
        packedFrom = bBatches[batch]
        var place = 0
        for k in bInner {
          let base = bBatches[batch] + k
          for n in bColumns {
            packed[place] = b[base + n]
            place += 1
          }
        }
      }
      unsafe result.withUnsafeMutableBufferPointer { result in
        unsafe packed.withUnsafeBufferPointer { packed in
          for (row, aRow) in aRows.enumerated() {
            let target = (batch * rows + row) * columns
            for k in 0..<inner {
              let factor = a[aBatches[batch] + aRow + aInner[k]]
              let source = k * columns
              for n in 0..<columns { unsafe result[target + n] += factor * packed[source + n] }
            }
          }
        }
      }
    }
    return result
  }
}

/// `count` offsets, `step` apart.
func steps(_ count: Int, by step: Int) -> [Int] { (0..<count).map { $0 &* step } }
