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

  /// The graph with calls of functions replaced by what they stand for, branches by the one that is taken where the
  /// condition is known (`Graph.inlining`), and loops by their iterations where those are known and few, inferred again
  /// under the same bindings.
  public func inliningBodies(sink: inout DiagnosticSink) throws(Failure) -> TypedGraph {
    var result = self
    // What is inlined may hold further branches; they nest no deeper than bodies do.
    for _ in 0..<StructuralVerifier.depthLimit {
      let (chosen, loops) = (result.knownBodies, result.knownLoops)
      guard !chosen.isEmpty || !loops.isEmpty else { break }
      let unrolled = loops.isEmpty ? result.graph : try result.graph.unrolling(loops)
      let open = try unrolled.inlining { id in if case .call(let call) = unrolled[id].op { call.body } else { chosen[id] } }
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

  /// Nodes that all loops of a graph together may be written out to.
  private static let unrollingLimit = 8192

  /// Loops that are known to run all of a number of iterations and stack nothing, with that number.
  private var knownLoops: [NodeID: Int] {
    var result: [NodeID: Int] = [:]
    var rest = Self.unrollingLimit
    for (id, node) in graph.liveNodes {
      guard case .control(.loop(let body)) = node.op, node.inputs.count >= 2, let trips = node.input(0).flatMap({ constant($0) }), trips.count == 1,
        let count = trips.integers()?.first,
        1...64 ~= count, node.inputs.dropFirst(2).allSatisfy({ $0 != nil }), node.outputs.dropFirst(node.inputs.count - 2).allSatisfy({ $0 == nil }),
        body.formals.count == node.inputs.count, body.graph.outputs.count >= node.inputs.count - 1, node.input(1).map({ isTrue(constant($0)) }) ?? true,
        goesOn(body)
      else { continue }
      let size = count * max(body.graph.order.count, 1)
      guard size <= rest else { continue }
      rest -= size
      result[id] = count
    }
    return result
  }

  private func isTrue(_ tensor: Tensor?) -> Bool { tensor.map { $0.elementType == .bool && $0.count == 1 && $0.elements(as: UInt8.self)[0] != 0 } ?? false }

  /// Whether the condition that a loop's body gives is the one that it was given, or true.
  private func goesOn(_ body: Subgraph) -> Bool {
    guard var value = body.graph.outputs.first, let given = body.formals.dropFirst().first else { return false }
    for _ in 0..<8 {
      if value == given { return true }
      if case .constant(let tensor) = body.graph[value].definition { return isTrue(tensor) }
      guard let id = body.graph.producer(of: value), let input = body.graph[id].input(0) else { return false }
      switch body.graph[id].op {
      case .unary(.identity): value = input
      case .cast(to: .bool): value = input
      default: return false
      }
    }
    return false
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
