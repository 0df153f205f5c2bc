public import Bytes
public import Diagnostics
public import GraphIR

/// The pieces of an ONNX file and of the file of external data beside it, if there is one.
public struct ONNXOutput: Sendable {
  public var main: [OutputSegment]
  public var external: [(fileName: String, segments: [OutputSegment])]
}

/// Writes graphs as ONNX.
///
/// A graph that came from an ONNX file keeps everything of it that no edit touched, byte for byte and unread: weights,
/// metadata, functions, subgraphs, fields that vitconv does not know. New nodes are spelled for the operator set the
/// file imports. Any other graph is written whole.
public enum ONNXWriter {
  /// Protobuf's own limit for one message.
  public static let messageLimit = Int(Int32.max)

  /// - Parameters:
  ///   - dataFileName: the file that takes external data: weights that were external before, and those that would
  ///     make the main file larger than `embeddedLimit`.
  ///   - embeddedLimit: the most bytes that the main file may have.
  /// - Throws: `notExpressible` when the operator set has no way to say a node, or a new input has no type.
  public static func segments(
    for graph: Graph, dataFileName: String = "model.onnx.data", embeddedLimit: Int = messageLimit
  ) throws(Failure) -> ONNXOutput {
    let record = graph.source as? ONNXRecord
    var emission = GraphEmission(graph, record, version: graph.opsets[""] ?? defaultOpset, external: ExternalDataFile(name: dataFileName))
    // Not even an untouched file is copied as it stands when it is longer than other readers take.
    let isCopied = emission.isUnchanged && (record?.source.count ?? 0) <= embeddedLimit
    if let record, !record.hasExternalData, isCopied {
      return ONNXOutput(main: [.source(record.source, 0..<record.source.count)], external: [])
    }
    let main: SegmentedMessage
    if let record, isCopied {
      let whole = 0..<record.source.count
      main = try ExternalRelocation(record: record).message(.model, whole, to: &emission.external)
    } else {
      // Room for what stands around the constants and nodes: names, types, metadata.
      let around = record.map { record in record.model.filter { $0.field != ModelField.graph }.reduce(0) { $0 + $1.whole.count } } ?? 0
      let content = try emission.message(embeddedLimit: embeddedLimit - around - min(embeddedLimit / 64, 16 << 20))
      main = model(graph, record, content, domains: emission.domains)
    }
    guard main.count <= embeddedLimit else {
      throw Failure(.notExpressible, "the model's structure takes \(main.count) bytes, and protobuf allows \(embeddedLimit)")
    }
    let data = emission.external
    return ONNXOutput(main: main.segments, external: data.content.count == 0 ? [] : [(data.name, data.content.segments)])
  }

  /// Writes `graph` to `path`, and its external data to `<path>.data`; both whole or not at all, and neither over a
  /// file that the graph was read from.
  public static func write(_ graph: Graph, to path: String) throws(Failure) {
    let fileName = path.split(separator: "/").last.map(String.init) ?? path
    let output = try segments(for: graph, dataFileName: fileName + ".data")
    var inputs: [String] = []
    if let record = graph.source as? ONNXRecord { inputs = [record.source.name] + record.externalFiles.values.map(\.name) }
    // The main file comes last: a reader that finds it finds its data.
    for (_, segments) in output.external { try AtomicOutput.write(segments, to: path + ".data", protecting: inputs) }
    do throws(Failure) {
      try AtomicOutput.write(output.main, to: path, protecting: inputs)
    } catch {
      if !output.external.isEmpty { AtomicOutput.remove(path + ".data") }
      throw error
    }
  }

  /// For graphs that import no ai.onnx operator set.
  private static let defaultOpset = 18

  /// The ModelProto around a GraphProto.
  private static func model(_ graph: Graph, _ record: ONNXRecord?, _ content: SegmentedMessage, domains: Set<String>) -> SegmentedMessage {
    var opsets = graph.opsets
    for domain in domains where opsets[domain] == nil { opsets[domain] = domain.isEmpty ? defaultOpset : 1 }
    var imports = WireEncoder()
    for (domain, version) in opsets.sorted(by: { $0.key < $1.key }) { imports.field(ModelField.opsetImport, message: .operatorSet(domain, version)) }
    var result = SegmentedMessage()
    guard let record else {
      var head = WireEncoder()
      head.field(ModelField.irVersion, integer: Int64(irVersion(for: opsets[""] ?? defaultOpset)))
      head.field(ModelField.producerName, string: "vitconv")
      result.append(head)
      result.field(ModelField.graph, content)
      result.append(imports)
      return result
    }
    let keepsImports = opsets == record.opsets
    for range in record.model {
      switch range.field {
      case ModelField.graph: result.field(ModelField.graph, content)
      case ModelField.opsetImport where !keepsImports: break
      default: result.append(record.source, range.whole)
      }
    }
    if !keepsImports { result.append(imports) }
    return result
  }

  /// The IR version that came with an operator set, by the standard's table; 8 for all up to 18, so that
  /// initializers need not be inputs.
  private static func irVersion(for opset: Int) -> Int {
    switch opset {
    case ...18: 8
    case 19...20: 9
    case 21...22: 10
    case 23: 11
    case 24: 12
    case 25...27: 13
    default: 14
    }
  }
}
