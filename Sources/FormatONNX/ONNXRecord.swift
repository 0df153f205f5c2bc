internal import Bytes
internal import GraphIR

/// What the writer needs of the file a graph was read from: its bytes, where each part lies, and how each node was
/// understood. `Node.record` and `Value.record` index `graph`.
final class ONNXRecord: SourceRecordKeeper {
  /// How a node of the file was read, to tell whether it is still what it was.
  struct NodeReading {
    struct Step {
      var op: Op
      var inputs: [String?]
      /// Which operand of the file's node each input is; nil for what the reader added or left out.
      var slots: [Int?]
      var outputs: [String?]
    }
    /// Operands and results as the file spells them.
    var inputs: [String]
    var outputs: [String]
    /// Empty for constants, which became values.
    var steps: [Step]
    var captures: [String]

    /// Whether another step than the last makes a result of the file's node.
    var hasEarlyResults: Bool { steps.dropLast().contains { step in step.outputs.contains { $0.map { outputs.contains($0) } ?? false } } }
  }

  let source: ByteSource
  /// The model's path; nil when it came through a pipe.
  let path: String?
  let irVersion: Int
  let opsets: [String: Int]
  let graphName: String
  /// The fields of the ModelProto and of its graph, in order.
  let model: [RecordRange]
  let graph: [RecordRange]
  let notes: GraphAssembly.Notes
  /// Names that subgraphs define: new values must not take them.
  let innerNames: Set<String>
  /// Whether any tensor's elements lie in another file, and the files opened for it by location.
  let hasExternalData: Bool
  let externalFiles: [String: ByteSource]

  init(
    source: ByteSource, path: String?, irVersion: Int, opsets: [String: Int], graphName: String, skim: Skim, notes: GraphAssembly.Notes,
    innerNames: Set<String>, externalFiles: [String: ByteSource]
  ) {
    self.source = source
    self.path = path
    self.irVersion = irVersion
    self.opsets = opsets
    self.graphName = graphName
    model = skim.model
    graph = skim.graph
    self.notes = notes
    self.innerNames = innerNames
    hasExternalData = skim.hasExternalData
    self.externalFiles = externalFiles
  }
}

/// Field numbers of GraphProto and ModelProto that the writer handles.
enum GraphField {
  static let node = 1, name = 2, initializer = 5, input = 11, output = 12, valueInfo = 13, quantization = 14, sparseInitializer = 15
}
enum ModelField {
  static let irVersion = 1, producerName = 2, graph = 7, opsetImport = 8
}
enum TensorField {
  static let dims = 1, dataType = 2, stringData = 6, name = 8, rawData = 9, externalData = 13, dataLocation = 14
}
