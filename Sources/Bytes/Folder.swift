public import Diagnostics
internal import Glibc

/// Looking into folders.
public enum Folder {
  /// The names in a folder, sorted, without those that start with a dot.
  ///
  /// - Throws: `fileUnreadable` when it cannot be listed.
  public static func entries(of path: String) throws(Failure) -> [String] {
    guard let folder = unsafe opendir(path) else {
      throw Failure(.fileUnreadable, "cannot list the folder: \(systemErrorText())", at: .init(file: path))
    }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
  }

  /// Whether there is a folder at `path`, or a link to one.
  public static func exists(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// The same, links left out: a walk that follows none comes to an end.
  public static func isOwn(_ path: String) -> Bool {
    var status = stat()
    return unsafe lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  public static func hasFile(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }
}
