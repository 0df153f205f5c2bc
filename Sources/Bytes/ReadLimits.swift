/// What a reader accepts before it gives up; chosen far above real checkpoints and far below what hurts.
public struct ReadLimits: Sendable {
  /// Nesting of messages (subgraphs in subgraphs, types in types).
  public var depth = 64
  /// Messages, names and list entries of one file; each may cost a few hundred bytes of memory for two in the file.
  public var messages = 4_000_000
  /// Bytes of structure (all but tensor payloads) of one file.
  public var structureBytes = 128 << 20
  /// Rank of a tensor.
  public var rank = 64
  /// Bytes of a sparse tensor once its zeros are filled in.
  public var denseBytes = 256 << 20
  /// Bytes read from a pipe.
  public var pipeBytes = 4 << 30

  public init() {}
  public static let standard = ReadLimits()
}
