internal import Bytes
internal import Diagnostics
internal import FormatHDF5
internal import GraphIR
internal import Operators
internal import Tensors
internal import Zip

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
}

extension String {
  /// Without the first of these suffixes that it has.
  func removing(_ suffixes: [String]) -> String {
    for suffix in suffixes where hasSuffix(suffix) { return String(dropLast(suffix.count)) }
    return self
  }
  var folder: String { lastIndex(of: "/").map { String(self[...$0]) } ?? "" }
  var lastComponent: String { split(separator: "/").last.map(String.init) ?? self }
}
