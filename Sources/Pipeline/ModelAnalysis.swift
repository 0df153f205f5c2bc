internal import Canonicalization
public import Diagnostics
internal import FormatKeras
public import GraphIR
public import Inference
public import Recognition

/// A model read, typed, brought to one dialect and recognized: what every command starts from.
public struct ModelAnalysis: Sendable {
  public var path: String
  public var file: FileFacts
  /// The graph as read, calls of its own functions and branches that are always taken replaced by
  /// what they stand for, with types.
  public var typed: TypedGraph
  /// The snapshot in which blocks were recognized.
  public var canonical: TypedGraph
  public var recognized: Recognized
  public var findings: [Diagnostic]
  /// Attention heads as the user tells them, for weights without a graph.
  var givenHeads: Int?

  public var graph: Graph { typed.graph }

  /// Reads and analyses the model at `path` (`-`: standard input); `shapes` fixes input shapes by name.
  public static func read(_ path: String, request: CommonRequest) throws(Failure) -> ModelAnalysis {
    let shapes = request.shapes
    var sink = DiagnosticSink()
    let (graph, file) = try FormatRegistry.read(path, options: request.readOptions, sink: &sink)
    do throws(Failure) {
      // What a rewrite may reach into has to lie open; a copy without rewrites does not come by here. A branch that is taken
      // at given shapes alone stays a branch, since the model is written for all of them.
      var typed = try Inference.infer((try? graph.inliningCalls()) ?? graph, inputShapes: shapes, sink: &sink)
      if shapes.isEmpty, let open = try? typed.inliningBodies(sink: &sink) { typed = open }
      var model = try ModelAnalysis(path: path, file: file, typed: typed, findings: sink.diagnostics)
      model.givenHeads = request.checkpoint.heads
      return model
    } catch {
      throw error.located(file: path)
    }
  }

  /// The same, with input shapes fixed by name.
  public static func read(_ path: String, shapes: [String: [Int]] = [:]) throws(Failure) -> ModelAnalysis {
    var request = CommonRequest()
    request.shapes = shapes
    return try read(path, request: request)
  }

  /// The same model after an edit of its graph.
  func replacingGraph(_ graph: Graph, shapes: [String: [Int]]) throws(Failure) -> ModelAnalysis {
    var sink = DiagnosticSink()
    let typed = try Inference.infer(graph, inputShapes: shapes, sink: &sink)
    return try ModelAnalysis(path: path, file: file, typed: typed, findings: sink.diagnostics)
  }

  init(path: String, file: FileFacts, typed: TypedGraph, findings: [Diagnostic]) throws(Failure) {
    self.path = path
    self.file = file
    self.typed = typed
    self.findings = findings
    let canonical: TypedGraph
    do throws(Failure) {
      canonical = try Canonicalizer.canonicalize(typed)
    } catch {
      // The snapshot serves recognition alone: without it less is found, but the model stays readable.
      canonical = typed
      self.findings.append(Diagnostic(error.code, "no canonical form, so attention may be missed: \(error.message)", at: error.at, level: .note))
    }
    self.canonical = canonical
    recognized = AttentionRecognition.recognize(canonical, original: typed.graph)
  }
}
