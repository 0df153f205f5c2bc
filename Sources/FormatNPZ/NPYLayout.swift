internal import Diagnostics
internal import Tensors

/// Brings array bytes as NumPy stores them into the layout of a `Tensor`: little-endian, bools 0 or 1, row-major.
enum NPYLayout {
  static func normalize(_ bytes: UnsafeMutableRawBufferPointer, _ header: NPYHeader) {
    if header.elementType == .bool {
      for i in bytes.indices where unsafe bytes[i] > 1 { unsafe bytes[i] = 1 }
    }
    guard header.byteOrder == .big else { return }
    // A complex number is two floats, each swapped for itself.
    let isComplex = header.elementType == .complex64 || header.elementType == .complex128
    switch header.elementType.bitWidth / (isComplex ? 2 : 1) {
    case 16: unsafe swapBytes(bytes, UInt16.self)
    case 32: unsafe swapBytes(bytes, UInt32.self)
    case 64: unsafe swapBytes(bytes, UInt64.self)
    default: break
    }
  }

  private static func swapBytes<T: FixedWidthInteger & BitwiseCopyable>(_ bytes: UnsafeMutableRawBufferPointer, _ type: T.Type) {
    for offset in stride(from: 0, to: bytes.count, by: MemoryLayout<T>.size) {
      unsafe bytes.storeBytes(of: bytes.loadUnaligned(fromByteOffset: offset, as: T.self).byteSwapped, toByteOffset: offset, as: T.self)
    }
  }

  /// The same array in row-major order, of a tensor whose bytes lie in column-major order.
  static func rowMajor(_ columnMajor: Tensor) throws(Failure) -> Tensor {
    let dims = columnMajor.dims
    guard dims.count > 1, columnMajor.count > 0 else { return columnMajor }
    let width = columnMajor.elementType.bitWidth / 8
    // Strides of the source, in bytes: the first axis runs fastest.
    var strides: [Int] = []
    var step = width
    for dim in dims {
      strides.append(step)
      step *= dim
    }
    let buffer = unsafe columnMajor.withUnsafeBytes { source in
      unsafe TensorBuffer(byteCount: source.count) { target in
        var index = [Int](repeating: 0, count: dims.count)
        var from = 0
        for to in stride(from: 0, to: target.count, by: width) {
          for byte in 0..<width { unsafe target[to + byte] = source[from + byte] }
          var axis = dims.count - 1
          while axis >= 0 {
            index[axis] += 1
            from += strides[axis]
            if index[axis] < dims[axis] { break }
            from -= strides[axis] * dims[axis]
            index[axis] = 0
            axis -= 1
          }
        }
      }
    }
    return try Tensor(columnMajor.elementType, dims: dims, storage: .memory(buffer))
  }
}
