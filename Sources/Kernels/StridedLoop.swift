/// A nest of loops over several operands of equal dimensions, simplified: axes of one element dropped, axes ordered by the
/// first operand's strides, neighbors merged where every operand allows it. The innermost axis is the row that kernels get.
struct StridedLoop {
  /// Outermost first; the last one is the row. Never empty.
  private(set) var dims: [Int]
  /// One list for each operand.
  private(set) var strides: [[Int]]

  /// - Parameter operands: strides of each operand; the first is the one written to.
  init(dims: [Int], operands: [[Int]]) {
    let axes = dims.indices.filter { dims[$0] != 1 }.sorted { a, b in
      for operand in operands {
        let (x, y) = (operand[a], operand[b])
        if x != y { return x > y }
      }
      return a < b
    }
    self.dims = []
    strides = operands.map { _ in [] }
    for axis in axes {
      let merges = !self.dims.isEmpty && operands.indices.allSatisfy { strides[$0][self.dims.count - 1] == operands[$0][axis] &* dims[axis] }
      if merges {
        self.dims[self.dims.count - 1] &*= dims[axis]
        for k in operands.indices { strides[k][self.dims.count - 1] = operands[k][axis] }
      } else {
        self.dims.append(dims[axis])
        for k in operands.indices { strides[k].append(operands[k][axis]) }
      }
    }
    if self.dims.isEmpty {
      self.dims = [1]
      for k in operands.indices { strides[k] = [1] }
    }
  }

  var count: Int { dims.reduce(1, &*) }
  /// The step of operand `k` along the row.
  func step(_ k: Int) -> Int { strides[k][dims.count - 1] }

  /// Calls `body(offsets, count)` for each row, or pieces of the row when there is but one; rows go to several threads.
  ///
  /// - Parameter grain: elements below which a thread is not worth waking.
  func forEachRow(grain: Int, _ body: (_ offsets: [Int], _ count: Int) -> Void) {
    guard count > 0, let row = dims.last else { return }
    let outer = dims.dropLast()
    let rows = outer.reduce(1, &*)
    if rows == 1 {
      Parallel.forRanges(row, grain: grain) { range in
        body(strides.map { $0[dims.count - 1] &* range.lowerBound }, range.count)
      }
      return
    }
    Parallel.forRanges(rows, grain: Swift.max(1, grain / Swift.max(row, 1))) { range in
      var index = [Int](repeating: 0, count: outer.count)
      var offsets = [Int](repeating: 0, count: strides.count)
      var rest = range.lowerBound
      for axis in outer.indices.reversed() {
        index[axis] = rest % dims[axis]
        rest /= dims[axis]
        for k in offsets.indices { offsets[k] &+= index[axis] &* strides[k][axis] }
      }
      for _ in range {
        body(offsets, row)
        var axis = outer.count - 1
        while axis >= 0 {
          index[axis] += 1
          for k in offsets.indices { offsets[k] &+= strides[k][axis] }
          if index[axis] < dims[axis] { break }
          for k in offsets.indices { offsets[k] &-= strides[k][axis] &* dims[axis] }
          index[axis] = 0
          axis -= 1
        }
      }
    }
  }
}
