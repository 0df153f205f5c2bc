internal import CZip
public import Diagnostics

/// A member that is read from its start, unpacked by zlib where it is deflated.
@safe public struct ZipMemberReader: ~Copyable {
  /// Deflate never packs better than 1032 to 1.
  static let bestRatio = 1032

  /// What has been read, and its checksum.
  private final class Progress {
    var count = 0
    var checksum: UInt32 = 0
  }

  private let packed: UnsafeRawBufferPointer
  /// nil: the bytes are stored plainly.
  private let inflater: OpaquePointer?
  private let progress = Progress()
  private let place: ModelLocation

  init(_ packed: UnsafeRawBufferPointer, isStored: Bool, place: ModelLocation) throws(Failure) {
    unsafe self.packed = packed
    self.place = place
    unsafe inflater = isStored ? nil : vc_inflater_create(packed.baseAddress, packed.count)
    guard unsafe isStored || inflater != nil else { throw Failure(.outOfMemory, "no memory to unpack it in", at: place) }
  }

  deinit { unsafe vc_inflater_free(inflater) }

  /// Fills `target` with the next bytes.
  ///
  /// - Throws: `archiveUnreadable` where there are fewer.
  public func read(into target: UnsafeMutableRawBufferPointer) throws(Failure) {
    guard target.count > 0 else { return }
    if let inflater = unsafe inflater {
      let got = unsafe vc_inflater_read(inflater, target.baseAddress, target.count)
      guard got >= 0 else { throw Failure(.archiveUnreadable, "is damaged", at: place) }
      guard got == target.count else { throw Failure(.archiveUnreadable, "ends early", at: place) }
    } else {
      guard unsafe target.count <= packed.count - progress.count else { throw Failure(.archiveUnreadable, "ends early", at: place) }
      unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: packed[progress.count..<(progress.count + target.count)]))
    }
    progress.count += target.count
    progress.checksum = unsafe vc_crc32(progress.checksum, target.baseAddress, target.count)
  }

  /// The next `count` bytes.
  public func read(_ count: Int) throws(Failure) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    try unsafe span.withUnsafeMutableBytes { (target) throws(Failure) in try unsafe read(into: target) }
    return bytes
  }

  /// Nothing may follow, and the checksum of all must be `checksum`.
  func expectEnd(checksum: UInt32) throws(Failure) {
    var byte: UInt8 = 0
    let rest = unsafe inflater.map { unsafe vc_inflater_read($0, &byte, 1) } ?? Int64(unsafe packed.count - progress.count)
    guard rest <= 0 else { throw Failure(.archiveUnreadable, "holds more than its header says", at: place) }
    guard rest == 0, progress.checksum == checksum else { throw Failure(.archiveUnreadable, "is damaged: its checksum is another one", at: place) }
  }
}
