internal import CZip
public import Diagnostics

/// A member that is read from its start, unpacked where it is deflated.
@safe public struct ZipMemberReader: ~Copyable {
  /// Deflate never packs better than 1032 to 1.
  static let bestRatio = 1032

  private let handle: OpaquePointer
  private let place: ModelLocation

  init(_ archive: OpaquePointer, _ index: UInt64, _ place: ModelLocation) throws(Failure) {
    var reason = ZipReason()
    guard let member = unsafe vc_zip_open_member(archive, index, &reason.bytes) else {
      throw Failure(.archiveUnreadable, "cannot be opened: \(reason.text)", at: place)
    }
    unsafe handle = member
    self.place = place
  }

  deinit { unsafe vc_zip_close_member(handle) }

  /// Fills `target` with the next bytes.
  ///
  /// - Throws: `archiveUnreadable` where there are fewer, or where they are damaged.
  public func read(into target: UnsafeMutableRawBufferPointer) throws(Failure) {
    guard target.count > 0 else { return }
    guard try unsafe take(target) == target.count else { throw Failure(.archiveUnreadable, "ends early", at: place) }
  }

  /// The next `count` bytes.
  public func read(_ count: Int) throws(Failure) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    try unsafe span.withUnsafeMutableBytes { (target) throws(Failure) in try unsafe read(into: target) }
    return bytes
  }

  /// Nothing may follow; this is also where the checksum is compared.
  func expectEnd() throws(Failure) {
    var byte: UInt8 = 0
    let rest = try unsafe withUnsafeMutableBytes(of: &byte) { (target) throws(Failure) in try unsafe take(target) }
    guard rest == 0 else { throw Failure(.archiveUnreadable, "holds more than its header says", at: place) }
  }

  private func take(_ target: UnsafeMutableRawBufferPointer) throws(Failure) -> Int {
    var reason = ZipReason()
    let got = unsafe vc_zip_read(handle, target.baseAddress, target.count, &reason.bytes)
    guard got >= 0 else { throw Failure(.archiveUnreadable, "is damaged: \(reason.text)", at: place) }
    return Int(got)
  }
}
