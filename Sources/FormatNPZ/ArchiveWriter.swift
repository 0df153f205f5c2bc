internal import Diagnostics
internal import Tensors
internal import Zip

/// Writes archives of stored members.
enum ArchiveWriter {
  static func write(_ entries: [(name: String, tensor: Tensor)], to path: String, protecting inputs: [String]) throws(Failure) {
    try ZipWriter.write(to: path, protecting: inputs) { (archive) throws(Failure) in
      for entry in entries {
        do throws(Failure) {
          try add(entry.tensor, as: entry.name + ".npy", to: archive)
        } catch {
          throw error.located(element: entry.name)
        }
      }
    }
  }

  private static func add(_ tensor: Tensor, as name: String, to archive: borrowing ZipWriter) throws(Failure) {
    let tensor = try widened(tensor)
    let header = try NPYHeader.bytes(for: tensor.elementType, dims: tensor.dims)
    guard let byteCount = tensor.elementType.byteCount(of: tensor.count) else { throw Failure(.sizeOverflow, "the array is too large") }
    try unsafe archive.add(name, count: header.count + byteCount) { target in
      unsafe target.copyBytes(from: header)
      unsafe tensor.withUnsafeBytes { elements in
        unsafe UnsafeMutableRawBufferPointer(rebasing: target[header.count...]).copyMemory(from: elements)
      }
    }
  }

  /// NumPy has no bfloat16.
  private static func widened(_ tensor: Tensor) throws(Failure) -> Tensor {
    guard tensor.elementType == .bfloat16, let values = tensor.floats() else { return tensor }
    return try Tensor(float32: values, dims: tensor.dims)
  }
}
