public import Diagnostics
public import GraphIR
internal import Tensors

extension TypedGraph {
  /// The graph after a patch, inferred again under the same bindings.
  ///
  /// - Throws: what `Patch.commit` and `Inference.infer` throw, and `typeMismatch` where a value takes the place of one
  ///   of another type.
  public func applying(_ patch: Patch, sink: inout DiagnosticSink) throws(Failure) -> TypedGraph {
    let edited = try patch.commit()
    let result = try Inference.infer(edited, inputShapes: bindings.inputShapes, symbols: bindings.symbols, sink: &sink)
    for (old, new) in patch.replaced {
      guard let before = type(of: old), let after = result.type(of: new) else { continue }
      guard before.element == after.element, Inference.agree(before.shape, after.shape) else {
        throw Failure(.typeMismatch, "'\(graph[old].name)' is \(before) and would become \(after)", at: .element(graph[old].name))
      }
    }
    return result
  }
}
