public import Bytes
public import Diagnostics
internal import GraphIR
internal import Tensors

extension ONNXReader {
  /// Reads the structure of a model; weights stay where they lie, in the source or in external files beside `path`.
  ///
  /// Older operators are brought to their newest meaning (attributes that became inputs become constants); operators
  /// without a meaning in the IR stay as foreign nodes, reported as `unknownOperator`. An initializer that is also a graph input (its default value) is a constant.
  ///
  /// - Parameter path: where the model lies; nil for a pipe, which has no external data.
  public static func read(
    _ source: ByteSource, path: String?, limits: ReadLimits = .standard, sink: inout DiagnosticSink
  ) throws(Failure) -> ONNXModel {
    do throws(Failure) {
      let skim = try Skim(source, limits: limits)
      let message = try ModelMessage.decode(skim.structure)
      guard let irVersion = message.irVersion else { throw Failure(.missingPart, "the model does not tell its IR version") }
      guard irVersion > 0 else { throw Failure(.malformed, "IR version \(irVersion)") }
      guard irVersion <= newestIRVersion else {
        throw Failure(.unsupportedVersion, "IR version \(irVersion), the newest known is \(newestIRVersion)")
      }
      guard let graph = message.graph else { throw Failure(.missingPart, "the model has no graph") }
      let opsets = try operatorSets(message, irVersion: irVersion)
      try checkFunctions(message.functions)
      let decoder = TensorDecoder(source: source, path: path, limits: limits)
      var assembly = GraphAssembly(decoder: decoder, opsets: opsets, library: FunctionLibrary(message.functions), records: skim.graph)
      try assembly.collectNames(graph)
      let notes = try assembly.assemble(graph)
      let record = ONNXRecord(
        source: source, path: path, irVersion: Int(irVersion), opsets: opsets, graphName: graph.name, skim: skim, notes: notes,
        innerNames: assembly.innerNames, externalFiles: decoder.externalFiles)
      var result = try assembly.builder.finish()
      result.name = graph.name
      result.source = record
      for diagnostic in assembly.foreign.diagnostics { sink.report(diagnostic) }
      let header = ONNXHeader(
        irVersion: Int(irVersion), producerName: message.producerName, producerVersion: message.producerVersion, domain: message.domain,
        modelVersion: Int(message.modelVersion), docString: message.docString, opsets: opsets,
        metadata: Dictionary(message.metadata.map { ($0.key, $0.value) }) { _, last in last }, functionCount: message.functions.count,
        byteCount: source.count, parameterCount: result.parameterCount(of: graph, initializers: Set(notes.initializers.keys)),
        operatorCounts: graph.nodes.reduce(into: [:]) { counts, node in
          counts[node.domain.isEmpty || node.domain == "ai.onnx" ? node.opType : "\(node.domain).\(node.opType)", default: 0] += 1
        })
      return ONNXModel(graph: result, header: header)
    } catch {
      throw error.located(file: path ?? source.name)
    }
  }

  /// Operator-set versions by domain; before IR version 3 there was only the first one.
  private static func operatorSets(_ message: ModelMessage, irVersion: Int64) throws(Failure) -> [String: Int] {
    guard !message.opsets.isEmpty else {
      if irVersion < 3 { return ["": 1] }
      throw Failure(.missingPart, "the model imports no operator set")
    }
    var result: [String: Int] = [:]
    for (domain, version) in message.opsets {
      guard version > 0 else { throw Failure(.malformed, "operator set version \(version) of domain '\(domain)'") }
      let domain = domain == "ai.onnx" ? "" : domain
      if domain.isEmpty, version > newestOpset {
        throw Failure(.unsupportedVersion, "operator set \(version), the newest known is \(newestOpset)")
      }
      result[domain] = Int(version)
    }
    return result
  }

  /// Functions may call each other, but not in a circle, and each is defined once.
  private static func checkFunctions(_ functions: [FunctionMessage]) throws(Failure) {
    var calls: [FunctionName: Set<FunctionName>] = [:]
    for function in functions {
      let place = ModelLocation.element(function.name.name)
      guard calls.updateValue(function.nodes.reduce(into: []) { $0.formUnion($1.calls) }, forKey: function.name) == nil else {
        throw Failure(.duplicateName, "the function '\(function.name.name)' is defined twice", at: place)
      }
    }
    // Takes away functions that call no function left, until none is left or only circles are.
    var callers: [FunctionName: [FunctionName]] = [:]
    var open: [FunctionName: Int] = [:]
    // How deep calls nest below each function.
    var heights: [FunctionName: Int] = [:]
    for (name, callees) in calls {
      let local = callees.filter { calls[$0] != nil }
      open[name] = local.count
      for callee in local { callers[callee, default: []].append(name) }
    }
    var ready = open.filter { $0.value == 0 }.map(\.key)
    while let name = ready.popLast() {
      open[name] = nil
      let height = heights[name, default: 1]
      guard height <= GraphAssembly.depthLimit else {
        throw Failure(.limitExceeded, "calls of functions nest more than \(GraphAssembly.depthLimit) deep", at: .element(name.name))
      }
      for caller in callers[name] ?? [] {
        heights[caller] = max(heights[caller, default: 1], height + 1)
        open[caller, default: 1] -= 1
        if open[caller] == 0 { ready.append(caller) }
      }
    }
    if let name = open.keys.map(\.name).min() {
      throw Failure(.cyclicGraph, "the function '\(name)' calls itself", at: .element(name))
    }
  }
}

extension NodeMessage {
  /// What the node and the nodes of its subgraphs may call.
  fileprivate var calls: Set<FunctionName> {
    var result: Set<FunctionName> = [FunctionName(domain: domain, name: opType, overload: overload)]
    for attribute in attributes {
      for subgraph in attribute.graphs {
        for node in subgraph.nodes { result.formUnion(node.calls) }
      }
    }
    return result
  }
}
