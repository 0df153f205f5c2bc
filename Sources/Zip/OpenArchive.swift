internal import Bytes
internal import CZip
public import Diagnostics

/// libzip's handle on an archive whose bytes are borrowed.
@safe public struct OpenArchive: ~Copyable {
  private let handle: OpaquePointer
  private let count: Int
  private let name: String

  /// - Throws: `archiveUnreadable`.
  init(_ bytes: UnsafeRawBufferPointer, name: String) throws(Failure) {
    var reason = ZipReason()
    guard let handle = unsafe vc_zip_open(bytes.baseAddress, bytes.count, &reason.bytes) else {
      throw Failure(.archiveUnreadable, "the archive is cut or damaged: \(reason.text)", at: .init(file: name))
    }
    unsafe self.handle = handle
    count = bytes.count
    self.name = name
  }

  deinit { unsafe vc_zip_close(handle) }

  private func broken(_ what: String, _ element: String? = nil, _ code: DiagnosticCode = .archiveUnreadable) -> Failure {
    Failure(code, what, at: .init(file: name, element: element))
  }

  // MARK: The directory

  /// - Throws: see `ZipArchive.init`.
  func members(_ names: ZipArchive.Names, _ limits: ReadLimits) throws(Failure) -> [ZipArchive.Member] {
    let entries = unsafe vc_zip_count(handle)
    guard entries <= UInt64(limits.messages / 46) else { throw broken("\(entries) members", nil, .limitExceeded) }
    var result: [ZipArchive.Member] = []
    var seen: Set<String> = []
    var held = 0
    for index in 0..<entries {
      let member = try member(index, names)
      guard seen.insert(member.name).inserted else { throw broken("two members have this name", member.name) }
      guard member.packedSize <= count - held else { throw broken("lies beyond the end of the archive, or where another member does", member.name) }
      held += member.packedSize
      result.append(member)
    }
    return result
  }

  private func member(_ index: UInt64, _ names: ZipArchive.Names) throws(Failure) -> ZipArchive.Member {
    var reason = ZipReason()
    var entry = unsafe vc_zip_entry()
    guard unsafe vc_zip_read_entry(handle, index, &entry, &reason.bytes), let raw = unsafe entry.name else {
      throw broken("the entry of member \(index) is damaged: \(reason.text)")
    }
    guard let name = unsafe String(validatingCString: raw), !name.isEmpty else { throw broken("a member's name is not UTF-8") }
    if names == .paths {
      if name.hasPrefix("/") || name.split(separator: "/").contains("..") || name.contains("\\") {
        throw broken("the member '\(name)' leads out of the archive", name, .externalPathRefused)
      }
      guard unsafe !entry.link else { throw broken("the member '\(name)' is a link", name, .externalPathRefused) }
    }
    guard let packedSize = unsafe Int(exactly: entry.packed), let size = unsafe Int(exactly: entry.size) else {
      throw broken("a size is larger than any file", name)
    }
    let packing: ZipArchive.Packing =
      switch unsafe (entry.encrypted, entry.method) {
      case (true, _): .unreadable("is encrypted")
      case (_, 0): size == packedSize ? .stored : .unreadable("has two different sizes")
      case (_, 8): .deflated
      case (_, let method): .unreadable("is packed by method \(method), known are stored and deflated")
      }
    return ZipArchive.Member(name: name, index: index, packedSize: packedSize, size: size, packing: packing)
  }

  // MARK: Members

  /// Where a stored member's bytes start.
  ///
  /// - Throws: `archiveUnreadable` where they do not all lie in the archive.
  func start(of member: ZipArchive.Member) throws(Failure) -> Int {
    guard member.size > 0 else { return 0 }
    var reason = ZipReason()
    let start = unsafe vc_zip_offset(handle, member.index, &reason.bytes)
    guard start >= 0 else { throw broken("cannot be opened: \(reason.text)", member.name) }
    guard start <= count, member.size <= count - Int(start) else { throw broken("lies beyond the end of the archive", member.name) }
    return Int(start)
  }

  /// Reads a member from its start to its end, unpacking it and comparing its checksum.
  ///
  /// - Throws: `archiveUnreadable` where it is damaged or longer than what `body` reads, `limitExceeded` where it declares
  ///   more than its packed bytes can hold, and what `body` throws.
  public func read<R>(_ member: ZipArchive.Member, _ body: (borrowing ZipMemberReader) throws(Failure) -> R) throws(Failure) -> R {
    let place = ModelLocation(file: name, element: member.name)
    switch member.packing {
    case .unreadable(let reason): throw Failure(.archiveUnreadable, reason, at: place)
    case .deflated where member.size / ZipMemberReader.bestRatio > member.packedSize:
      throw Failure(.limitExceeded, "declares \(member.size) bytes, more than \(member.packedSize) packed bytes can hold", at: place)
    case .stored, .deflated: break
    }
    let reader = try unsafe ZipMemberReader(handle, member.index, place)
    let result = try body(reader)
    try reader.expectEnd()
    return result
  }
}

/// Why libzip refused.
struct ZipReason {
  var bytes = [CChar](repeating: 0, count: Int(VC_ZIP_REASON))
  var text: String { String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) }
}
