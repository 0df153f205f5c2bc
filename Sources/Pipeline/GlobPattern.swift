internal import Glibc

/// A shell pattern (POSIX fnmatch): `*`, `?`, `[…]`.
struct GlobPattern {
  private let text: String
  init(_ text: String) { self.text = text }

  func matches(_ name: String) -> Bool { unsafe fnmatch(text, name, 0) == 0 }
}
