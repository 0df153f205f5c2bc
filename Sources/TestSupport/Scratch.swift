internal import Foundation

/// A folder that goes away with its owner.
public final class Scratch: Sendable {
  public let path: String
  public init() throws {
    path = NSTemporaryDirectory() + "vitconv-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(atPath: path) }
  public func file(_ name: String) -> String { "\(path)/\(name)" }
  /// Names of what is in it, sorted.
  public var contents: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
}
