public import Bytes
public import GraphIR

/// A checkpoint as read: the graph and what stands around it.
public struct ONNXModel: Sendable {
  public var graph: Graph
  public var header: ONNXHeader
}

/// What a ModelProto says of itself.
public struct ONNXHeader: Sendable {
  public var irVersion: Int
  public var producerName: String
  public var producerVersion: String
  public var domain: String
  public var modelVersion: Int
  public var docString: String
  /// Operator-set version by domain, "" being ai.onnx.
  public var opsets: [String: Int]
  public var metadata: [String: String]
  /// Model-local functions.
  public var functionCount: Int
  /// Bytes of the file, external data not counted.
  public var byteCount: Int
  /// Elements of the floating-point initializers. An initializer counts once more for each Identity that hands it on
  /// under another name: exporters store equal parameters once and alias them so. Constant nodes are left out, since
  /// they hold numbers of the computation (scales, epsilons, masks), except where the graph has no initializer at all.
  public var parameterCount: Int
  /// How often each operator occurs in the main graph, as the file spells it; domains other than ai.onnx come first:
  /// `com.microsoft.Attention`.
  public var operatorCounts: [String: Int]
}

/// Reads ONNX files up to IR version 14 and operator set 28.
public enum ONNXReader {
  /// The newest IR version and ai.onnx operator set that are understood.
  public static let newestIRVersion = 14
  public static let newestOpset = 28

  /// Whether the content starts like a ModelProto; reading may still find it broken.
  public static func accepts(_ source: ByteSource) -> Bool {
    source.withBytes { bytes in
      let view = unsafe bytes._unsafeView(as: UInt8.self)
      var cursor = WireCursor(0..<source.count)
      guard let field = try? cursor.next(view), MessageKind.model.rule(for: field.number) != nil else { return false }
      return field.type == (field.number == 1 || field.number == 5 ? .varint : .lengthDelimited)
    }
  }
}
