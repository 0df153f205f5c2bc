internal import CVector

/// Moving elements of any width between layouts: transposition, slicing, concatenation, expansion are all one strided copy.
public enum Movement {
  /// Copies `from` to `to`, tensors of equal dimensions. The source may repeat elements (stride 0), the target may not.
  ///
  /// - Parameter elementBytes: 1, 2, 4, 8 or 16.
  public static func copy(_ source: UnsafeRawPointer, _ from: Strided, _ target: UnsafeMutableRawPointer, _ to: Strided, elementBytes: Int) {
    let loop = StridedLoop(dims: to.dims, operands: [to.strides, from.strides])
    let grain = 65536 / elementBytes
    if loop.step(0) == 1, loop.step(1) == 1 {
      loop.forEachRow(grain: grain) { offsets, count in
        unsafe (target + offsets[0] * elementBytes).copyMemory(from: source + offsets[1] * elementBytes, byteCount: count * elementBytes)
      }
      return
    }
    if elementBytes == 4, loop.step(0) == 1, let other = loop.strides[1].dropLast().lastIndex(of: 1) {
      unsafe transpose(loop, tiling: other, source, target)
      return
    }
    switch elementBytes {
    case 1: unsafe copyRows(loop, grain, source.assumingMemoryBound(to: UInt8.self), target.assumingMemoryBound(to: UInt8.self))
    case 2: unsafe copyRows(loop, grain, source.assumingMemoryBound(to: UInt16.self), target.assumingMemoryBound(to: UInt16.self))
    case 4: unsafe copyRows(loop, grain, source.assumingMemoryBound(to: UInt32.self), target.assumingMemoryBound(to: UInt32.self))
    case 8: unsafe copyRows(loop, grain, source.assumingMemoryBound(to: UInt64.self), target.assumingMemoryBound(to: UInt64.self))
    default: unsafe copyRows(loop, grain, source.assumingMemoryBound(to: UInt128.self), target.assumingMemoryBound(to: UInt128.self))
    }
  }

  private static func copyRows<T: BitwiseCopyable>(_ loop: StridedLoop, _ grain: Int, _ source: UnsafePointer<T>, _ target: UnsafeMutablePointer<T>) {
    let (to, from) = (loop.step(0), loop.step(1))
    loop.forEachRow(grain: grain) { offsets, count in
      let (target, source) = unsafe (target + offsets[0], source + offsets[1])
      for i in 0..<count { unsafe target[i &* to] = source[i &* from] }
    }
  }

  /// The source is contiguous along an outer axis and the target along the row: go by tiles of both.
  private static func transpose(_ loop: StridedLoop, tiling axis: Int, _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
    let row = loop.dims.count - 1
    let outer = (0..<row).filter { $0 != axis }
    // One pass of this loop for every tile plane; with at least one axis so that it has a row.
    let planes = outer.map { loop.dims[$0] }.reduce(1, &*)
    let (rows, columns) = (loop.dims[row], loop.dims[axis])
    let (fromStep, toStep) = (loop.strides[1][row], loop.strides[0][axis])
    let (source, target) = unsafe (source.assumingMemoryBound(to: UInt32.self), target.assumingMemoryBound(to: UInt32.self))
    Parallel.forRanges(planes, grain: Swift.max(1, 16384 / Swift.max(rows &* columns, 1))) { range in
      for plane in range {
        var (rest, to, from) = (plane, 0, 0)
        for k in outer.reversed() {
          let index = rest % loop.dims[k]
          rest /= loop.dims[k]
          to &+= index &* loop.strides[0][k]
          from &+= index &* loop.strides[1][k]
        }
        unsafe vc_transpose(source + from, fromStep, target + to, toStep, rows, columns)
      }
    }
  }

  /// Picks slices: `target[o, i, :] = source[o, indices[i], :]`, with `inner` bytes in a slice. Indices must lie in `0..<axis`.
  public static func gather(_ source: UnsafeRawPointer, outer: Int, axis: Int, innerBytes: Int, indices: [Int], _ target: UnsafeMutableRawPointer) {
    for o in 0..<outer {
      for (i, index) in indices.enumerated() {
        unsafe (target + (o * indices.count + i) * innerBytes).copyMemory(from: source + (o * axis + index) * innerBytes, byteCount: innerBytes)
      }
    }
  }
}
