internal import Bytes
internal import Diagnostics
internal import FormatKeras
internal import FormatONNX
internal import GraphIR
internal import GraphText
internal import Glibc

/// What a reader tells of a file beside its graph.
public struct FileFacts: Sendable {
  public var format: String
  public var producer: String
  public var parameters: Int
  /// The file and the external files it refers to.
  public var byteCount: Int
  /// How often each operator occurs, as the file spells it.
  public var operators: [String: Int]
}

/// A file format: how to know it by its content, how to read it, how to write it.
struct ModelFormat: Sendable {
  /// The word in reports.
  var name: String
  /// Suffixes of output paths that name this format.
  var suffixes: [String]
  /// Whether bytes look like this format; called in the order of the registry.
  var recognizes: @Sendable (ByteSource) -> Bool
  var read: @Sendable (ByteSource, String?, CheckpointOptions, inout DiagnosticSink) throws(Failure) -> (Graph, FileFacts)
  /// nil where the format is only read.
  var write: (@Sendable (Graph, String, WritingOptions) throws(Failure) -> Void)?
  /// Whether it is a container of weights, which may stand without an architecture.
  var holdsWeights = false
}

/// The formats there are. A new one is one entry here and one target.
enum FormatRegistry {
  static let formats: [ModelFormat] = [graphText, keras, safetensors, kerasArchive, kerasWholeModel, onnx]

  /// The text form: `graph` after comments and test lines.
  static let graphText = ModelFormat(
    name: "vcg", suffixes: [".vcg"],
    recognizes: { source in
      guard source.name.hasSuffix(".vcg") else { return false }
      return source.bytes(in: 0..<min(source.count, 512)).allSatisfy { $0 >= 0x20 || $0 == 0x0A || $0 == 0x09 || $0 == 0x0D }
    },
    read: { (source, _, _, _) throws(Failure) in
      let graph = try GraphParser.parse(String(decoding: source.bytes(in: 0..<source.count), as: UTF8.self))
      return (
        graph,
        FileFacts(
          format: "vcg", producer: "", parameters: GraphFacts.parameterCount(graph), byteCount: source.count, operators: GraphFacts.operatorCounts(graph))
      )
    },
    write: { (graph, path, _) throws(Failure) in try AtomicOutput.write([.bytes(Array(GraphPrinter.print(graph).utf8))], to: path) })

  /// Keras models and weights: HDF5, the archive around it, safetensors, and configurations in JSON.
  static let keras = ModelFormat(
    name: "hdf5", suffixes: [".h5", ".hdf5"], recognizes: { KerasReader.accepts($0) },
    read: { (source, path, options, sink) throws(Failure) in
      let model = try KerasReader.read(source, path: path, options: options, sink: &sink)
      return (
        model.graph,
        FileFacts(
          format: model.format, producer: model.producer, parameters: model.parameterCount, byteCount: model.byteCount,
          operators: GraphFacts.operatorCounts(model.graph))
      )
    },
    write: { (graph, path, _) throws(Failure) in try WeightsWriter.writeHDF5(graph, to: path) }, holdsWeights: true)

  /// Read by the entry above; here for its way of writing.
  static let safetensors = ModelFormat(
    name: "safetensors", suffixes: [".safetensors"], recognizes: { _ in false }, read: keras.read,
    write: { (graph, path, _) throws(Failure) in try WeightsWriter.writeSafetensors(graph, to: path) }, holdsWeights: true)

  /// Read by the same entry.
  static let kerasArchive = ModelFormat(
    name: "keras", suffixes: [".keras"], recognizes: { _ in false }, read: keras.read,
    write: { (graph, path, options) throws(Failure) in try LayerWriting.write(graph, to: path, as: .archive, options) })

  /// A whole Keras model in one HDF5 file. Its suffix is that of weights, so it is asked for by name.
  static let kerasWholeModel = ModelFormat(
    name: "keras-h5", suffixes: [], recognizes: { _ in false }, read: keras.read,
    write: { (graph, path, options) throws(Failure) in try LayerWriting.write(graph, to: path, as: .wholeModel, options) })

  /// Protocol buffers have no signature, so this one comes last and its reader is the judge.
  static let onnx = ModelFormat(
    name: "onnx", suffixes: [".onnx"], recognizes: { _ in true },
    read: { (source, path, _, sink) throws(Failure) in
      let model = try ONNXReader.read(source, path: path, sink: &sink)
      let header = model.header
      let producer = [header.producerName, header.producerVersion].filter { !$0.isEmpty }.joined(separator: " ")
      return (
        model.graph,
        FileFacts(format: "onnx", producer: producer, parameters: header.parameterCount, byteCount: header.byteCount, operators: header.operatorCounts)
      )
    },
    write: { (graph, path, options) throws(Failure) in try ONNXWriter.write(graph.spelled(forOpset: options.opset), to: path) })

  /// Reads a model for a command whose result has no place for what the reader finds: it is told on the way.
  static func read(_ path: String, request: CommonRequest) throws(Failure) -> (Graph, FileFacts) {
    var sink = DiagnosticSink()
    let result = try read(path, options: request.readOptions, sink: &sink)
    if let remark = request.remark { sink.diagnostics.forEach(remark) }
    return result
  }

  /// Reads a model: `-` is standard input.
  static func read(_ path: String, options: CheckpointOptions = CheckpointOptions(), sink: inout DiagnosticSink) throws(Failure) -> (Graph, FileFacts) {
    let source =
      path == "-" ? try ByteSource(reading: STDIN_FILENO, name: "standard input", limit: ReadLimits.standard.pipeBytes) : try ByteSource(mapping: path)
    guard source.count > 0 else { throw Failure(.truncated, "the file is empty", at: .init(file: source.name)) }
    for format in formats where format.recognizes(source) {
      do throws(Failure) {
        return try format.read(source, path == "-" ? nil : path, options, &sink)
      } catch {
        throw error.located(file: source.name)
      }
    }
    throw Failure(.unknownFormat, "the content is no model that vitconv knows", at: .init(file: source.name))
  }

  /// The format that is asked for by name, or that the output path's suffix names.
  static func output(_ path: String, named name: String?) throws(Failure) -> ModelFormat {
    let written = formats.filter { $0.write != nil }
    if let name {
      guard let format = written.first(where: { $0.name == name }) else {
        throw Failure(.usage, "there is no output format '\(name)'", advice: "known are \(written.map(\.name).joined(separator: ", "))")
      }
      return format
    }
    let lower = path.lowercased()
    guard let format = written.first(where: { $0.suffixes.contains { lower.hasSuffix($0) } }) else {
      let suffixes = written.flatMap(\.suffixes).joined(separator: ", ")
      throw Failure(.usage, "the suffix of '\(path)' names no output format", advice: "use one of \(suffixes), or name the format with --format")
    }
    return format
  }
}

extension Graph {
  /// The graph for another version of the operator set. Nothing of the file that it was read from is then copied: each node
  /// is spelled anew, and what the file held beside the graph is left behind.
  fileprivate func spelled(forOpset version: Int?) -> Graph {
    guard let version, version != opsets[""] else { return self }
    var result = (try? inliningCalls()) ?? self
    result.opsets[""] = version
    result.source = nil
    return result
  }
}
