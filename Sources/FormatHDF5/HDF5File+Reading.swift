public import Bytes
internal import CHDF5
public import Diagnostics
internal import Glibc

/// A file that another process is reading (docs/security.md), while this one does something else.
@safe public struct HDF5Reading: ~Copyable {
  /// Of process 0 when it has been finished.
  private var guardian: vc_h5_guard
  private let source: ByteSource
  private let range: Range<Int>

  /// Starts to read the file that `range` of the source holds.
  ///
  /// - Throws: `fileUnreadable` where there is no process to read it in.
  public init(_ source: ByteSource, in range: Range<Int>? = nil, limits: ReadLimits = .standard) throws(Failure) {
    self.source = source
    self.range = range ?? 0..<source.count
    var bounds = vc_h5_limits()
    bounds.objects = UInt64(limits.messages)
    bounds.depth = UInt64(limits.depth)
    bounds.structure_bytes = UInt64(limits.structureBytes)
    bounds.decoded_bytes = UInt64(limits.unpackedBytes(ofFile: self.range.count))
    var started = vc_h5_guard()
    var message = [CChar](repeating: 0, count: 256)
    let status = unsafe source.withUnsafeBytes(in: self.range) { image in
      HDF5File.lock.withLock { unsafe vc_h5_start(image.baseAddress, image.count, &bounds, &started, &message) }
    }
    guard status == VC_H5_OK else {
      throw Failure(.fileUnreadable, "no process to read it in: \(message.asText)", at: .init(file: source.name))
    }
    guardian = started
  }

  /// Takes another process for the guard: what it says on `pipe` is its catalogue. For tests.
  package init(of source: ByteSource, process: Int32, pipe: Int32, elements: Int32) {
    self.source = source
    guardian = vc_h5_guard(process: process, pipe: pipe, data: elements)
    range = 0..<source.count
  }

  deinit {
    var guardian = guardian
    if guardian.process > 0 { unsafe vc_h5_abandon(&guardian) }
  }

  /// Waits until it is read.
  ///
  /// - Throws: `malformed`, `truncated`, `limitExceeded`, `externalPathRefused`.
  public consuming func finish() throws(Failure) -> HDF5File {
    var bytes: UnsafeMutablePointer<UInt8>?
    var length = 0
    var message = [CChar](repeating: 0, count: 256)
    var own = guardian
    guardian.process = 0
    let status = unsafe vc_h5_finish(&own, &bytes, &length, &message)
    defer { unsafe free(bytes) }
    try HDF5Reading.check(status, message.asText, of: source)
    defer { close(own.data) }
    let unpacked = try ByteSource(mapping: "/proc/self/fd/\(own.data)")
    let catalogue = unsafe UnsafeRawBufferPointer(start: bytes, count: length)
    var reader = unsafe CatalogueReader(catalogue: catalogue, file: HDF5File(source: source), range: range, unpacked: unpacked)
    return try reader.read()
  }

  private static func check(_ status: vc_h5_status, _ reason: String, of source: ByteSource) throws(Failure) {
    let place = ModelLocation(file: source.name)
    switch status {
    case VC_H5_OK: return
    case VC_H5_TRUNCATED: throw Failure(.truncated, reason, at: place)
    case VC_H5_LIMIT: throw Failure(.limitExceeded, reason, at: place)
    case VC_H5_EXTERNAL:
      throw Failure(
        .externalPathRefused, "'/\(reason)' takes its data from another file", at: .init(file: source.name, element: reason),
        advice: "copy the data into one file")
    case VC_H5_SYSTEM: throw Failure(.fileUnreadable, "no process to read it in: \(reason)", at: place)
    default: throw Failure(.malformed, "not a sound HDF5 file: \(reason)", at: place)
    }
  }
}

extension HDF5File {
  /// One writer or start of a reader at a time: libhdf5 is not made for more, and no child must inherit it in the middle of
  /// a call.
  static let lock = Lock()

  /// Reads the file that `range` of the source holds.
  ///
  /// - Throws: `malformed`, `truncated`, `limitExceeded`, `externalPathRefused`.
  public static func read(_ source: ByteSource, in range: Range<Int>? = nil, limits: ReadLimits = .standard) throws(Failure) -> HDF5File {
    try HDF5Reading(source, in: range, limits: limits).finish()
  }
}

extension [CChar] {
  fileprivate var asText: String { String(decoding: prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) }
}

extension ReadLimits {
  /// What a file of this size may unpack to: a real checkpoint's weights hardly pack, and a small file may hold zeros.
  func unpackedBytes(ofFile count: Int) -> Int { min(64 << 30, max(64 << 20, count.multipliedReportingOverflow(by: 16).partialValue)) }
}

/// A mutex that lends itself.
@safe final class Lock: Sendable {
  private nonisolated(unsafe) let mutex: UnsafeMutablePointer<pthread_mutex_t>
  init() {
    unsafe mutex = .allocate(capacity: 1)
    unsafe pthread_mutex_init(mutex, nil)
  }
  deinit {
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }
  func withLock<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return try body()
  }
}
