internal import CSystem

/// How memory for numbers is taken and given back.
public enum HeapPolicy {
  /// Keeps freed memory for the next allocation, up to a gigabyte. Work that makes and drops buffers of many megabytes
  /// over and over spends a fifth of its time on pages that the system clears again; short commands want the standard.
  public static func keepFreedMemory() { vc_keep_freed_memory() }

  private static let hugePage = 2 << 20

  /// `byteCount` undefined bytes at a multiple of 64, to be given back with `deallocate()`. Large blocks ask for huge
  /// pages: a first touch every 2 MiB instead of every 4 KiB.
  @unsafe public static func allocate(byteCount: Int) -> UnsafeMutableRawPointer {
    guard byteCount >= 2 * hugePage else { return UnsafeMutableRawPointer.allocate(byteCount: Swift.max(byteCount, 1), alignment: 64) }
    let base = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: hugePage)
    unsafe vc_prefer_huge_pages(base, byteCount / hugePage * hugePage)
    return unsafe base
  }
}
