internal import Bytes
internal import Diagnostics
internal import Glibc
internal import Tensors
internal import Zip

/// Takes the arrays out of a zip archive that lies in memory.
///
/// Every size that the archive declares is checked before it is believed: a member's packed size against the archive, all
/// packed sizes together against the archive (members may not overlap), its unpacked size against the best that
/// deflate can do, the array's size against the unpacked size, and all arrays together against the machine's memory.
enum ArchiveReader {
  static func arrays(in source: ByteSource) throws(Failure) -> [(name: String, tensor: Tensor)] {
    guard source.count > 0 else { throw Failure(.archiveUnreadable, "the file is empty") }
    // An archive without members is its end alone.
    guard ZipArchive.accepts(source) || source.bytes(in: 0..<min(4, source.count)) == [0x50, 0x4B, 5, 6] else {
      throw Failure(.archiveUnreadable, "not a zip archive", advice: "numpy.savez and numpy.savez_compressed write what is read here")
    }
    let archive = try ZipArchive(source, names: .words)
    var result: [(name: String, tensor: Tensor)] = []
    var memory = physicalMemory
    try archive.reading { (open) throws(Failure) in
      for member in archive.members {
        guard member.name.hasSuffix(".npy") else { throw Failure(.archiveUnreadable, "the member '\(member.name)' is not a .npy array") }
        let name = String(member.name.dropLast(4))
        do throws(Failure) {
          result.append((name, try open.read(member) { (reader) throws(Failure) in try array(reader, size: member.size, memory: &memory) }))
        } catch {
          throw error.located(element: name)
        }
      }
    }
    return result
  }

  private static func array(_ file: borrowing ZipMemberReader, size: Int, memory: inout UInt64) throws(Failure) -> Tensor {
    let preamble = try file.read(NPYHeader.preambleLength)
    let width = try NPYHeader.lengthFieldWidth(preamble: preamble)
    let length = try file.read(width).reversed().reduce(0) { $0 << 8 | Int($1) }
    guard length <= NPYHeader.maximumLength else { throw Failure(.limitExceeded, "has a header of \(length) bytes") }
    let header = try NPYHeader(dictionary: try file.read(length))

    guard let count = header.dims.checkedProduct, let byteCount = header.elementType.byteCount(of: count) else {
      throw Failure(.sizeOverflow, "the dimensions \(header.dims) overflow")
    }
    guard byteCount == size - NPYHeader.preambleLength - width - length else {
      throw Failure(.archiveUnreadable, "holds \(size) bytes, its header demands \(byteCount) after itself")
    }
    guard UInt64(byteCount) <= memory else { throw Failure(.outOfMemory, "the arrays take more memory than the machine has") }
    memory -= UInt64(byteCount)

    let buffer = try unsafe TensorBuffer(byteCount: byteCount) { (target) throws(Failure) in
      try unsafe file.read(into: target)
      unsafe NPYLayout.normalize(target, header)
    }
    let stored = try Tensor(header.elementType, dims: header.dims, storage: .memory(buffer))
    return header.order == .columnMajor ? try NPYLayout.rowMajor(stored) : stored
  }

  private static var physicalMemory: UInt64 {
    let pages = sysconf(Int32(_SC_PHYS_PAGES))
    let pageSize = sysconf(Int32(_SC_PAGESIZE))
    return pages > 0 && pageSize > 0 ? UInt64(pages) &* UInt64(pageSize) : .max
  }
}
