public import Bytes
public import Diagnostics
internal import FormatHDF5
public import GraphIR
internal import Operators
internal import Tensors
internal import Zip

/// What a file of weights leaves open and the user may tell.
public struct CheckpointOptions: Sendable {
  /// Attention heads, where no weight tells them.
  public var heads: Int?
  /// A file with the architecture: a configuration in JSON, or a model with the same one.
  public var configuration: String?
  /// A file that describes layers of the user's own (docs/keras.md).
  public var customLayers: String?
  /// Height and width of images, where no weight tells them.
  public var imageSize: [Int]?
  /// Whether every byte of an archive's weights is read to compare its checksum, which takes longer than to look at the model.
  public var comparesChecksums = true
  /// Whether weights are listed, with the question as a finding, where it stays open what their architecture needs.
  public var listsOpenWeights = false
  public init() {}
}

/// A checkpoint as read: the graph and what stands around it.
public struct KerasCheckpoint: Sendable {
  public var graph: Graph
  /// The word in reports: `keras`, `hdf5` or `safetensors`.
  public var format: String
  public var producer: String
  /// Elements of the floating-point variables.
  public var parameterCount: Int
  public var byteCount: Int
}

/// Reads Keras models (whole-model `.h5` of Keras 2 and 3, `.keras`), weights in HDF5 and safetensors.
///
/// Nothing that a file holds is ever run: Lambda layers stay nodes without a meaning.
public enum KerasReader {
  /// Whether the content starts like one of these files.
  public static func accepts(_ source: ByteSource) -> Bool {
    HDF5File.accepts(source) || ZipArchive.accepts(source) || Safetensors.accepts(source) || isJSON(source)
  }

  private static func isJSON(_ source: ByteSource) -> Bool {
    let start = source.bytes(in: 0..<min(source.count, 64))
    guard let first = start.first(where: { $0 > 0x20 }), first == UInt8(ascii: "{") else { return false }
    return start.allSatisfy { $0 >= 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 }
  }

  /// - Parameter path: where the file lies; nil for a pipe, which has no files beside it.
  public static func read(
    _ source: ByteSource, path: String?, options: CheckpointOptions = CheckpointOptions(), limits: ReadLimits = .standard, sink: inout DiagnosticSink
  ) throws(Failure) -> KerasCheckpoint {
    let checkpoint = try Checkpoint.open(source, path: path, options: options, limits: limits)
    do throws(Failure) {
      let result = try checkpoint.read(sink: &sink)
      return result
    } catch {
      throw error.located(file: source.name)
    }
  }
}
