import Diagnostics
import GraphIR
import Tensors
import Testing

/// Graph outputs are public: their names stay whatever takes their place.
@Suite struct PatchOutputTests {
  private func graph() throws -> (graph: Graph, x: ValueID, a: ValueID, b: ValueID) {
    var builder = GraphBuilder(name: "g")
    let x = builder.input("x", TensorType(.float32, Shape([2])))
    let a = builder.node(.unary(.relu), [x], result: "a")
    let b = builder.node(.unary(.abs), [a], result: "b")
    builder.outputs([a, b])
    return (try builder.finish(), x, a, b)
  }

  private func outputNames(_ graph: Graph) -> [String] { graph.outputs.map { graph[$0].name } }
  private func ops(_ graph: Graph) -> [Op] { graph.order.map { graph[$0].op } }

  @Test func aNewResultTakesTheNameOver() throws {
    let (graph, _, _, b) = try graph()
    var patch = Patch(graph)
    patch.replace(b, with: patch.add(.unary(.neg), [b], name: "wrapped"))
    let edited = try patch.commit()
    #expect(outputNames(edited) == ["a", "b"])
    #expect(ops(edited) == [.unary(.relu), .unary(.abs), .unary(.neg)])
  }

  @Test func anInputKeepsItsOwnName() throws {
    let (graph, x, _, b) = try graph()
    var patch = Patch(graph)
    patch.replace(b, with: x)
    let edited = try patch.commit()
    #expect(outputNames(edited) == ["a", "b"])
    #expect(edited.inputs.map { edited[$0].name } == ["x"])
    #expect(ops(edited) == [.unary(.relu), .unary(.identity)])
  }

  @Test func oneValueMayStandForTwoOutputs() throws {
    let (graph, x, a, b) = try graph()
    var patch = Patch(graph)
    let new = patch.add(.unary(.neg), [x], name: "new")
    patch.replace(a, with: new)
    patch.replace(b, with: new)
    let edited = try patch.commit()
    #expect(outputNames(edited) == ["a", "b"])
    #expect(ops(edited) == [.unary(.neg), .unary(.identity)])
  }

  @Test func anOutputListedTwiceStaysListedTwice() throws {
    var builder = GraphBuilder(name: "g")
    let x = builder.input("x", TensorType(.float32, Shape([2])))
    let a = builder.node(.unary(.relu), [x], result: "a")
    builder.outputs([a, a])
    var patch = Patch(try builder.finish())
    patch.replace(a, with: patch.add(.unary(.neg), [a], name: "n"))
    #expect(outputNames(try patch.commit()) == ["a", "a"])
  }
}
