/// The result of a command: data that can be told as text and as one JSON document.
public protocol Report: Sendable {
  /// `vitconv.<command>/<version>`; the file `schemas/<command>.schema.json` describes the document.
  static var schema: String { get }
  /// The document, `schema` first.
  var json: JSONValue { get }
  /// For people; ends with a newline.
  func text(_ style: TextStyle) -> String
}

/// How text may look.
public struct TextStyle: Sendable {
  /// Whether terminal colors may be used.
  public var colors: Bool
  /// Whether to list what is left out by default, such as every operator.
  public var verbose: Bool
  public init(colors: Bool = false, verbose: Bool = false) {
    self.colors = colors
    self.verbose = verbose
  }
}
