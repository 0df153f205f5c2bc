public import Bytes
internal import CHDF5
public import Diagnostics
internal import Glibc
internal import Tensors

extension HDF5File {
  /// One reader at a time: libhdf5 is not made for more, and the child must not inherit it in the middle of a call.
  static let lock = Lock()

  /// Reads the file that `range` of the source holds.
  ///
  /// - Throws: `malformed`, `truncated`, `limitExceeded`, `externalPathRefused`.
  public static func read(_ source: ByteSource, in range: Range<Int>? = nil, limits: ReadLimits = .standard) throws(Failure) -> HDF5File {
    let range = range ?? 0..<source.count
    var bounds = vc_h5_limits()
    bounds.objects = UInt64(limits.messages)
    bounds.depth = UInt64(limits.depth)
    bounds.structure_bytes = UInt64(limits.structureBytes)
    bounds.decoded_bytes = UInt64(limits.unpackedBytes(ofFile: range.count))
    let scan = try Scan(source, range, bounds)
    var reader = CatalogueReader(catalogue: scan.catalogue, file: HDF5File(source: source), range: range, unpacked: scan.unpacked)
    return try reader.read()
  }

  private struct Scan {
    var catalogue: [UInt8] = []
    var unpacked: ByteSource

    init(_ source: ByteSource, _ range: Range<Int>, _ limits: vc_h5_limits) throws(Failure) {
      var limits = limits
      var bytes: UnsafeMutablePointer<UInt8>?
      var length = 0
      var descriptor: Int32 = -1
      var message = [CChar](repeating: 0, count: 256)
      let status = unsafe source.withUnsafeBytes(in: range) { image in
        HDF5File.lock.withLock { unsafe vc_h5_scan(image.baseAddress, image.count, &limits, &bytes, &length, &descriptor, &message) }
      }
      let reason = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      let place = ModelLocation(file: source.name)
      switch status {
      case VC_H5_OK: break
      case VC_H5_TRUNCATED: throw Failure(.truncated, reason, at: place)
      case VC_H5_LIMIT: throw Failure(.limitExceeded, reason, at: place)
      case VC_H5_EXTERNAL:
        throw Failure(
          .externalPathRefused, "'/\(reason)' takes its data from another file", at: .init(file: source.name, element: reason),
          advice: "copy the data into one file")
      case VC_H5_SYSTEM: throw Failure(.fileUnreadable, "no process to read it in: \(reason)", at: place)
      case VC_H5_CRASHED: throw Failure(.malformed, "not a sound HDF5 file: \(reason)", at: place)
      default: throw Failure(.malformed, "not a sound HDF5 file: \(reason)", at: place)
      }
      defer { close(descriptor) }
      defer { unsafe free(bytes) }
      if let start = unsafe bytes { catalogue = unsafe Array(UnsafeBufferPointer(start: start, count: length)) }
      unpacked = try ByteSource(mapping: "/proc/self/fd/\(descriptor)")
    }
  }
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

/// Reads the records that the child wrote. They come from a process that may have been led astray, so they are checked
/// like a file.
private struct CatalogueReader {
  let catalogue: [UInt8]
  var file: HDF5File
  let range: Range<Int>
  let unpacked: ByteSource
  private var position = 0
  private var object = ""

  init(catalogue: [UInt8], file: HDF5File, range: Range<Int>, unpacked: ByteSource) {
    self.catalogue = catalogue
    self.file = file
    self.range = range
    self.unpacked = unpacked
  }

