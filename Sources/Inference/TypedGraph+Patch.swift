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
      guard before.element == after.element, staysEqual(before.shape, after.shape) else {
        throw Failure(.typeMismatch, "'\(graph[old].name)' is \(before) and would become \(after)", at: .element(graph[old].name))
      }
    }
    return result
  }

  /// The graph with calls of functions replaced by what they stand for, and branches by the one that is taken where the
  /// condition is known (`Graph.inlining`), inferred again under the same bindings.
  public func inliningBodies(sink: inout DiagnosticSink) throws(Failure) -> TypedGraph {
    var result = self
    // What is inlined may hold further branches; they nest no deeper than bodies do.
    for _ in 0..<StructuralVerifier.depthLimit {
      let chosen = result.knownBodies
      guard !chosen.isEmpty else { break }
      let open = try result.graph.inlining { chosen[$0] }
      result = try Inference.infer(open, inputShapes: bindings.inputShapes, symbols: bindings.symbols, sink: &sink)
    }
    return result
  }

  private var knownBodies: [NodeID: Subgraph] {
    var result: [NodeID: Subgraph] = [:]
    for (id, node) in graph.liveNodes {
      switch node.op {
      case .call(let call): result[id] = call.body
      case .control(.branch(let then, let otherwise)):
        guard let condition = node.input(0).flatMap({ constant($0) }), condition.elementType == .bool, condition.count == 1 else { continue }
        result[id] = condition.elements(as: UInt8.self)[0] != 0 ? then : otherwise
      default: continue
      }
    }
    return result
  }

  /// Whether two shapes are equal for every size of the inputs. Expressions that are spelt differently are compared at
  /// a few sizes; sizes that only the run knows are taken to agree.
  private func staysEqual(_ a: Shape?, _ b: Shape?) -> Bool {
    guard let a, let b, a != b else { return true }
    guard a.rank == b.rank else { return false }
    let open = symbols.sorted()
    for offset in [0, 1, 4] {
      let primes = [7, 11, 13, 17, 19, 23, 29, 31, 37, 41]
      let sizes = Dictionary(uniqueKeysWithValues: open.enumerated().map { ($1, primes[($0 + offset) % primes.count] + $0 / primes.count) })
      for (x, y) in zip(a.dims, b.dims) {
        if let first = x.substituting(sizes)?.value, let second = y.substituting(sizes)?.value, first != second { return false }
      }
    }
    return true
  }
}
