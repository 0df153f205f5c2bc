import Testing

@testable import Kernels

struct MovementTests {
  func check<T: BitwiseCopyable & Equatable & FixedWidthInteger>(_ type: T.Type, seed: Int) {
    var numbers = Numbers(seed)
    for _ in 0..<60 {
      let dims = (0..<numbers.int(0...5)).map { _ in [0, 1, 2, 5, 16, 19][numbers.int(numbers.int(0...5) == 0 ? 0...5 : 1...5)] }
      guard dims.reduce(1, *) < 100_000 else { continue }
      var from = randomLayout(dims, &numbers)
      if let axis = dims.indices.randomElement(using: &numbers), numbers.int(0...3) == 0 { from.strides[axis] = 0 }
      let to = randomLayout(dims, &numbers)
      let x = (0..<max(span(from), 1)).map { T(truncatingIfNeeded: $0 &* 2_654_435_761) }
      var y = [T](repeating: 0, count: max(span(to), 1))
      unsafe Movement.copy(x, from, &y, to, elementBytes: MemoryLayout<T>.size)
      #expect(rowMajor(y, to) == rowMajor(x, from), "\(dims)")
    }
  }

  @Test func copiesAnyLayoutOfAnyWidth() {
    check(UInt8.self, seed: 1)
    check(UInt16.self, seed: 2)
    check(UInt32.self, seed: 3)
    check(UInt64.self, seed: 4)
    check(UInt128.self, seed: 5)
  }

  @Test func gathersSlices() {
    let x = (0..<24).map { Int32($0) }
    var y = [Int32](repeating: 0, count: 16)
    unsafe Movement.gather(x, outer: 2, axis: 3, innerBytes: 16, indices: [2, 0], &y)
    #expect(y == [8, 9, 10, 11, 0, 1, 2, 3, 20, 21, 22, 23, 12, 13, 14, 15])
  }
}

struct ParallelTests {
  @Test func everyIndexRunsOnce() {
    defer { Parallel.use(threads: 1) }
    for threads in [1, 2, 4] {
      Parallel.use(threads: threads)
      for count in [0, 1, 2, 7, 100] {
        var runs = [Int32](repeating: 0, count: count)
        unsafe runs.withUnsafeMutableBufferPointer { runs in
          Parallel.forEach(count) { index, worker in
            precondition(worker < threads)
            unsafe runs[index] += 1
          }
        }
        #expect(runs.allSatisfy { $0 == 1 })
        var covered = [Int32](repeating: 0, count: count)
        unsafe covered.withUnsafeMutableBufferPointer { covered in
          Parallel.forRanges(count, grain: 3) { range in for index in range { unsafe covered[index] += 1 } }
        }
        #expect(covered.allSatisfy { $0 == 1 })
      }
    }
  }
}

struct StridedTests {
  @Test func reshapingKeepsTheOrderOfElementsOrRefuses() {
    var numbers = Numbers(9)
    var (kept, refused) = (0, 0)
    for _ in 0..<400 {
      var dims = (0..<numbers.int(1...4)).map { _ in [1, 2, 3, 4, 6][numbers.int(0...4)] }
      let layout = randomLayout(dims, &numbers)
      // Split and merge axes at random.
      if numbers.int(0...1) == 0, dims.count > 1 {
        let axis = numbers.int(0...dims.count - 2)
        dims.replaceSubrange(axis...axis + 1, with: [dims[axis] * dims[axis + 1]])
      }
      if let axis = dims.firstIndex(where: { $0 % 2 == 0 }) { dims.replaceSubrange(axis...axis, with: [dims[axis] / 2, 1, 2]) }
      let memory = (0..<span(layout)).map { $0 }
      guard let other = layout.reshaped(dims) else {
        refused += 1
        continue
      }
      kept += 1
      #expect(rowMajor(memory, other) == rowMajor(memory, layout), "\(layout) to \(dims)")
    }
    #expect(kept > 50 && refused > 10)
    #expect(Strided(dense: [2, 3]).reshaped([6])?.strides == [1])
    #expect(Strided(dims: [3, 2], strides: [1, 3]).reshaped([6]) == nil)
  }

  @Test func knowsDenseAndPacked() {
    #expect(Strided(dense: [2, 3, 4]).isDense)
    let channelsLast = Strided(dims: [2, 3, 4, 5], order: [0, 2, 3, 1])
    #expect(!channelsLast.isDense && channelsLast.isPacked)
    #expect(channelsLast.memoryOrder == [0, 2, 3, 1])
    #expect(!Strided(dims: [2, 3], strides: [6, 1]).isPacked)
    #expect(Strided(dims: [1, 3], strides: [77, 1]).isDense)
  }
}
