public import Diagnostics
internal import Glibc

/// Bytes that many tensors look into: a file mapped read-only, or an array. Nothing is copied.
///
/// A mapped file must not be shortened while it is open (the kernel would end the process); vitconv's own
/// writers never do so, since they replace files by renaming.
@safe public final class ByteSource: Sendable {
  /// The path the bytes came from, or a word for where else they came from.
  public let name: String
  public let count: Int
  /// Open for copying ranges between files; negative for bytes that lie in memory.
  let descriptor: Int32

  private enum Memory {
    case mapped
    case allocated
    case none
  }
  private nonisolated(unsafe) let base: UnsafeMutableRawPointer?
  private let memory: Memory

  /// Maps the file at `path`.
  public init(mapping path: String) throws(Failure) {
    name = path
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Failure(.fileUnreadable, "cannot open: \(systemErrorText())", at: .init(file: path)) }
    var status = stat()
    guard unsafe fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      close(file)
      throw Failure(.fileUnreadable, "not a regular file", at: .init(file: path))
    }
    count = Int(status.st_size)
    descriptor = file
    if count == 0 {
      unsafe base = nil
      memory = .none
      return
    }
    let address = unsafe mmap(nil, count, PROT_READ, MAP_PRIVATE, file, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      close(file)
      throw Failure(.fileUnreadable, "cannot be mapped: \(systemErrorText())", at: .init(file: path))
    }
    unsafe base = address
    memory = .mapped
  }

  /// Copies `bytes` once.
  public init(_ bytes: [UInt8], name: String) {
    self.name = name
    count = bytes.count
    descriptor = -1
    if bytes.isEmpty {
      unsafe base = nil
      memory = .none
    } else {
      let address = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 64)
      unsafe bytes.withUnsafeBytes { source in
        if let start = source.baseAddress { unsafe address.copyMemory(from: start, byteCount: source.count) }
      }
      unsafe base = address
      memory = .allocated
    }
  }

  /// Reads everything from a descriptor such as standard input, up to `limit` bytes.
  public convenience init(reading file: Int32, name: String, limit: Int) throws(Failure) {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let got = unsafe chunk.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
      if got < 0 { throw Failure(.fileUnreadable, "cannot be read: \(systemErrorText())", at: .init(file: name)) }
      if got == 0 { break }
      guard bytes.count + got <= limit else { throw Failure(.limitExceeded, "more than \(limit) bytes", at: .init(file: name)) }
      bytes.append(contentsOf: chunk[..<got])
    }
    self.init(bytes, name: name)
  }

  deinit {
    if let base = unsafe base {
      switch memory {
      case .mapped: unsafe munmap(base, count)
      case .allocated: unsafe base.deallocate()
      case .none: break
      }
    }
    if descriptor >= 0 { close(descriptor) }
  }

  /// Lends the bytes of `range`, which must lie inside `0..<count`.
  public func withUnsafeBytes<R, E: Error>(in range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range outside the source")
    guard let base = unsafe base else { return try unsafe body(UnsafeRawBufferPointer(start: nil, count: 0)) }
    return try unsafe body(UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
  }

  /// Lends the bytes of `range` as a bounds-checked span.
  public func withBytes<R, E: Error>(in range: Range<Int>, _ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    try unsafe withUnsafeBytes(in: range) { (buffer) throws(E) -> R in try body(unsafe buffer.bytes) }
  }

  public func withBytes<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    try withBytes(in: 0..<count, body)
  }

  /// Gives the memory of a mapped range back; its pages are read again when they are needed. Touching one byte brings in
  /// the pages around it, so a reader that hops over large payloads calls this at each hop to stay small.
  public func forgetPages(of range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range outside the source")
    guard memory == .mapped, let base = unsafe base else { return }
    let page = Int(getpagesize())
    let start = range.lowerBound / page * page
    let end = range.upperBound / page * page
    if start < end { unsafe madvise(base + start, end - start, MADV_DONTNEED) }
  }

  /// Copies the bytes of `range`, which must be as many as `target` takes. Small ranges of a mapped file are read from the
  /// file: touching one byte of the map brings in megabytes around it where the system caches files in large pieces.
  public func copy(_ range: Range<Int>, to target: UnsafeMutableRawBufferPointer) {
    precondition(range.count == target.count, "a copy into another size")
    if memory == .mapped, range.count <= 1 << 16, unsafe pread(descriptor, target.baseAddress, range.count, off_t(range.lowerBound)) == range.count {
      return
    }
    unsafe withUnsafeBytes(in: range) { unsafe target.copyMemory(from: $0) }
  }

  /// A copy of the bytes of `range`.
  public func bytes(in range: Range<Int>) -> [UInt8] {
    unsafe withUnsafeBytes(in: range) { unsafe Array($0) }
  }
}

/// The text of `errno`.
package func systemErrorText() -> String {
  guard let text = unsafe strerror(errno) else { return "error \(errno)" }
  return unsafe String(cString: text)
}
