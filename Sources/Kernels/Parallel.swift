internal import COneDNN

/// The team of threads that oneDNN computes with, for the loops of our own.
public enum Parallel {
  /// Sets how many threads kernels called from this thread use.
  public static func setThreads(_ count: Int) { vc_set_threads(CInt(clamping: count)) }

  /// Splits `0..<count` into ranges of at least `grain` and calls `body` for them on the team. The split depends on
  /// `count`, `grain` and the number of threads only, so results repeat.
  public static func forRanges(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    let parts = Swift.min(Int(vc_threads()), Swift.max(1, count / Swift.max(grain, 1)))
    guard parts > 1 else {
      if count > 0 { body(0..<count) }
      return
    }
    withoutActuallyEscaping(body) { body in
      var work = Work(count: count, parts: parts, body: body)
      unsafe withUnsafeMutablePointer(to: &work) { pointer in
        unsafe vc_parallel(
          { data, index in
            guard let work = unsafe data?.assumingMemoryBound(to: Work.self) else { return }
            let (count, parts) = unsafe (work.pointee.count, work.pointee.parts)
            let part = Int(index)
            unsafe work.pointee.body(count * part / parts..<count * (part + 1) / parts)
          }, pointer, CInt(parts))
      }
    }
  }

  private struct Work {
    let count: Int
    let parts: Int
    let body: (Range<Int>) -> Void
  }
}
