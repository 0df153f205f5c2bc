internal import CSystem
public import Diagnostics
internal import Glibc

/// A piece of an output file.
public enum OutputSegment: Sendable {
  case bytes([UInt8])
  case source(ByteSource, Range<Int>)

  public var count: Int {
    switch self {
    case .bytes(let bytes): bytes.count
    case .source(_, let range): range.count
    }
  }
}

/// Writes a file whole or not at all: into a temporary file beside it, flushed, then renamed over the target.
///
/// Ranges of mapped files are copied by the kernel (`copy_file_range`), so unchanged weights never pass through
/// the process.
public enum AtomicOutput {
  /// - Parameter inputs: files that must not be the target.
  public static func write(_ segments: [OutputSegment], to path: String, protecting inputs: [String] = []) throws(Failure) {
    let place = ModelLocation(file: path)
    for input in inputs where isSameFile(input, path) {
      throw Failure(.outputUnwritable, "the output would overwrite the input", at: place, advice: "choose another output path")
    }
    // Renaming over a device or a pipe would replace it, and over a link would leave what it points to as it was.
    var status = stat()
    if unsafe stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      let what = status.st_mode & S_IFMT == S_IFDIR ? "is a directory" : "is not a regular file"
      throw Failure(.outputUnwritable, what, at: place)
    }
    let path = resolvingLinks(path)
    let temporary = "\(path).\(getpid()).tmp"
    let file = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw Failure(.outputUnwritable, "cannot create the file: \(systemErrorText())", at: place) }
    unsafe vc_set_temporary_file(temporary)
    defer { vc_set_temporary_file(nil) }
    do throws(Failure) {
      for segment in segments { try write(segment, to: file, place: place) }
    } catch {
      close(file)
      unsafe unlink(temporary)
      throw error
    }
    guard close(file) == 0 else {
      let reason = systemErrorText()
      unsafe unlink(temporary)
      throw Failure(.outputUnwritable, "cannot write: \(reason)", at: place)
    }
    guard unsafe rename(temporary, path) == 0 else {
      let reason = systemErrorText()
      unsafe unlink(temporary)
      throw Failure(.outputUnwritable, "cannot rename into place: \(reason)", at: place)
    }
  }

  /// The same for content that a library writes by path: `body` makes the file at the path it is given.
  public static func write(to path: String, protecting inputs: [String] = [], _ body: (String) throws(Failure) -> Void) throws(Failure) {
    let place = ModelLocation(file: path)
    for input in inputs where isSameFile(input, path) {
      throw Failure(.outputUnwritable, "the output would overwrite the input", at: place, advice: "choose another output path")
    }
    var status = stat()
    if unsafe stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG { throw Failure(.outputUnwritable, "is not a regular file", at: place) }
    let target = resolvingLinks(path)
    let temporary = "\(target).\(getpid()).tmp"
    unsafe vc_set_temporary_file(temporary)
    defer { vc_set_temporary_file(nil) }
    do throws(Failure) {
      try body(temporary)
    } catch {
      unsafe unlink(temporary)
      throw error
    }
    guard unsafe rename(temporary, target) == 0 else {
      let reason = systemErrorText()
      unsafe unlink(temporary)
      throw Failure(.outputUnwritable, "cannot rename into place: \(reason)", at: place)
    }
  }

  /// Takes back a file that was written just before, when what belongs to it could not be written.
  public static func remove(_ path: String) { _ = unsafe unlink(path) }

  private static func write(_ segment: OutputSegment, to file: Int32, place: ModelLocation) throws(Failure) {
    switch segment {
    case .bytes(let bytes):
      try unsafe bytes.span.withUnsafeBytes { (buffer) throws(Failure) in try unsafe writeAll(buffer, to: file, place: place) }
    case .source(let source, let range):
      var done = 0
      if source.descriptor >= 0 {
        var offset = Int64(range.lowerBound)
        while done < range.count {
          let copied = unsafe vc_copy_file_range(source.descriptor, &offset, file, range.count - done)
          if copied <= 0 { break }
          done += Int(copied)
        }
      }
      // Kernels and file systems without copy_file_range, and sources in memory.
      let rest = range.lowerBound + done..<range.upperBound
      try unsafe source.withUnsafeBytes(in: rest) { (buffer) throws(Failure) in try unsafe writeAll(buffer, to: file, place: place) }
    }
  }

  private static func writeAll(_ buffer: UnsafeRawBufferPointer, to file: Int32, place: ModelLocation) throws(Failure) {
    guard let base = buffer.baseAddress else { return }
    var done = 0
    while done < buffer.count {
      let written = unsafe Glibc.write(file, base + done, buffer.count - done)
      if written < 0 {
        if errno == EINTR { continue }
        throw Failure(.outputUnwritable, "cannot write: \(systemErrorText())", at: place)
      }
      done += written
    }
  }

  private static func resolvingLinks(_ path: String) -> String {
    guard let resolved = unsafe realpath(path, nil) else { return path }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }

  private static func isSameFile(_ a: String, _ b: String) -> Bool {
    var first = stat()
    var second = stat()
    guard unsafe stat(a, &first) == 0, unsafe stat(b, &second) == 0 else { return false }
    return first.st_dev == second.st_dev && first.st_ino == second.st_ino
  }
}
