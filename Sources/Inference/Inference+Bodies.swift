internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// What is known of the results of branches, loops and calls: their bodies are walked with what is known of what they
/// are given.
extension Walk {
  /// One entry for each result; nil where nothing is known. A body that is wrong is no error here, since it may never run.
  mutating func factsOfBodies(_ node: Node) -> [Fact?] {
    switch node.op {
    case .call(let call): return facts(of: call.body, node.inputs.compactMap { $0 }.map { facts[$0] }, node) ?? []
    case .control(.branch(let then, let otherwise)):
      if case .tensor(let condition)? = node.input(0).flatMap({ facts[$0] })?.value, condition.elementType == .bool, condition.count == 1 {
        return facts(of: condition.elements(as: UInt8.self)[0] != 0 ? then : otherwise, [], node) ?? []
      }
      guard let first = facts(of: then, [], node), let second = facts(of: otherwise, [], node) else { return [] }
      return zip(first, second).map { Walk.joined($0, $1) }
    case .control(.loop(let body)):
      let given: [Fact?] = [Fact(TensorType(.int64, Shape([] as [Int]))), Fact(TensorType(.bool, Shape([] as [Int])))]
      let carried = node.inputs.dropFirst(2).map { $0.flatMap { facts[$0] } }
      return factsOfIteration(body, given: given, carried: carried, elements: [], node, leading: 1) { Walk.stacked($0, axis: 0) }
    case .control(.scan(let scan)) where !scan.isBatched:
      let operands = node.inputs.map { $0.flatMap { facts[$0] } }
      let states = Array(operands.dropLast(scan.inputAxes.count))
      let elements = zip(operands.suffix(scan.inputAxes.count), scan.inputAxes).map { Walk.element($0, axis: $1) }
      var axes = scan.outputAxes.makeIterator()
      return factsOfIteration(scan.body, given: [], carried: states, elements: elements, node, leading: 0) { Walk.stacked($0, axis: axes.next() ?? 0) }
    default: return []
    }
  }

  /// Carried values keep their first shape where the body gives it back; else only their element type is known.
  private mutating func factsOfIteration(
    _ body: Subgraph, given: [Fact?], carried: [Fact?], elements: [Fact?], _ node: Node, leading: Int, stacked: (Fact?) -> Fact?
  ) -> [Fact?] {
    var states = carried.map { $0.map { Fact($0.type) } }
    guard var results = facts(of: body, given + states + elements, node) else { return [] }
    let after = results.dropFirst(leading).prefix(states.count)
    if zip(states, after).contains(where: { $0?.type != $1?.type }) {
      states = zip(states, after).map { before, after in
        guard let before, let after, before.type.element == after.type.element else { return nil }
        return before.type == after.type ? before : Fact(TensorType(before.type.element, nil))
      }
      guard let again = facts(of: body, given + states + elements, node) else { return [] }
      results = again
      // What does not stay even now is not known at all.
      states = zip(states, results.dropFirst(leading)).map {
        $0?.type.element == $1?.type.element && ($0?.type.shape == nil || $0?.type == $1?.type) ? $0 : nil
      }
    }
    return states + results.dropFirst(leading + states.count).map(stacked)
  }

  /// The facts of a body's outputs; nil where it is wrong, or too much was walked already.
  private mutating func facts(of body: Subgraph, _ formals: [Fact?], _ node: Node) -> [Fact?]? {
    let graph = body.graph
    guard formals.count == body.formals.count, depth < StructuralVerifier.depthLimit else { return nil }
    bodyNodes -= graph.order.count
    guard bodyNodes >= 0 else { return nil }
    var walk = Walk(graph: graph, bindings: bindings, depth: depth + 1, bodyNodes: bodyNodes, budget: budget)
    let captured = body.captures.map { node.captures.indices.contains($0) ? facts[node.captures[$0]] : nil }
    var known = Set<String>()
    for (value, fact) in zip(graph.inputs, formals + captured) {
      walk.facts[value] = fact
      for dim in fact?.type.shape?.dims ?? [] { known.formUnion(dim.symbols) }
    }
    defer {
      (bodyNodes, budget) = (walk.bodyNodes, walk.budget)
      if walk.reliesOnDeclarations { reliesOnDeclarations = true }
    }
    do throws(Failure) {
      walk.seedConstants()
      var sink = DiagnosticSink()
      for id in graph.order { try walk.visit(id, sink: &sink) }
    } catch {
      return nil
    }
    return graph.outputs.map { walk.facts[$0].map { Walk.closed($0, over: known) } }
  }

  /// A size that arose inside is another one in every run of the body, so its name means nothing outside.
  private static func closed(_ fact: Fact, over symbols: Set<String>) -> Fact {
    var fact = fact
    if let shape = fact.type.shape { fact.type.shape = Shape(shape.dims.map { $0.symbols.isSubset(of: symbols) ? $0 : .unknown }) }
    if case .symbolic(let vector)? = fact.value, !vector.elements.allSatisfy({ $0.symbols.isSubset(of: symbols) }) { fact.value = nil }
    return fact
  }

  private static func joined(_ a: Fact?, _ b: Fact?) -> Fact? {
    guard let a, let b, a.type.element == b.type.element else { return nil }
    guard let first = a.type.shape, let second = b.type.shape, first.rank == second.rank else { return Fact(TensorType(a.type.element, nil)) }
    return Fact(TensorType(a.type.element, Shape(zip(first.dims, second.dims).map { $0 == $1 ? $0 : .unknown })))
  }

  private static func element(_ fact: Fact?, axis: Int) -> Fact? {
    guard let fact else { return nil }
    guard let shape = fact.type.shape else { return Fact(TensorType(fact.type.element, nil)) }
    let place = axis < 0 ? axis + shape.rank : axis
    guard shape.dims.indices.contains(place) else { return nil }
    var dims = shape.dims
    dims.remove(at: place)
    return Fact(TensorType(fact.type.element, Shape(dims)))
  }

  private static func stacked(_ fact: Fact?, axis: Int) -> Fact? {
    guard let fact else { return nil }
    guard let shape = fact.type.shape else { return Fact(TensorType(fact.type.element, nil)) }
    let place = axis < 0 ? axis + shape.rank + 1 : axis
    guard place >= 0, place <= shape.rank else { return nil }
    var dims = shape.dims
    dims.insert(.unknown, at: place)
    return Fact(TensorType(fact.type.element, Shape(dims)))
  }
}
