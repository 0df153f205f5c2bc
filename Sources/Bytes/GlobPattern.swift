internal import Glibc

/// A shell pattern (POSIX fnmatch): `*`, `?`, `[…]`.
public struct GlobPattern: Sendable {
  private let text: String
  public init(_ text: String) { self.text = text }

  public func matches(_ name: String) -> Bool { unsafe fnmatch(text, name, 0) == 0 }
}
