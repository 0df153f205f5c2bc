internal import Foundation

/// Where the repository's fixtures lie.
public enum Fixtures {
  /// The root of the checkout.
  public static let root: String = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  /// The path of `fixtures/<relative>`.
  public static func path(_ relative: String) -> String { "\(root)/fixtures/\(relative)" }

  /// The folder of shared models beside the checkout, where it exists.
  public static let shared: String? = {
    let path = URL(fileURLWithPath: root).deletingLastPathComponent().appendingPathComponent("shared").path
    return FileManager.default.fileExists(atPath: path) ? path : nil
  }()
}
