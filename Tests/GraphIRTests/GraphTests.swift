import Diagnostics
import Tensors
import Testing

@testable import GraphIR

/// x -> relu -> y -> neg -> z, and w = y + c.
private func smallGraph() throws -> Graph {
  var builder = GraphBuilder(name: "small")
  let x = builder.input("x", TensorType(.float32, Shape([2])))
  let c = builder.constant("c", try Tensor(float32: [1, 2], dims: [2]))
  let y = builder.node(.unary(.relu), [x], result: "y", name: "relu")
  let z = builder.node(.unary(.neg), [y], result: "z", name: "neg")
  let w = builder.node(.binary(.add), [y, c], result: "w", name: "add")
  builder.outputs([z, w])
  return try builder.finish()
}

private func value(_ name: String, in graph: Graph) throws -> ValueID { try #require(graph.values.handles.first { graph[$0].name == name }) }

private func expectFailure(_ code: DiagnosticCode, _ body: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) {
  do {
    try body()
    Issue.record("nothing was thrown", sourceLocation: sourceLocation)
  } catch {
    #expect((error as? Failure)?.code == code, "\(error)", sourceLocation: sourceLocation)
  }
}

@Suite struct ArenaTests {
  @Test func handlesAddressWhatWasAppended() {
    var arena = Arena<NodeTag, String>()
    let a = arena.append("a")
    let b = arena.append("b")
    arena[a] = "c"
    #expect(arena[a] == "c")
    #expect(arena[b] == "b")
    #expect(a < b)
    #expect(Array(arena.handles) == [a, b])
    #expect(arena.contains(b))
    #expect(!arena.contains(Handle(raw: 2)))
  }

  @Test func mapsGrow() {
    var map = HandleMap<ValueTag, Int>(count: 1, initial: 7)
    map[Handle(raw: 5)] = 1
    #expect(map[Handle(raw: 5)] == 1)
    #expect(map[Handle(raw: 3)] == 7)
    #expect(map[Handle(raw: 100)] == 7)
  }

  @Test func originsAreSortedSets() {
    let a = OriginSet([NodeID(raw: 3), NodeID(raw: 1), NodeID(raw: 3)])
    #expect(a.ids == [NodeID(raw: 1), NodeID(raw: 3)])
    #expect(a.union([NodeID(raw: 2)]).ids.map(\.raw) == [1, 2, 3])
    #expect(a.union([]) == a)
  }

  @Test func usesTellReaders() throws {
    let graph = try smallGraph()
    let uses = Uses(graph)
    let y = try value("y", in: graph)
    #expect(uses.readers(of: y).map { graph[$0].name } == ["neg", "add"])
    #expect(uses.onlyReader(of: y) == nil)
    #expect(uses.onlyReader(of: try value("x", in: graph)).map { graph[$0].name } == "relu")
    #expect(uses.isOutput(try value("z", in: graph)))
  }
}

@Suite struct StructuralVerifierTests {
  @Test func aGoodGraphPasses() throws { try StructuralVerifier.verify(try smallGraph()) }

  @Test func nodesInTheWrongOrderAreRefused() throws {
    var graph = try smallGraph()
    graph.order.reverse()
    expectFailure(.cyclicGraph) { try StructuralVerifier.verify(graph) }
  }

  @Test func aNodeThatReadsItselfIsRefused() throws {
    var graph = try smallGraph()
    graph.nodes[graph.order[0]].inputs = [try value("y", in: graph)]
    expectFailure(.cyclicGraph) { try StructuralVerifier.verify(graph) }
  }

  @Test func aNodeThatStandsTwiceIsRefused() throws {
    var graph = try smallGraph()
    graph.order.append(graph.order[0])
    expectFailure(.brokenInvariant) { try StructuralVerifier.verify(graph) }
  }

  @Test func namesAreUnique() throws {
    var graph = try smallGraph()
    graph.values[try value("z", in: graph)].name = "x"
    expectFailure(.duplicateName) { try StructuralVerifier.verify(graph) }
    graph.values[try value("w", in: graph)].name = ""
    expectFailure(.duplicateName) { try StructuralVerifier.verify(graph) }
  }

  @Test func emptyNamesAreRefused() throws {
    var graph = try smallGraph()
    graph.values[try value("c", in: graph)].name = ""
    expectFailure(.brokenInvariant) { try StructuralVerifier.verify(graph) }
  }

  @Test func handlesOfOtherGraphsAreRefused() throws {
    var graph = try smallGraph()
    graph.nodes[graph.order[0]].inputs = [ValueID(raw: 99)]
    expectFailure(.brokenInvariant) { try StructuralVerifier.verify(graph) }
    graph = try smallGraph()
    graph.outputs = [ValueID(raw: 99)]
    expectFailure(.undefinedValue) { try StructuralVerifier.verify(graph) }
    graph = try smallGraph()
    graph.order = [NodeID(raw: 99)]
    expectFailure(.brokenInvariant) { try StructuralVerifier.verify(graph) }
  }

  @Test func resultsBelongToTheirNode() throws {
    var graph = try smallGraph()
    graph.nodes[graph.order[1]].outputs = [try value("w", in: graph)]
    expectFailure(.brokenInvariant) { try StructuralVerifier.verify(graph) }
  }

  @Test func outputsOfSweptNodesAreRefused() throws {
    var graph = try smallGraph()
    graph.order.removeLast()
    expectFailure(.undefinedValue) { try StructuralVerifier.verify(graph) }
  }

  @Test func inputsAreDefinedAsInputs() throws {
    var graph = try smallGraph()
    graph.inputs = [try value("c", in: graph)]
    expectFailure(.brokenInvariant) { try StructuralVerifier.verify(graph) }
  }

  @Test func capturesAreReads() throws {
    var builder = GraphBuilder(name: "captures")
    let x = builder.input("x", nil)
    let results = builder.node(Node(.foreign(ForeignOp(domain: "", name: "If")), [x], captures: [ValueID(raw: 5)], name: "if"), results: ["y"])
    builder.outputs(results.compactMap { $0 })
    expectFailure(.brokenInvariant) { _ = try builder.finish() }
  }
}

@Suite struct PatchTests {
  @Test func anEmptyPatchChangesNothing() throws {
    let graph = try smallGraph()
    let patch = Patch(graph)
    #expect(patch.isEmpty)
    let result = try patch.commit()
    #expect(result.order == graph.order)
    #expect(result.outputs == graph.outputs)
  }

  @Test func replacingAnInnerValueMovesItsReaders() throws {
    let graph = try smallGraph()
    let y = try value("y", in: graph)
    var patch = Patch(graph)
    let twice = patch.add(.binary(.add), [y, y], name: "twice", origins: [graph.order[0]])
    patch.replace(y, with: twice)
    let result = try patch.commit()
    // The new node wraps what it replaces: it still reads y, the old readers read the sum.
    #expect(result[try #require(result.producer(of: twice))].inputs == [y, y])
    for name in ["neg", "add"] {
      let node = try #require(result.order.first { result[$0].name == name })
      #expect(result[node].inputs[0] == twice)
    }
    #expect(result.order.map { result[$0].name } == ["relu", "twice", "neg", "add"])
    #expect(result[result.order[1]].origins == [graph.order[0]])
    #expect(graph.order.count == 3)
  }

  @Test func replacingAnOutputKeepsItsName() throws {
    let graph = try smallGraph()
    let z = try value("z", in: graph)
    var patch = Patch(graph)
    let other = patch.add(.unary(.abs), [graph.inputs[0]], name: "other")
    patch.replace(z, with: other)
    let result = try patch.commit()
    #expect(result.outputs[0] == other)
    #expect(result[other].name == "z")
    // The node whose result nobody reads any more is swept.
    #expect(!result.order.contains { result[$0].name == "neg" })
  }

  @Test func chainsOfReplacementsAreFollowed() throws {
    let graph = try smallGraph()
    let y = try value("y", in: graph)
    var patch = Patch(graph)
    let a = patch.add(.unary(.abs), [graph.inputs[0]], name: "a")
    let b = patch.add(.unary(.sign), [graph.inputs[0]], name: "b")
    patch.replace(y, with: a)
    patch.replace(a, with: b)
    let result = try patch.commit()
    #expect(result.order.map { result[$0].name } == ["b", "neg", "add"])
  }

  @Test func circlesOfReplacementsAreRefused() throws {
    let graph = try smallGraph()
    let (y, z) = (try value("y", in: graph), try value("z", in: graph))
    var patch = Patch(graph)
    patch.replace(y, with: z)
    patch.replace(z, with: y)
    expectFailure(.cyclicGraph) { _ = try patch.commit() }
  }

  @Test func editsThatMakeACycleAreRefused() throws {
    let graph = try smallGraph()
    var patch = Patch(graph)
    patch.replace(graph.inputs[0], with: try value("z", in: graph))
    expectFailure(.cyclicGraph) { _ = try patch.commit() }
  }

  @Test func newNodesComeBeforeTheirReaders() throws {
    let graph = try smallGraph()
    var patch = Patch(graph)
    let first = patch.add(.unary(.exp), [graph.inputs[0]], name: "first")
    let second = patch.add(.unary(.log), [first], name: "second")
    patch.replace(try value("y", in: graph), with: second)
    let result = try patch.commit()
    #expect(result.order.map { result[$0].name } == ["first", "second", "neg", "add"])
  }

  @Test func namesStayUnique() throws {
    let graph = try smallGraph()
    var patch = Patch(graph)
    let a = patch.add(.unary(.exp), [graph.inputs[0]], name: "y")
    let b = patch.addConstant("y", try Tensor(float32: [1, 2], dims: [2]))
    patch.addOutput(patch.add(.binary(.add), [a, b], name: "y"))
    let result = try patch.commit()
    #expect(Set(result.values.handles.map { result[$0].name }).count == result.values.count)
    expectFailure(.duplicateName) { _ = try patch.addInput("x", TensorType(.float32, nil)) }
  }

  @Test func inputsAndOutputsMayBeAdded() throws {
    let graph = try smallGraph()
    var patch = Patch(graph)
    let labels = try patch.addInput("labels", TensorType(.int64, Shape([2])))
    let cast = patch.addNode(.cast(to: .float32), [labels], name: "cast")
    patch.addOutput(cast[0])
    let result = try patch.commit()
    #expect(result.inputs.map { result[$0].name } == ["x", "labels"])
    #expect(result.outputs.count == 3)
  }

  @Test func valuesReadInsideSubgraphsAreNotReplaced() throws {
    var builder = GraphBuilder(name: "captures")
    let x = builder.input("x", nil)
    let y = builder.node(.unary(.relu), [x], result: "y")
    let results = builder.node(Node(.foreign(ForeignOp(domain: "", name: "If")), [x], captures: [y], name: "if"), results: ["z"])
    builder.outputs(results.compactMap { $0 })
    var patch = Patch(try builder.finish())
    patch.replace(y, with: x)
    expectFailure(.notExpressible) { _ = try patch.commit() }
  }
}
