internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Tensors

/// What becomes of arithmetic on bfloat16 numbers in a written model.
public enum BFloat16Arithmetic: String, Sendable, CaseIterable {
  /// As the model has it.
  case keep
  /// float32, inputs and outputs included. Weights stay bfloat16, with a cast beside them.
  case float32

  /// The graph with its arithmetic in this type, and a note where that changes it.
  func applied(to graph: Graph, shapes: [String: [Int]], sink: inout DiagnosticSink) throws(Failure) -> Graph {
    guard self == .float32 else { return graph }
    let open = (try? graph.inliningCalls()) ?? graph
    guard open.computes(in: .bfloat16) else { return graph }
    sink.report(
      .widenedArithmetic, "bfloat16 arithmetic is written as float32, with bfloat16 weights cast where they are read; --bfloat16 keep leaves it as it is")
    return try BFloat16Arithmetic.withoutIdleCasts(try open.widened(.bfloat16), shapes)
  }

  /// The graph without casts to the type that their operand has.
  private static func withoutIdleCasts(_ graph: Graph, _ shapes: [String: [Int]]) throws(Failure) -> Graph {
    var sink = DiagnosticSink()
    let typed = try Inference.infer(graph, inputShapes: shapes, sink: &sink)
    var patch = Patch(graph)
    for (_, node) in graph.liveNodes {
      guard case .cast(let target) = node.op, let operand = node.input(0), let result = node.output(0), typed.type(of: operand)?.element == target else {
        continue
      }
      patch.replace(result, with: operand)
    }
    return patch.isEmpty ? graph : try patch.commit()
  }
}
