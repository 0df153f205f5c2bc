internal import Bytes
internal import CZip
public import Diagnostics
internal import Glibc

/// Writes a zip archive of plainly stored members, so that readers can map them. Equal members give equal bytes: no clock
/// goes in.
@safe public struct ZipWriter: ~Copyable {
  private let handle: OpaquePointer
  private let path: String

  /// Writes the archive at `path`, whole or not at all, with the members that `body` adds.
  ///
  /// - Throws: `outputUnwritable`, and what `body` throws.
  public static func write(
    to path: String, protecting inputs: [String] = [], _ body: (borrowing ZipWriter) throws(Failure) -> Void
  ) throws(Failure) {
    try AtomicOutput.write(to: path, protecting: inputs) { (temporary) throws(Failure) in
      let file = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
      guard file >= 0 else { throw Failure(.outputUnwritable, "cannot create the file: \(systemErrorText())", at: .init(file: path)) }
      defer { close(file) }
      let writer = try ZipWriter(file, path: path)
      do throws(Failure) { try body(writer) } catch {
        writer.discard()
        throw error
      }
      try writer.finish()
    }
  }

  private init(_ file: Int32, path: String) throws(Failure) {
    var reason = ZipReason()
    guard let handle = unsafe vc_zip_start(file, &reason.bytes) else {
      throw Failure(.outputUnwritable, "the archive cannot be made: \(reason.text)", at: .init(file: path))
    }
    unsafe self.handle = handle
    self.path = path
  }

  /// Adds a member of `count` bytes, which `fill` writes.
  ///
  /// - Throws: `notExpressible` for names that the format does not hold, `outOfMemory`, `outputUnwritable`.
  public func add(_ name: String, count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) throws(Failure) {
    try check(name)
    guard let bytes = unsafe malloc(max(count, 1)) else {
      throw Failure(.outOfMemory, "the archive takes more memory than there is", at: .init(file: path, element: name))
    }
    unsafe fill(UnsafeMutableRawBufferPointer(start: bytes, count: count))
    var reason = ZipReason()
    guard unsafe vc_zip_add_bytes(handle, name, bytes, count, &reason.bytes) else { throw failure(reason, name) }
  }

  /// - Throws: as above.
  public func add(_ name: String, _ bytes: [UInt8]) throws(Failure) {
    try unsafe add(name, count: bytes.count) { target in unsafe target.copyBytes(from: bytes) }
  }

  /// Adds the content of a file, which must stay until the archive is written.
  ///
  /// - Throws: as above.
  public func add(_ name: String, file: String) throws(Failure) {
    try check(name)
    var reason = ZipReason()
    guard unsafe vc_zip_add_file(handle, name, file, &reason.bytes) else { throw failure(reason, name) }
  }

  private consuming func finish() throws(Failure) {
    var reason = ZipReason()
    guard unsafe vc_zip_finish(handle, &reason.bytes) else { throw failure(reason) }
  }

  private consuming func discard() { unsafe vc_zip_discard(handle) }

  private func check(_ name: String) throws(Failure) {
    guard name.utf8.count <= 0xFFFF, !name.utf8.contains(0) else {
      throw Failure(.notExpressible, "no archive can hold a member of this name", at: .init(file: path, element: name))
    }
  }

  private func failure(_ reason: ZipReason, _ name: String? = nil) -> Failure {
    Failure(.outputUnwritable, "the archive cannot be written: \(reason.text)", at: .init(file: path, element: name))
  }
}
