internal import Bytes
internal import Diagnostics
internal import FormatHDF5
internal import GraphIR
internal import Operators
internal import Tensors
internal import Zip

/// What is made of the weights.
extension Checkpoint {
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
  var graphText: String? {
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
        for path in file.allDatasetPaths.sorted() where seen.insert(path).inserted {
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
}
