/// The product under every matrix operator: for each batch, `C[m, n] = sum over k of A[m, k] B[k, n]`, where operands lie
/// anywhere: an element's place is the sum of its batch's, row's and column's offsets.
struct ReferenceProduct {
  /// Where the matrices of each batch start in A and in B.
  var aBatches, bBatches: [Int]
  var aRows, aInner: [Int]
  var bInner, bColumns: [Int]

  private static let tile = 128

  /// The matrices of all batches, one after the other, row-major.
  func callAsFunction<Number: ProductNumber>(_ a: [Number], _ b: [Number]) -> [Number] {
    let rows = aRows.count
    let columns = bColumns.count
    let inner = aInner.count
    var result = [Number](repeating: .zero, count: aBatches.count * rows * columns)
    guard !result.isEmpty, inner > 0 else { return result }
    var packed = [Number](repeating: .zero, count: inner * columns)
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
          // A tile of B that stays in the cache, four rows of C at a time; each sum still runs over k in order.
          for first in stride(from: 0, to: columns, by: ReferenceProduct.tile) {
            let tile = first..<min(first + ReferenceProduct.tile, columns)
            var row = 0
            while row + 4 <= rows {
              let a0 = aBatches[batch] + aRows[row]
              let a1 = aBatches[batch] + aRows[row + 1]
              let a2 = aBatches[batch] + aRows[row + 2]
              let a3 = aBatches[batch] + aRows[row + 3]
              let c0 = (batch * rows + row) * columns
              let (c1, c2, c3) = (c0 + columns, c0 + 2 * columns, c0 + 3 * columns)
              for k in 0..<inner {
                let place = aInner[k]
                let (f0, f1, f2, f3) = (a[a0 + place], a[a1 + place], a[a2 + place], a[a3 + place])
                let source = k * columns
                for n in tile {
                  let b = unsafe packed[source &+ n]
                  unsafe result[c0 &+ n].add(f0, times: b)
                  unsafe result[c1 &+ n].add(f1, times: b)
                  unsafe result[c2 &+ n].add(f2, times: b)
                  unsafe result[c3 &+ n].add(f3, times: b)
                }
              }
              row += 4
            }
            while row < rows {
              let target = (batch * rows + row) * columns
              for k in 0..<inner {
                let factor = a[aBatches[batch] + aRows[row] + aInner[k]]
                let source = k * columns
                for n in tile { unsafe result[target &+ n].add(factor, times: packed[source &+ n]) }
              }
              row += 1
            }
          }
        }
      }
    }
    return result
  }
}

/// What products are made of: reals, or integers that wrap.
protocol ProductNumber: BitwiseCopyable {
  static var zero: Self { get }
  mutating func add(_ a: Self, times b: Self)
}

extension Double: ProductNumber {
  @inline(__always) mutating func add(_ a: Double, times b: Double) { self += a * b }
}

extension Int: ProductNumber {
  @inline(__always) mutating func add(_ a: Int, times b: Int) { self &+= a &* b }
}

/// `count` offsets, `step` apart.
func steps(_ count: Int, by step: Int) -> [Int] { (0..<count).map { $0 &* step } }
