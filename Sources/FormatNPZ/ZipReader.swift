internal import Bytes
internal import CZip
internal import Diagnostics
internal import Glibc
internal import Tensors

/// Takes the arrays out of a zip archive that lies in memory.
///
/// Every size that the archive declares is checked before it is believed: a member's packed size against the archive, all
/// packed sizes together against the archive (members may not overlap), its unpacked size against the best that
/// deflate can do, the array's size against the unpacked size, and all arrays together against the machine's memory.
enum ZipReader {
  /// Deflate never packs better than 1032 to 1.
  private static let bestDeflateRatio: UInt64 = 1032

  static func arrays(in source: ByteSource) throws(Failure) -> [(name: String, tensor: Tensor)] {
    guard source.count > 0 else { throw Failure(.archiveUnreadable, "the file is empty") }
    return try unsafe source.withUnsafeBytes(in: 0..<source.count) { (bytes) throws(Failure) in
      try unsafe OpenArchive(bytes).arrays()
    }
  }

  /// libzip's handle on borrowed bytes.
  @safe private struct OpenArchive: ~Copyable {
    private let handle: OpaquePointer
    private let size: UInt64

    init(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
      var error = unsafe zip_error_t()
      unsafe zip_error_init(&error)
      defer { unsafe zip_error_fini(&error) }
      guard let source = unsafe zip_source_buffer_create(bytes.baseAddress, UInt64(bytes.count), 0, &error) else {
        throw Failure(.archiveUnreadable, "not a zip archive: \(unsafe errorText(&error))")
      }
      guard let archive = unsafe zip_open_from_source(source, ZIP_RDONLY, &error) else {
        unsafe zip_source_free(source)
        throw Failure(
          .archiveUnreadable, "not a zip archive: \(unsafe errorText(&error))", advice: "numpy.savez and numpy.savez_compressed write what is read here")
      }
      unsafe handle = archive
      size = UInt64(bytes.count)
    }

    deinit { unsafe zip_discard(handle) }

    func arrays() throws(Failure) -> [(name: String, tensor: Tensor)] {
      var result: [(name: String, tensor: Tensor)] = []
      var seen: Set<String> = []
      var packed: UInt64 = 0
      var memory = physicalMemory
      for index in 0..<UInt64(Swift.max(0, unsafe zip_get_num_entries(handle, 0))) {
        var member = unsafe zip_stat_t()
        guard unsafe zip_stat_index(handle, index, 0, &member) == 0, let text = unsafe member.name else {
          throw Failure(.archiveUnreadable, "member \(index) has no readable entry")
        }
        let file = unsafe String(cString: text)
        guard file.hasSuffix(".npy") else {
          throw Failure(.archiveUnreadable, "the member '\(file)' is not a .npy array")
        }
        let name = String(file.dropLast(4))
        do throws(Failure) {
          guard seen.insert(name).inserted else { throw Failure(.archiveUnreadable, "two arrays have this name") }
          let (total, overflow) = packed.addingReportingOverflow(unsafe member.comp_size)
          guard !overflow, total <= size else {
            throw Failure(.archiveUnreadable, "declares \(unsafe member.comp_size) packed bytes, more than the archive holds")
          }
          packed = total
          result.append((name, try unsafe array(at: index, member, memory: &memory)))
        } catch {
          throw error.located(element: name)
        }
      }
      return result
    }

