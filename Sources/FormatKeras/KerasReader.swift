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

/// Weights, and a configuration where there is one.
struct Checkpoint {
  var source: ByteSource
  var path: String?
  var options: CheckpointOptions
  var limits: ReadLimits
  var format = "hdf5"
  var producer = ""
  /// `{"class_name", "config"}` of a model.
  var configuration: JSON?
  var version = 3
  var files: [HDF5File] = []
  var legacyRoot: String?
  var tensors: [String: Tensor]?
  /// What a safetensors file tells beside its tensors.
  var metadata: [String: String]?

  // MARK: Opening

  static func open(_ source: ByteSource, path: String?, options: CheckpointOptions, limits: ReadLimits) throws(Failure) -> Checkpoint {
    var result = Checkpoint(source: source, path: path, options: options, limits: limits)
    if ZipArchive.accepts(source) {
      try result.openArchive()
    } else if HDF5File.accepts(source) {
      try result.openHDF5()
    } else if Safetensors.accepts(source) {
      result.format = "safetensors"
      let content = try Safetensors.read(source, limits: limits)
      result.tensors = content.tensors
      result.metadata = content.metadata
    } else {
      try result.openJSON()
    }
    if let given = options.configuration { try result.adopt(given) }
    return result
  }

  private mutating func openArchive() throws(Failure) {
    format = "keras"
    let archive = try ZipArchive(source, names: .paths, limits: limits)
    guard let config = try archive.content(of: "config.json", limit: limits.structureBytes) else {
      throw Failure(.missingPart, "the archive has no member 'config.json'", at: .init(file: source.name), advice: "only Keras archives are read")
    }
    guard let weights = try archive.content(of: "model.weights.h5", limit: 64 << 30) else {
      throw Failure(.missingPart, "the archive has no member 'model.weights.h5'", at: .init(file: source.name))
    }
    // The table of weights is read by another process while this one parses the configuration.
    let reading = try HDF5Reading(weights.source, in: weights.range, limits: limits)
    try archive.compareChecksum(of: "config.json")
    configuration = try located("config.json") { () throws(Failure) in try JSON.parse(config.source.bytes(in: config.range)) }
    if let metadata = try archive.content(of: "metadata.json", limit: limits.structureBytes) {
      let json = try located("metadata.json") { () throws(Failure) in try JSON.parse(metadata.source.bytes(in: metadata.range)) }
      tell(json["keras_version"]?.string)
    }
    if options.comparesChecksums { try archive.compareChecksum(of: "model.weights.h5") }
    files = [try reading.finish()]
  }

  private func located<R>(_ element: String, _ body: () throws(Failure) -> R) throws(Failure) -> R {
    do throws(Failure) { return try body() } catch { throw error.located(file: source.name, element: element) }
  }

  private mutating func tell(_ kerasVersion: String?) {
    guard let kerasVersion else { return }
    producer = "keras \(kerasVersion)"
    version = kerasVersion.hasPrefix("2") || kerasVersion.hasPrefix("1") ? 2 : 3
  }

  private mutating func openHDF5() throws(Failure) {
    let file = try HDF5File.read(source, limits: limits)
    files = [file]
    if let config = file.attribute("model_config") {
      format = "keras"
      guard let text = config.text else { throw Failure(.malformed, "the attribute 'model_config' is no text", at: .init(file: source.name)) }
      guard let version = file.attribute("keras_version")?.text else {
        throw Failure(.unsupportedVersion, "the file does not tell its Keras version: Keras 1 is not read", at: .init(file: source.name))
      }
      guard !version.hasPrefix("1") else { throw Failure(.unsupportedVersion, "Keras \(version)", at: .init(file: source.name)) }
      tell(version)
      configuration = try located("model_config") { () throws(Failure) in try JSON.parse(text) }
      guard file.isGroup("model_weights") else { throw Failure(.missingPart, "there is no group 'model_weights'", at: .init(file: source.name)) }
      legacyRoot = "model_weights"
      return
    }
    tell(file.attribute("keras_version")?.text)
    if try file.list("layer_names", of: "") != nil {
      legacyRoot = ""
    } else if file.isGroup("model_weights"), try file.list("layer_names", of: "model_weights") != nil {
      legacyRoot = "model_weights"
    }
    try findSiblings()
  }

