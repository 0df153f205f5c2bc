internal import Bytes
internal import Diagnostics
internal import Tensors
internal import Zip

/// Makes the bytes of an archive of stored members.
enum ArchiveWriter {
  static func archive(of entries: [(name: String, tensor: Tensor)]) throws(Failure) -> [OutputSegment] {
    var archive = ZipWriter()
    for entry in entries {
      do throws(Failure) {
        try archive.add(entry.name + ".npy", .bytes(try npy(entry.tensor)))
      } catch {
        throw error.located(element: entry.name)
      }
    }
    return archive.segments()
  }

  private static func npy(_ tensor: Tensor) throws(Failure) -> [UInt8] {
    let writable = try widened(tensor)
    var bytes = try NPYHeader.bytes(for: writable.elementType, dims: writable.dims)
    unsafe writable.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
    return bytes
  }

  /// NumPy has no bfloat16.
  private static func widened(_ tensor: Tensor) throws(Failure) -> Tensor {
    guard tensor.elementType == .bfloat16, let values = tensor.floats() else { return tensor }
    return try Tensor(float32: values, dims: tensor.dims)
  }
}
