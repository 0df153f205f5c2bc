internal import Canonicalization
internal import Diagnostics
internal import FormatKeras
internal import GraphIR
internal import Inference
internal import Recognition

/// Graphs as models of Keras: brought to one dialect, attention recognized, and raised to layers.
enum LayerWriting {
  static func write(_ graph: Graph, to path: String, as container: KerasWriter.Container, _ options: WritingOptions) throws(Failure) {
    var sink = DiagnosticSink()
    var typed = try Inference.infer((try? graph.inliningCalls()) ?? graph, inputShapes: options.shapes, sink: &sink)
    if let open = try? typed.inliningBodies(sink: &sink) { typed = open }
    let canonical = try Canonicalizer.canonicalize(typed)
    let blocks = AttentionRecognition.recognize(canonical, original: typed.graph).blocks
    try KerasWriter.write(try Canonicalizer.canonicalize(typed, for: .writing), blocks: blocks, to: path, as: container)
  }
}