  private mutating func openJSON() throws(Failure) {
    let json = try JSON.parse(source.bytes(in: 0..<source.count))
    if json["weight_map"]?.object != nil {
      try openShards(json)
    } else if json["class_name"]?.string != nil, json["config"] != nil {
      configuration = json
      format = "keras"
      guard let path else { throw Failure(.missingPart, "the configuration comes without weights", at: .init(file: source.name)) }
      let stem = path.removing([".config.json", ".json"])
      for candidate in ["\(stem).weights.json", "\(stem).weights.h5", "\(stem).h5"] where Folder.hasFile(candidate) {
        let other = try ByteSource(mapping: candidate)
        if candidate.hasSuffix(".json") {
          var shards = self
          shards.path = candidate
          try shards.openShards(try JSON.parse(other.bytes(in: 0..<other.count)))
          files = shards.files
        } else {
          let file = try HDF5File.read(other, limits: limits)
          files = [file]
          if try file.list("layer_names", of: "") != nil { legacyRoot = "" }
          tell(file.attribute("keras_version")?.text)
        }
        guessVersion()
        return
      }
      throw Failure(
        .missingPart, "the configuration stands alone", at: .init(file: source.name), advice: "put the weights beside it as '\(stem.lastComponent).weights.h5'")
    } else {
      throw Failure(.unknownFormat, "the JSON text is no Keras configuration and no index of weights", at: .init(file: source.name))
    }
  }

  private mutating func openShards(_ index: JSON) throws(Failure) {
    guard let path, let map = index["weight_map"]?.object else { throw Failure(.missingPart, "the index of weights is wrong", at: .init(file: source.name)) }
    var names: Set<String> = []
    for entry in map.values {
      for name in entry.array?.compactMap(\.string) ?? [entry.string].compactMap({ $0 }) { names.insert(name) }
    }
    guard !names.isEmpty, names.count <= 65536 else { throw Failure(.missingPart, "the index of weights names no file", at: .init(file: source.name)) }
    files = []
    tensors = nil
    for name in names.sorted() {
      guard !name.contains("/"), !name.contains("\\"), !name.contains("..") else {
        throw Failure(.externalPathRefused, "the index of weights names '\(name)'", at: .init(file: source.name))
      }
      let shard = try SiblingFile.map(name, beside: path)
      if Safetensors.accepts(shard), !HDF5File.accepts(shard) {
        tensors = (tensors ?? [:]).merging(try Safetensors.read(shard, limits: limits).tensors) { first, _ in first }
        format = "safetensors"
      } else {
        files.append(try HDF5File.read(shard, limits: limits))
      }
    }
    if configuration == nil { try findSiblings() }
  }

  /// The architecture beside a file of weights: a configuration, an index of shards, a model of the same name.
  private mutating func findSiblings() throws(Failure) {
    // A file that holds its own graph asks nobody.
    guard let path, configuration == nil, options.configuration == nil, graphText == nil else { return }
    var stem = path.removing([".weights.h5", ".weights.json", ".hdf5", ".h5", ".safetensors"])
    // x_00000.weights.h5 is a shard of x.
    if let place = stem.lastIndex(of: "_"), stem.distance(from: place, to: stem.endIndex) == 6, stem[stem.index(after: place)...].allSatisfy(\.isNumber) {
      let base = String(stem[..<place])
      if path.hasSuffix(".weights.h5"), Folder.hasFile("\(base).weights.json") {
        stem = base
        let index = try ByteSource(mapping: "\(base).weights.json")
        configuration = .null
        let keep = self.path
        self.path = "\(base).weights.json"
        try openShards(try JSON.parse(index.bytes(in: 0..<index.count)))
        self.path = keep
        configuration = nil
      }
    }
    for candidate in ["\(stem).config.json", "\(stem).keras", path.hasSuffix(".weights.h5") ? "\(stem).h5" : "", path.folder + "config.json"]
    where !candidate.isEmpty && candidate != path && Folder.hasFile(candidate) {
      if (try? adopt(candidate)) != nil, configuration != nil { return }
    }
  }

