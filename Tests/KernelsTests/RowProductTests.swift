import CVector
import Testing

@testable import Kernels

@Suite(.serialized) struct RowProductTests {
  /// Blocks inside larger arrays, of sizes around the tile's and the vectors'.
  @Test(arguments: [VCUnit.baseline, .AVX2, .AVX512], [(1, 1, 1), (2, 4, 8), (3, 5, 17), (7, 9, 64), (4, 3, 0)])
  func everyDotProductOfRows(unit: VCUnit, size: (Int, Int, Int)) {
    guard vc_select_unit(unit) != 0 else { return }
    defer { vc_select_widest_unit() }
    let (rows, columns, depth) = size
    let a = (0..<(3 + rows * (depth + 2))).map { Double($0 * 37 % 101) / 50 - 1 }
    let b = (0..<(1 + columns * (depth + 5))).map { Double($0 * 53 % 97) / 40 - 1 }
    var c = [Double](repeating: -7, count: 2 + rows * (columns + 1))
    multiplyRows(
      a, RowBlock(offset: 3, rows: rows, stride: depth + 2), b, RowBlock(offset: 1, rows: columns, stride: depth + 5), depth: depth, into: &c, 2,
      stride: columns + 1)
    #expect(c[0] == -7 && c[1] == -7)
    for i in 0..<rows {
      for j in 0..<columns {
        var wanted = 0.0
        for k in 0..<depth { wanted += a[3 + i * (depth + 2) + k] * b[1 + j * (depth + 5) + k] }
        #expect(abs(c[2 + i * (columns + 1) + j] - wanted) < 1e-12)
      }
      #expect(c[2 + i * (columns + 1) + columns] == -7)
    }
  }
}
