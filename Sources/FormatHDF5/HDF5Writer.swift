internal import Bytes
internal import CHDF5
public import Diagnostics
public import Tensors

/// Writes an HDF5 file: contiguous datasets without filters, so that every reader can map them.
@safe public struct HDF5Writer: ~Copyable {
  private let handle: OpaquePointer
  private let path: String

  /// Creates the file, makes its content in `body`, and closes it; a file that could not be finished is the caller's to
  /// remove.
  ///
  /// - Throws: `outputUnwritable`, and what `body` throws.
  public static func write(to path: String, _ body: (borrowing HDF5Writer) throws(Failure) -> Void) throws(Failure) {
    try HDF5File.lock.withLock { () throws(Failure) in
      let writer = try HDF5Writer(path)
      do throws(Failure) {
        try body(writer)
      } catch {
        unsafe _ = vc_h5_close(writer.handle)
        throw error
      }
      guard unsafe vc_h5_close(writer.handle) == 0 else { throw failure(path) }
    }
  }

  private init(_ path: String) throws(Failure) {
    guard let handle = unsafe vc_h5_create(path) else { throw HDF5Writer.failure(path) }
    unsafe self.handle = handle
    self.path = path
  }

  public func group(_ path: String) throws(Failure) { try check(unsafe vc_h5_group(handle, path), path) }

  /// A string attribute; "" is the root.
  public func attribute(_ name: String, _ text: String, of path: String = "") throws(Failure) {
    try check(unsafe vc_h5_text(handle, "/" + path, name, text), path)
  }

  public func attribute(_ name: String, _ texts: [String], of path: String) throws(Failure) {
    var bytes: [CChar] = []
    var starts: [Int] = []
    for text in texts {
      starts.append(bytes.count)
      bytes.append(contentsOf: text.utf8CString)
    }
    let status = unsafe bytes.withUnsafeBufferPointer { buffer in
      let pointers = unsafe starts.map { start in unsafe buffer.baseAddress.map { base in unsafe base + start } }
      return unsafe pointers.withUnsafeBufferPointer { unsafe vc_h5_texts(handle, "/" + path, name, $0.baseAddress, texts.count) }
    }
    try check(status, path)
  }

  public func attribute(_ name: String, _ value: Int, of path: String = "") throws(Failure) {
    try check(unsafe vc_h5_integer(handle, "/" + path, name, Int64(value)), path)
  }

  /// - Throws: `notExpressible` for element types that HDF5 files of weights do not hold.
  public func dataset(_ path: String, _ tensor: Tensor) throws(Failure) {
    let status = unsafe tensor.withUnsafeBytes { bytes in
      unsafe vc_h5_dataset(handle, path, Int32(tensor.elementType.rawValue), Int32(tensor.dims.count), tensor.dims.map { UInt64($0) }, bytes.baseAddress)
    }
    guard status == 0 else {
      throw Failure(.notExpressible, "'\(path)' of type \(tensor.type) cannot be written: \(HDF5Writer.reason)", at: .init(file: self.path, element: path))
    }
  }

  private func check(_ status: Int32, _ element: String) throws(Failure) {
    guard status == 0 else { throw HDF5Writer.failure(path, element) }
  }

  private static var reason: String { unsafe String(cString: vc_h5_reason()) }
  private static func failure(_ path: String, _ element: String? = nil) -> Failure {
    Failure(.outputUnwritable, "the HDF5 file cannot be written: \(reason)", at: .init(file: path, element: element))
  }
}