    private func array(at index: UInt64, _ member: zip_stat_t, memory: inout UInt64) throws(Failure) -> Tensor {
      guard unsafe member.encryption_method == UInt16(ZIP_EM_NONE) else { throw Failure(.archiveUnreadable, "is encrypted") }
      switch unsafe Int32(member.comp_method) {
      case ZIP_CM_STORE:
        guard unsafe member.size == member.comp_size else { throw Failure(.archiveUnreadable, "has two different sizes") }
      case ZIP_CM_DEFLATE:
        guard unsafe member.size / bestDeflateRatio <= member.comp_size else {
          throw Failure(.limitExceeded, "declares \(unsafe member.size) bytes, more than \(unsafe member.comp_size) packed bytes can hold")
        }
      default: throw Failure(.archiveUnreadable, "is packed by method \(unsafe member.comp_method), known are stored and deflated")
      }
      let file = try unsafe OpenMember(handle, index)

      let preamble = try file.read(NPYHeader.preambleLength)
      let width = try NPYHeader.lengthFieldWidth(preamble: preamble)
      let length = try file.read(width).reversed().reduce(0) { $0 << 8 | Int($1) }
      guard length <= NPYHeader.maximumLength else { throw Failure(.limitExceeded, "has a header of \(length) bytes") }
      let header = try NPYHeader(dictionary: try file.read(length))

      guard let count = header.dims.checkedProduct, let byteCount = header.elementType.byteCount(of: count) else {
        throw Failure(.sizeOverflow, "the dimensions \(header.dims) overflow")
      }
      let declared = UInt64(NPYHeader.preambleLength + width + length) + UInt64(byteCount)
      guard unsafe declared == member.size else {
        throw Failure(.archiveUnreadable, "holds \(unsafe member.size) bytes, its header demands \(declared)")
      }
      guard UInt64(byteCount) <= memory else { throw Failure(.outOfMemory, "the arrays take more memory than the machine has") }
      memory -= UInt64(byteCount)

      let buffer = try unsafe TensorBuffer(byteCount: byteCount) { (target) throws(Failure) in
        try unsafe file.read(into: target)
        unsafe NPYLayout.normalize(target, header)
      }
      try file.expectEnd()
      let stored = try Tensor(header.elementType, dims: header.dims, storage: .memory(buffer))
      return header.order == .columnMajor ? try NPYLayout.rowMajor(stored) : stored
    }
  }

  /// A member being unpacked.
  @safe private struct OpenMember: ~Copyable {
    private let handle: OpaquePointer

    init(_ archive: OpaquePointer, _ index: UInt64) throws(Failure) {
      guard let file = unsafe zip_fopen_index(archive, index, 0) else {
        throw Failure(.archiveUnreadable, "cannot be opened: \(unsafe errorText(zip_get_error(archive)))")
      }
      unsafe handle = file
    }

    deinit { unsafe zip_fclose(handle) }

    func read(into target: UnsafeMutableRawBufferPointer) throws(Failure) {
      var done = 0
      while done < target.count {
        // libzip takes at most what fits a signed count.
        let wanted = Swift.min(target.count - done, 1 << 30)
        let got = unsafe zip_fread(handle, target.baseAddress?.advanced(by: done), UInt64(wanted))
        guard got >= 0 else { throw Failure(.archiveUnreadable, "cannot be unpacked: \(unsafe errorText(zip_file_get_error(handle)))") }
        guard got > 0 else { throw Failure(.archiveUnreadable, "ends early") }
        done += Int(got)
      }
    }

    func read(_ count: Int) throws(Failure) -> [UInt8] {
      var bytes = [UInt8](repeating: 0, count: count)
      var span = bytes.mutableSpan
      try unsafe span.withUnsafeMutableBytes { (target) throws(Failure) in try unsafe read(into: target) }
      return bytes
    }

    /// Nothing may follow; this is also where libzip compares the checksum.
    func expectEnd() throws(Failure) {
      var byte: UInt8 = 0
      let got = unsafe zip_fread(handle, &byte, 1)
      if got > 0 { throw Failure(.archiveUnreadable, "holds more than its header says") }
      if got < 0 { throw Failure(.archiveUnreadable, "is damaged: \(unsafe errorText(zip_file_get_error(handle)))") }
    }
  }

  private static var physicalMemory: UInt64 {
    let pages = sysconf(Int32(_SC_PHYS_PAGES))
    let pageSize = sysconf(Int32(_SC_PAGESIZE))
    return pages > 0 && pageSize > 0 ? UInt64(pages) &* UInt64(pageSize) : .max
  }
}

/// libzip's words for an error.
func errorText(_ error: UnsafeMutablePointer<zip_error_t>?) -> String {
  guard let error = unsafe error, let text = unsafe zip_error_strerror(error) else { return "unknown reason" }
  return unsafe String(cString: text)
}
