internal import CZip
internal import Diagnostics
internal import Glibc

/// Writes a zip archive of plainly stored members, so that readers can map them.
@safe struct ZipWriter: ~Copyable {
  private var archive: OpaquePointer?
  private let path: String

  init(_ path: String) throws(Failure) {
    self.path = path
    var status: Int32 = 0
    unsafe archive = zip_open(path, ZIP_CREATE | ZIP_EXCL, &status)
    guard unsafe archive != nil else { throw Failure(.outputUnwritable, "the archive cannot be created", at: .init(file: path)) }
  }

  deinit { if let archive = unsafe archive { unsafe zip_discard(archive) } }

  /// The bytes are copied by the library.
  func add(_ name: String, bytes: [UInt8]) throws(Failure) {
    guard let archive = unsafe archive else { throw failure() }
    let copy = unsafe malloc(max(bytes.count, 1))
    if let copy = unsafe copy {
      unsafe bytes.withUnsafeBytes { source in if let base = source.baseAddress { unsafe copy.copyMemory(from: base, byteCount: source.count) } }
    }
    guard let source = unsafe zip_source_buffer(archive, copy, UInt64(bytes.count), 1) else { throw failure() }
    try unsafe add(name, source)
  }

  func add(_ name: String, file: String) throws(Failure) {
    guard let archive = unsafe archive, let source = unsafe zip_source_file(archive, file, 0, -1) else { throw failure() }
    try unsafe add(name, source)
  }

  private func add(_ name: String, _ source: OpaquePointer) throws(Failure) {
    guard let archive = unsafe archive else { throw failure() }
    let index = unsafe zip_file_add(archive, name, source, UInt32(ZIP_FL_ENC_UTF_8))
    guard index >= 0 else {
      unsafe zip_source_free(source)
      throw failure()
    }
    // The same model gives the same bytes: no member bears the time of day.
    guard unsafe zip_set_file_compression(archive, UInt64(index), ZIP_CM_STORE, 0) == 0,
      unsafe zip_file_set_dostime(archive, UInt64(index), 0, 0x21, 0) == 0
    else { throw failure() }
  }

  consuming func finish() throws(Failure) {
    guard let open = unsafe archive else { throw failure() }
    guard unsafe zip_close(open) == 0 else { throw failure() }
    unsafe archive = nil
  }

  private func failure() -> Failure {
    let reason = unsafe archive.map { unsafe String(cString: zip_strerror($0)) } ?? "it is closed"
    return Failure(.outputUnwritable, "the archive cannot be written: \(reason)", at: .init(file: path))
  }
}
