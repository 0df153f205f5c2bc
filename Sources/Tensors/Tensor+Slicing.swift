public import Diagnostics

/// Taking and joining along an axis, most often the axis of samples.
extension Tensor {
  /// The sub-tensors at `indices` of `axis`, in that order.
  ///
  /// - Throws: `shapeMismatch` for an axis or index outside the shape, `typeMismatch` for strings and elements below a byte.
  public func selecting(_ indices: [Int], axis: Int = 0) throws(Failure) -> Tensor {
    guard 0..<dims.count ~= axis else { throw Failure(.shapeMismatch, "a tensor of rank \(dims.count) has no axis \(axis)") }
    guard elementType != .string, elementType.bitWidth % 8 == 0 else { throw Failure(.typeMismatch, "\(elementType.name) has no rows to take") }
    let length = dims[axis]
    guard indices.allSatisfy({ 0..<length ~= $0 }) else { throw Failure(.shapeMismatch, "an index is outside the \(length) entries of axis \(axis)") }
    var resultDims = dims
    resultDims[axis] = indices.count
    let outer = dims[..<axis].reduce(1, *)
    let row = dims[(axis + 1)...].reduce(elementType.bitWidth / 8, *)
    let buffer = unsafe TensorBuffer(byteCount: outer * indices.count * row) { target in
      unsafe withUnsafeBytes { source in
        for block in 0..<outer {
          for (position, index) in indices.enumerated() {
            let from = (block * length + index) * row
            let to = (block * indices.count + position) * row
            unsafe UnsafeMutableRawBufferPointer(rebasing: target[to..<(to + row)]).copyMemory(
              from: UnsafeRawBufferPointer(rebasing: source[from..<(from + row)]))
          }
        }
      }
    }
    return try Tensor(elementType, dims: resultDims, storage: .memory(buffer))
  }

  /// `parts` joined along `axis`; their types and other dimensions must agree.
  public static func concatenating(_ parts: [Tensor], axis: Int = 0) throws(Failure) -> Tensor {
    guard let head = parts.first, 0..<head.dims.count ~= axis else { throw Failure(.shapeMismatch, "nothing to join along axis \(axis)") }
    let fits = parts.allSatisfy { part in
      part.elementType == head.elementType && part.dims.count == head.dims.count && part.dims[..<axis] == head.dims[..<axis]
        && part.dims[(axis + 1)...] == head.dims[(axis + 1)...]
    }
    guard fits, head.elementType != .string, head.elementType.bitWidth % 8 == 0 else {
      throw Failure(.shapeMismatch, "the parts differ in type or shape beyond axis \(axis)")
    }
    if parts.count == 1 { return head }
    var dims = head.dims
    dims[axis] = parts.reduce(0) { $0 + $1.dims[axis] }
    let outer = head.dims[..<axis].reduce(1, *)
    let buffer = unsafe TensorBuffer(byteCount: parts.reduce(0) { $0 + $1.byteCount }) { target in
      let stride = outer == 0 ? 0 : target.count / outer
      var column = 0
      for part in parts {
        let length = outer == 0 ? 0 : part.byteCount / outer
        unsafe part.withUnsafeBytes { source in
          for row in 0..<outer {
            let from = unsafe UnsafeRawBufferPointer(rebasing: source[(row * length)..<((row + 1) * length)])
            unsafe UnsafeMutableRawBufferPointer(rebasing: target[(row * stride + column)..<(row * stride + column + length)]).copyMemory(from: from)
          }
        }
        column += length
      }
    }
    return try Tensor(head.elementType, dims: dims, storage: .memory(buffer))
  }
}
