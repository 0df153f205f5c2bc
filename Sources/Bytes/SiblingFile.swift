public import Diagnostics
internal import Glibc

/// A file that another one names, such as the external data of a model: it must lie below the folder of the file that
/// names it, whatever links are on the way.
public enum SiblingFile {
  /// Maps the file at `location`, relative to the folder of `path`.
  ///
  /// - Throws: `externalPathRefused` for absolute paths, `..` and links that lead out; `fileUnreadable` when there is
  ///   no such file.
  public static func map(_ location: String, beside path: String) throws(Failure) -> ByteSource {
    let place = ModelLocation(file: path)
    let parts = location.split(separator: "/", omittingEmptySubsequences: true)
    guard !location.isEmpty, !location.hasPrefix("/"), !parts.contains(".."), !location.utf8.contains(0) else {
      throw Failure(.externalPathRefused, "external data at '\(location)' is not a path below the model's folder", at: place)
    }
    let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    let base = folder.isEmpty ? (path.hasPrefix("/") ? "/" : ".") : folder
    guard let root = resolved(base) else { throw Failure(.fileUnreadable, "the model's folder cannot be resolved: \(systemErrorText())", at: place) }
    guard let target = resolved("\(base)/\(location)") else {
      throw Failure(.fileUnreadable, "external data '\(location)' cannot be opened: \(systemErrorText())", at: place, advice: "keep it beside the model")
    }
    guard target.hasPrefix(root == "/" ? "/" : root + "/") else {
      throw Failure(.externalPathRefused, "external data at '\(location)' leads out of the model's folder", at: place)
    }
    return try ByteSource(mapping: target)
  }

  /// The path without links; nil when something on it is missing.
  private static func resolved(_ path: String) -> String? {
    guard let result = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(result) }
    return unsafe String(cString: result)
  }
}
