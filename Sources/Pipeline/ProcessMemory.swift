internal import Glibc

/// What the operating system tells of this process.
enum ProcessMemory {
  /// The most memory that was resident, in bytes.
  static var peakResidentBytes: Int {
    var usage = rusage()
    guard unsafe getrusage(RUSAGE_SELF, &usage) == 0 else { return 0 }
    return usage.ru_maxrss * 1024
  }
}
