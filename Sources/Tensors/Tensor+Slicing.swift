public import Diagnostics

/// Taking and joining along the first axis, the axis of samples.
extension Tensor {
  /// The sub-tensors at `indices` of axis 0, in that order.
  ///
  /// - Throws: `shapeMismatch` for a scalar or an index outside the axis, `typeMismatch` for strings and elements below a byte.
  public func rows(_ indices: [Int]) throws(Failure) -> Tensor {
    guard let first = dims.first else { throw Failure(.shapeMismatch, "a scalar has no sample axis") }
    guard elementType != .string, elementType.bitWidth % 8 == 0 else { throw Failure(.typeMismatch, "\(elementType.name) has no rows to take") }
    guard indices.allSatisfy({ 0..<first ~= $0 }) else { throw Failure(.shapeMismatch, "a sample index is outside the \(first) samples") }
    let rowBytes = first == 0 ? 0 : byteCount / first
    let buffer = unsafe TensorBuffer(byteCount: indices.count * rowBytes) { target in
      unsafe withUnsafeBytes { source in
        for (position, index) in indices.enumerated() {
          let row = unsafe UnsafeRawBufferPointer(rebasing: source[(index * rowBytes)..<((index + 1) * rowBytes)])
          unsafe UnsafeMutableRawBufferPointer(rebasing: target[(position * rowBytes)..<((position + 1) * rowBytes)]).copyMemory(from: row)
        }
      }
    }
    return try Tensor(elementType, dims: [indices.count] + dims.dropFirst(), storage: .memory(buffer))
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
