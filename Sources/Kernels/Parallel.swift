internal import COneDNN

/// The threads that kernels called from this thread use.
public enum Parallel {
  /// Says how many threads work started from this thread may use. They take the next piece when they are free; oneDNN is
  /// called for one piece at a time, since a second team of its own would spin against this one.
  public static func use(threads: Int) { vc_use_threads(CInt(clamping: threads)) }

  static var threads: Int { Int(vc_threads()) }
  /// Into how many pieces a large piece of work is best cut: more than threads, so that a thread that the system holds
  /// up leaves its share to the others.
  static var pieces: Int { vc_threads() > 1 ? Int(vc_threads()) * 2 : 1 }

  /// Splits `0..<count` into ranges of at least `grain` and calls `body` for them, several at a time. The split depends on
  /// `count`, `grain` and the number of threads only, so results repeat.
  public static func forRanges(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    let parts = Swift.min(Swift.max(pieces, threads), Swift.max(1, count / Swift.max(grain, 1)))
    guard parts > 1 else {
      if count > 0 { body(0..<count) }
      return
    }
    forEach(parts) { part, _ in body(count * part / parts..<count * (part + 1) / parts) }
  }

  /// `body` of each index below `count`, several at a time, in order.
  public static func map<Result>(_ count: Int, _ body: (Int) -> Result) -> [Result] {
    guard count > 1, threads > 1 else { return (0..<count).map(body) }
    return unsafe [Result](unsafeUninitializedCapacity: count) { target, used in
      guard let start = target.baseAddress else { return }
      forEach(count) { index, _ in unsafe (start + index).initialize(to: body(index)) }
      used = count
    }
  }

  /// Calls `body(index, worker)` for each index below `count`; no two calls at one time have the same worker.
  public static func forEach(_ count: Int, _ body: (_ index: Int, _ worker: Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      var work = Work(body: body)
      unsafe withUnsafeMutablePointer(to: &work) { pointer in
        unsafe vc_parallel(
          { data, index, worker in
            guard let work = unsafe data?.assumingMemoryBound(to: Work.self) else { return }
            unsafe work.pointee.body(Int(index), Int(worker))
          }, pointer, CInt(count))
      }
    }
  }

  private struct Work {
    let body: (Int, Int) -> Void
  }
}