  /// Takes the architecture, and nothing else, from another file.
  private mutating func adopt(_ other: String) throws(Failure) {
    let file = try ByteSource(mapping: other)
    if ZipArchive.accepts(file) {
      let archive = try ZipArchive(file, names: .paths, limits: limits)
      guard let config = try archive.content(of: "config.json", limit: limits.structureBytes) else {
        throw Failure(.missingPart, "the archive has no member 'config.json'", at: .init(file: other))
      }
      configuration = try JSON.parse(config.source.bytes(in: config.range))
      if let metadata = try archive.content(of: "metadata.json", limit: limits.structureBytes) {
        tell(try JSON.parse(metadata.source.bytes(in: metadata.range))["keras_version"]?.string)
      }
    } else if HDF5File.accepts(file) {
      let model = try HDF5File.read(file, limits: limits)
      guard let text = model.attribute("model_config")?.text else { throw Failure(.missingPart, "there is no configuration in it", at: .init(file: other)) }
      configuration = try JSON.parse(text)
      tell(model.attribute("keras_version")?.text)
    } else {
      let json = try JSON.parse(file.bytes(in: 0..<file.count))
      guard json.object != nil else { throw Failure(.malformed, "is no configuration", at: .init(file: other)) }
      configuration = json
      guessVersion()
    }
  }

  /// A configuration alone does not tell its version; its spelling does.
  private mutating func guessVersion() {
    guard producer.isEmpty, let layers = configuration?["config"]?["layers"]?.array else { return }
    let isOld = layers.contains { layer in
      layer["config"]?["batch_input_shape"] != nil || (layer["inbound_nodes"]?.array?.first?.array != nil)
    }
    version = isOld ? 2 : 3
  }

  // MARK: Reading

  func read(sink: inout DiagnosticSink) throws(Failure) -> KerasCheckpoint {
    let graph: Graph
    if let configuration, let className = configuration["class_name"]?.string, let config = configuration["config"] {
      graph = try model(className, config, sink: &sink)
    } else {
      graph = try weightsOnly(sink: &sink)
    }
    return KerasCheckpoint(graph: graph, format: format, producer: producer, parameterCount: parameterCount, byteCount: byteCount)
  }

  private var byteCount: Int {
    var seen: Set<String> = [source.name]
    return files.reduce(source.count) { seen.insert($1.source.name).inserted ? $0 + $1.source.count : $0 }
  }

  private var parameterCount: Int {
    if let tensors { return tensors.values.reduce(0) { $0 + ($1.elementType.isFloatingPoint ? $1.count : 0) } }
    var total = 0
    for file in files {
      for path in file.datasetPaths where !path.isTrainingState {
        guard case .tensor(let tensor)? = file.dataset(path)?.content, tensor.elementType.isFloatingPoint || tensor.elementType == .int8 else { continue }
        total += tensor.count
      }
    }
    return total
  }

  private func model(_ className: String, _ config: JSON, sink: inout DiagnosticSink) throws(Failure) -> Graph {
    let store = try WeightStore(files: files, legacyRoot: legacyRoot)
    var builder = KerasBuilder(name: config["name"]?.string ?? "model", store: store, version: version, custom: try CustomLayers(file: options.customLayers))
    let outputs: [(name: String, value: ValueID)]
    if config["layers"]?.array != nil {
      let model = try KerasModel(className: className, config: config)
      outputs = try builder.build(outermost: model, path: LayerPath(name: "", group: "", inner: [], attributes: [""]))
    } else if let made = try KerasHubModel(className, config)?.build(&builder) {
      outputs = made
    } else {
      sink.report(
        .unknownOperator, "the model class '\(className)' tells no graph, and no template is known for it: its weights are listed", at: .element(className))
      return try listing()
    }
    for finding in builder.findings { sink.report(finding) }
    return try builder.e.finish(outputs: outputs)
  }

  /// All arrays under the names that the file gives them.
  private func arrays(sink: inout DiagnosticSink) -> [String: Tensor] {
    if let tensors { return tensors }
    var result: [String: Tensor] = [:]
    for file in files {
      for path in file.allDatasetPaths {
        guard let dataset = file.dataset(path) else { continue }
        switch dataset.content {
        case .tensor(let tensor): result[path] = tensor
        case .refused(let reason, let code):
          // Text and records are no weights; arrays that cannot be unpacked are told of as a fault.
          sink.report(
            Diagnostic(code, "the dataset '/\(path)' is left out: \(reason)", at: .element(path), level: code == .typeMismatch ? .note : .warning))
        }
      }
    }
    return result
  }

