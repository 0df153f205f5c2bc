internal import CSystem
public import Diagnostics
internal import Glibc

/// Standard output and standard error, written without buffering; a failed write is an error and not a loss.
public enum StandardStream: Sendable {
  case output, error

  private var descriptor: Int32 { self == .output ? STDOUT_FILENO : STDERR_FILENO }

  public var isTerminal: Bool { isatty(descriptor) == 1 }

  /// Whether a person looks at it and wants colors: see no-color.org.
  public var allowsColors: Bool {
    isTerminal && (StandardStream.environment("NO_COLOR") ?? "").isEmpty && StandardStream.environment("TERM") != "dumb"
  }

  private static func environment(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }

  public func write(_ text: String) throws(Failure) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let written = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if written < 0 {
        if errno == EINTR { continue }
        throw Failure(.outputUnwritable, "cannot write to standard \(self): \(systemErrorText())")
      }
      rest = rest.dropFirst(written)
    }
  }
}

/// What happens when the process is stopped from outside or by a bug of its own.
public enum AbnormalEnd {
  /// From now on, an interrupt removes the output file being written; a trap says that it is a bug and where, removes
  /// that file and exits with 4; a mapped input that another program shortened exits with 3.
  public static func install() { vc_install_signal_handlers() }
}