  mutating func read() throws(Failure) -> HDF5File {
    while position < catalogue.count {
      switch try byte() {
      case UInt8(ascii: "G"):
        object = try text()
        file.add(group: object)
      case UInt8(ascii: "L"): file.add(alias: try text(), of: try text())
      case UInt8(ascii: "D"): try readDataset()
      case UInt8(ascii: "T"): try readStrings()
      case UInt8(ascii: "I"):
        let name = try text()
        let values = try numbers()
        file.add(.integers(values.map { Int(truncatingIfNeeded: $0) }), named: name, to: object)
      case UInt8(ascii: "F"):
        let name = try text()
        let values = try numbers()
        file.add(.numbers(values.map { Double(bitPattern: $0) }), named: name, to: object)
      case UInt8(ascii: "X"): file.add(.other, named: try text(), to: object)
      default: throw broken
      }
    }
    try file.applyTypeNotes()
    return file
  }

  private var broken: Failure { Failure(.malformed, "not a sound HDF5 file: its structure came out garbled", at: .init(file: file.source.name)) }

  private mutating func bytes(_ count: Int) throws(Failure) -> ArraySlice<UInt8> {
    guard count >= 0, count <= catalogue.count - position else { throw broken }
    defer { position += count }
    return catalogue[position..<(position + count)]
  }
  private mutating func byte() throws(Failure) -> UInt8 { try bytes(1).first ?? 0 }
  private mutating func number(_ width: Int) throws(Failure) -> UInt64 { try bytes(width).reversed().reduce(0) { $0 << 8 | UInt64($1) } }
  private mutating func text() throws(Failure) -> String {
    let slice = try bytes(Int(try number(4)))
    guard let text = String(validating: slice, as: UTF8.self) else {
      throw Failure(.malformed, "a name or attribute is not UTF-8", at: .init(file: file.source.name, element: object))
    }
    return text
  }
  private mutating func numbers() throws(Failure) -> [UInt64] {
    _ = try byte()
    let count = Int(try number(4))
    guard count <= (catalogue.count - position) / 8 else { throw broken }
    var result: [UInt64] = []
    result.reserveCapacity(count)
    for _ in 0..<count { result.append(try number(8)) }
    return result
  }

  private mutating func readStrings() throws(Failure) {
    let name = try text()
    let scalar = try byte() != 0
    let count = Int(try number(4))
    guard count <= (catalogue.count - position) / 4 else { throw broken }
    var values: [String] = []
    values.reserveCapacity(count)
    for _ in 0..<count { values.append(try text()) }
    file.add(.strings(values, scalar: scalar), named: name, to: object)
  }

  private mutating func readDataset() throws(Failure) {
    object = try text()
    let type = try byte()
    let place = try byte()
    let offset = try number(8)
    let rank = Int(try byte())
    var dims: [Int] = []
    for _ in 0..<rank {
      guard let dim = Int(exactly: try number(8)) else { throw broken }
      dims.append(dim)
    }
    let reason = try text()
    let isOpaque = type == 200
    if isOpaque { file.opaque.insert(object) }
    let content: HDF5File.Dataset.Content
    if place == 3 {
      let code: DiagnosticCode =
        type == 0 ? .typeMismatch : reason.hasPrefix("filter ") ? .unsupportedVersion : reason.contains("packed larger") ? .limitExceeded : .payloadMismatch
      content = .refused(reason, code)
    } else {
      guard let element = ElementType(rawValue: isOpaque ? ElementType.uint16.rawValue : type), let offset = Int(exactly: offset),
        let count = dims.checkedProduct, let byteCount = element.byteCount(of: count)
      else { throw broken }
      let start: Int
      let source: ByteSource
      switch place {
      case 0: (source, start) = (file.source, range.lowerBound + offset)
      case 1: (source, start) = (unpacked, offset)
      default: (source, start) = (file.source, range.lowerBound)
      }
      guard
        place == 2
          || (place == 0 ? byteCount <= range.count && offset <= range.count - byteCount : offset <= unpacked.count && byteCount <= unpacked.count - offset)
      else { throw broken }
      content = .tensor(try Tensor(element, dims: dims, storage: .mapped(source, start..<(start + (place == 2 ? 0 : byteCount)))))
    }
    file.add(HDF5File.Dataset(content: content, dims: dims), at: object)
  }
}
