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

  /// `parts` joined along axis 0; their types and other dimensions must agree.
  public static func concatenatingRows(_ parts: [Tensor]) throws(Failure) -> Tensor {
    guard let head = parts.first, !head.dims.isEmpty else { throw Failure(.shapeMismatch, "nothing to join along a sample axis") }
    guard parts.allSatisfy({ $0.elementType == head.elementType && $0.dims.dropFirst() == head.dims.dropFirst() && $0.elementType.bitWidth % 8 == 0 && $0.elementType != .string }) else {
      throw Failure(.shapeMismatch, "the parts differ in type or shape beyond the sample axis")
    }
    if parts.count == 1 { return head }
    let rows = parts.reduce(0) { $0 + $1.dims[0] }
    let buffer = unsafe TensorBuffer(byteCount: parts.reduce(0) { $0 + $1.byteCount }) { target in
      var offset = 0
      for part in parts {
        unsafe part.withUnsafeBytes { source in
          unsafe UnsafeMutableRawBufferPointer(rebasing: target[offset..<(offset + source.count)]).copyMemory(from: source)
          offset += source.count
        }
      }
    }
    return try Tensor(head.elementType, dims: [rows] + head.dims.dropFirst(), storage: .memory(buffer))
  }
}
