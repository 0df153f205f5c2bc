internal import CZip
internal import Diagnostics
internal import Glibc
internal import Tensors

/// Makes the bytes of an archive of stored members.
enum ZipWriter {
  static func archive(of entries: [(name: String, tensor: Tensor)]) throws(Failure) -> [UInt8] {
    // libzip would rather have no file than one without members; such an archive is its end record alone.
    if entries.isEmpty { return [0x50, 0x4B, 5, 6] + [UInt8](repeating: 0, count: 18) }
    var members: [(name: String, bytes: [UInt8])] = []
    for entry in entries {
      guard !entry.name.utf8.contains(0) else { throw Failure(.notExpressible, "an array name holds a zero byte") }
      members.append((entry.name + ".npy", try npy(entry.tensor, name: entry.name)))
    }
    var error = unsafe zip_error_t()
    unsafe zip_error_init(&error)
    defer { unsafe zip_error_fini(&error) }
    guard let target = unsafe zip_source_buffer_create(nil, 0, 0, &error) else { throw unsafe failure(errorText(&error)) }
    defer { unsafe zip_source_free(target) }
    // The archive takes over one reference; the other stays here to read the result.
    unsafe zip_source_keep(target)
    guard let archive = unsafe zip_open_from_source(target, ZIP_TRUNCATE, &error) else {
      unsafe zip_source_free(target)
      throw unsafe failure(errorText(&error))
    }
    do throws(Failure) {
      for member in members { try unsafe add(member.name, member.bytes, to: archive) }
      guard unsafe zip_close(archive) == 0 else { throw unsafe failure(errorText(zip_get_error(archive))) }
    } catch {
      unsafe zip_discard(archive)
      throw error
    }
    return try unsafe contents(of: target)
  }

  private static func add(_ name: String, _ bytes: [UInt8], to archive: OpaquePointer) throws(Failure) {
    // libzip reads the bytes when the archive is closed, so it gets a copy of its own to free.
    guard let copy = unsafe malloc(Swift.max(bytes.count, 1)) else { throw Failure(.outOfMemory, "the archive takes more memory than there is") }
    unsafe bytes.withUnsafeBytes { source in
      if let start = source.baseAddress { unsafe copy.copyMemory(from: start, byteCount: source.count) }
    }
    guard let source = unsafe zip_source_buffer(archive, copy, UInt64(bytes.count), 1) else {
      unsafe free(copy)
      throw unsafe failure(errorText(zip_get_error(archive)))
    }
    let index = unsafe zip_file_add(archive, name, source, UInt32(ZIP_FL_ENC_UTF_8))
    guard index >= 0 else {
      unsafe zip_source_free(source)
      throw unsafe failure(errorText(zip_get_error(archive)))
    }
    // The first day that a zip archive can tell: 1980-01-01.
    guard unsafe zip_set_file_compression(archive, UInt64(index), ZIP_CM_STORE, 0) == 0,
      unsafe zip_file_set_dostime(archive, UInt64(index), 0, 0x21, 0) == 0
    else { throw unsafe failure(errorText(zip_get_error(archive))) }
  }

  private static func contents(of source: OpaquePointer) throws(Failure) -> [UInt8] {
    var status = unsafe zip_stat_t()
    guard unsafe zip_source_stat(source, &status) == 0, let size = unsafe Int(exactly: status.size), unsafe zip_source_open(source) == 0 else {
      throw unsafe failure(errorText(zip_source_error(source)))
    }
    defer { unsafe zip_source_close(source) }
    var bytes = [UInt8](repeating: 0, count: size)
    let got = unsafe bytes.withUnsafeMutableBytes { unsafe zip_source_read(source, $0.baseAddress, UInt64($0.count)) }
    guard got == Int64(size) else { throw unsafe failure(errorText(zip_source_error(source))) }
    return bytes
  }

  private static func npy(_ tensor: Tensor, name: String) throws(Failure) -> [UInt8] {
    do throws(Failure) {
      let writable = try widened(tensor)
      var bytes = try NPYHeader.bytes(for: writable.elementType, dims: writable.dims)
      unsafe writable.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
      return bytes
    } catch {
      throw error.located(element: name)
    }
  }

  private static func widened(_ tensor: Tensor) throws(Failure) -> Tensor {
    guard tensor.elementType == .bfloat16, let values = tensor.floats() else { return tensor }
    return try Tensor(float32: values, dims: tensor.dims)
  }

  private static func failure(_ reason: String) -> Failure { Failure(.outputUnwritable, "the archive cannot be made: \(reason)") }
}
