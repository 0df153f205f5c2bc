internal import Diagnostics
internal import Tensors

/// Multidirectional broadcasting (ONNX, docs/Broadcasting.md): axes are aligned at the last, and an axis of size 1 is
/// repeated.
enum Broadcasting {
  /// The shape that all of `shapes` broadcast to; nil when one is unknown.
  static func shape(_ shapes: [Shape?], of mnemonic: String) throws(Failure) -> Shape? {
    var result: [Dim] = []
    for shape in shapes {
      guard let dims = shape?.dims else { return nil }
      if dims == result { continue }
      if result.count < dims.count { result.insert(contentsOf: dims[..<(dims.count - result.count)], at: 0) }
      let offset = result.count - dims.count
      for (index, dim) in dims.enumerated() {
        guard let size = result[offset + index].broadcast(with: dim) else {
          let list = shapes.compactMap { $0?.description }.joined(separator: " and ")
          throw Failure(.shapeMismatch, "\(mnemonic): \(list) do not broadcast")
        }
        result[offset + index] = size
      }
    }
    return Shape(result)
  }

  /// For each axis of `result` the step in `operand`'s elements, 0 where it is repeated.
  static func strides(of operand: [Int], in result: [Int]) -> [Int] {
    var strides = [Int](repeating: 0, count: result.count)
    let offset = result.count - operand.count
    var step = 1
    for axis in stride(from: operand.count - 1, through: 0, by: -1) {
      if operand[axis] != 1 { strides[offset + axis] = step }
      step &*= operand[axis]
    }
    return strides
  }

  /// Whether `operand` is read at every element of `result` in order, without repetition.
  static func isWhole(_ operand: [Int], in result: [Int]) -> Bool { operand.reduce(1, &*) == result.reduce(1, &*) }
}

/// Row-major steps of each axis.
func rowMajorStrides(_ dims: [Int]) -> [Int] {
  var strides = [Int](repeating: 1, count: dims.count)
  for axis in stride(from: dims.count - 2, through: 0, by: -1) { strides[axis] = strides[axis + 1] &* dims[axis + 1] }
  return strides
}

/// The element offsets that a walk over `dims` in row-major order visits when axis `i` steps by `strides[i]`.
func offsets(dims: [Int], strides: [Int], from start: Int = 0) -> [Int] {
  let count = dims.reduce(1, &*)
  var result: [Int] = []
  guard count > 0 else { return result }
  result.reserveCapacity(count)
  guard let last = dims.indices.last else { return [start] }
  var counter = [Int](repeating: 0, count: dims.count)
  var base = start
  let inner = dims[last]
  let innerStride = strides[last]
  while true {
    var offset = base
    for _ in 0..<inner {
      result.append(offset)
      offset &+= innerStride
    }
    var axis = last - 1
    while axis >= 0 {
      counter[axis] += 1
      base &+= strides[axis]
      if counter[axis] < dims[axis] { break }
      base &-= strides[axis] &* dims[axis]
      counter[axis] = 0
      axis -= 1
    }
    if axis < 0 { return result }
  }
}

/// `body` of every pair of elements of two arrays broadcast to `dims`.
@inline(__always)
func broadcastMap<A, B, R>(_ a: [A], _ aDims: [Int], _ b: [B], _ bDims: [Int], to dims: [Int], _ body: (A, B) -> R) -> [R] {
  let count = dims.reduce(1, &*)
  var result: [R] = []
  result.reserveCapacity(count)
  if a.count == count, b.count == count {
    for index in 0..<count { result.append(body(a[index], b[index])) }
  } else if a.count == count, b.count == 1 {
    let second = b[0]
    for index in 0..<count { result.append(body(a[index], second)) }
  } else {
    let aOffsets = offsets(dims: dims, strides: Broadcasting.strides(of: aDims, in: dims))
    let bOffsets = offsets(dims: dims, strides: Broadcasting.strides(of: bDims, in: dims))
    for index in 0..<count { result.append(body(a[aOffsets[index]], b[bOffsets[index]])) }
  }
  return result
}