  /// The same as a state dictionary names them: groups are what stands between dots.
  private static func dotted(_ arrays: [String: Tensor]) -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for (path, tensor) in arrays {
      let key = path.replacing("/", with: ".")
      // A dataset may bear the name that another one's groups make.
      result[key != path && arrays[key] != nil ? path : key] = tensor
    }
    return result
  }

  private func weightsOnly(sink: inout DiagnosticSink) throws(Failure) -> Graph {
    let arrays = arrays(sink: &sink)
    let weights = Checkpoint.dotted(arrays)
    if let text = graphText { return try GraphRecord.graph(text, weights: weights) }
    guard !weights.isEmpty || !files.isEmpty else { throw Failure(.missingPart, "the file holds no arrays", at: .init(file: source.name)) }
    let names = metadata ?? [:]
    let dictionary = StateDictionary(weights, options: options, configuration: configuration)
    var made: Graph?
    do throws(Failure) {
      made = try dictionary.graph()
    } catch {
      guard error.code == .architectureOpen, options.listsOpenWeights else { throw error }
      sink.report(Diagnostic(error.code, [error.message, error.advice].compactMap { $0 }.joined(separator: ": "), at: error.at, level: .warning))
      return try listing().recording(arrays, names)
    }
    if let graph = made {
      let unread = dictionary.unreadOfBlocks
      if unread.isEmpty {
        for sentence in dictionary.assumptions { sink.report(.openChoice, "no weight tells it: \(sentence)") }
        if let first = dictionary.unreadElsewhere.first {
          let count = dictionary.unreadElsewhere.count
          sink.report(
            Diagnostic(.openChoice, "'\(graph.name)' has no '\(first)' (\(count) such arrays), which are left out", at: .element(first), level: .warning))
        }
        return graph.recording(weights, names)
      }
      sink.report(
        Diagnostic(
          .unknownOperator,
          "the arrays look like those of '\(graph.name)', which has no '\(unread[0])' (\(unread.count) such): they are listed, and there is nothing to run",
          level: .note))
      return try listing().recording(arrays, names)
    }
    sink.report(
      Diagnostic(
        .unknownOperator, "\(weights.count) arrays without an architecture: they are listed, and there is nothing to run", level: .note))
    return try listing().recording(arrays, names)
  }

  /// The graph that this program wrote beside the weights.
  private var graphText: String? {
    if let metadata { return metadata[GraphRecord.graphKey] }
    return files.lazy.compactMap { $0.attribute(GraphRecord.graphKey, of: GraphRecord.group)?.text }.first
  }

  /// A graph of constants alone, each an output under its path.
  private func listing() throws(Failure) -> Graph {
    var emitter = Emitter(name: "weights")
    var values: [ValueID] = []
    var seen: Set<String> = []
    if let tensors {
      for name in tensors.keys.sorted() { if let tensor = tensors[name] { values.append(try emitter.weight(name, tensor)) } }
    } else {
      for file in files {
        for path in file.allDatasetPaths where seen.insert(path).inserted {
          guard case .tensor(let tensor)? = file.dataset(path)?.content else { continue }
          values.append(try emitter.weight(path, tensor))
        }
      }
    }
    return try emitter.finish(constants: values)
  }
}

extension Graph {
  /// The graph with what it was made of beside it.
  fileprivate func recording(_ tensors: [String: Tensor], _ metadata: [String: String]) -> Graph {
    var result = self
    result.source = WeightsRecord(tensors: tensors, metadata: metadata, of: self)
    return result
  }
}

extension String {
  /// Variables of optimizers and metrics, which are no part of the model.
  fileprivate var isTrainingState: Bool { ["optimizer", "_optimizer", "metrics", "_metrics", "compile_metrics"].contains { hasPrefix($0) } }

  /// Without the first of these suffixes that it has.
  func removing(_ suffixes: [String]) -> String {
    for suffix in suffixes where hasSuffix(suffix) { return String(dropLast(suffix.count)) }
    return self
  }
  var folder: String { lastIndex(of: "/").map { String(self[...$0]) } ?? "" }
  var lastComponent: String { split(separator: "/").last.map(String.init) ?? self }
}
