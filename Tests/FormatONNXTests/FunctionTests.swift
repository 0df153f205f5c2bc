import Diagnostics
import GraphIR
import Tensors
import Testing

@testable import FormatONNX

/// Functions that a model defines, and calls of them.
@Suite struct FunctionTests {
  /// `Act(x, b?)`: Elu of `x + b` with the call's alpha, 0.5 where it gives none.
  private func model(_ call: WireEncoder) -> HandmadeModel {
    var model = HandmadeModel()
    model.opsets = [("", 17), ("f", 1)]
    model.input("x")
    model.node(call)
    model.output("y")
    let reference = HandmadeModel.message { a in
      a.field(1, string: "alpha")
      a.field(20, integer: 1)
      a.field(21, string: "slope")
    }
    model.extras = [
      (
        25,
        HandmadeModel.message { f in
          f.field(1, string: "Act")
          for name in ["p", "b"] { f.field(4, string: name) }
          f.field(5, string: "q")
          f.field(7, message: HandmadeModel.node("Elu", ["p"], ["e"], attributes: [reference]))
          f.field(7, message: HandmadeModel.node("Clip", ["e", "b"], ["q"]))
          f.field(9, message: .operatorSet("", 17))
          f.field(10, string: "f")
          f.field(11, message: HandmadeModel.attribute("slope", float: 0.5))
        }
      )
    ]
    return model
  }

  private func body(_ call: WireEncoder) throws -> Graph {
    let model = model(call)
    let graph = try model.read().graph
    #expect(try ONNXWriter.segments(for: graph).bytes == model.bytes)
    return try #require(graph.order.first.flatMap { graph[$0].op.bodies.first }).graph
  }

  @Test func attributesAreFilledIn() throws {
    let given = try body(HandmadeModel.node("Act", ["x"], ["y"], domain: "f", attributes: [HandmadeModel.attribute("slope", float: 2)]))
    #expect(given.order.first.map { given[$0].op } == .unary(.elu(alpha: 2)))
    let standard = try body(HandmadeModel.node("Act", ["x"], ["y"], domain: "f"))
    #expect(standard.order.first.map { standard[$0].op } == .unary(.elu(alpha: 0.5)))
  }

  @Test func operandsThatAreLeftOutAreLeftOutInside() throws {
    let one = try body(HandmadeModel.node("Act", ["x"], ["y"], domain: "f"))
    #expect(one.inputs.count == 1 && one.order.last.map { one[$0].inputs.compactMap { $0 }.count } == 1)
    let two = try body(HandmadeModel.node("Act", ["x", "x"], ["y"], domain: "f"))
    #expect(two.inputs.count == 2 && two.order.last.map { two[$0].inputs.compactMap { $0 }.count } == 2)
  }

  @Test func aCallOfTooManyOperandsPassesThrough() throws {
    let (model, sink) = try model(HandmadeModel.node("Act", ["x", "x", "x"], ["y"], domain: "f")).readReporting()
    #expect(sink.diagnostics.map(\.code) == [.unknownOperator])
    #expect(model.graph.order.first.map { model.graph[$0].op } == .foreign(ForeignOp(domain: "f", name: "Act")))
  }

  @Test func callsAreReplacedByWhatTheyStandFor() throws {
    let graph = try model(HandmadeModel.node("Act", ["x"], ["y"], name: "act", domain: "f")).read().graph
    let open = try graph.inliningCalls()
    #expect(!open.hasCalls && open.order.map { open[$0].op } == [.unary(.elu(alpha: 0.5)), .clip])
    #expect(open.outputs == graph.outputs && open.order.allSatisfy { open[$0].origins == graph[graph.order[0]].origins })
    // The file keeps its function; what stands for the call is spelled anew.
    let written = try ONNXWriter.segments(for: open).read()
    #expect(written.order.map { written[$0].op } == open.order.map { open[$0].op })
  }
}

/// Sparse tensors are read as dense ones.
@Suite struct SparseTests {
  private func sparse(_ dims: [Int], _ values: [Float], _ indices: [Int], tuples: Bool = false) -> HandmadeModel {
    var model = HandmadeModel.single("Add", inputs: ["x", "s"])
    model.add(
      15,
      HandmadeModel.message { s in
        s.field(1, message: HandmadeModel.floats("s", [values.count], values))
        s.field(
          2,
          message: HandmadeModel.tensor("", .int64, tuples ? [values.count, dims.count] : [values.count]) { t in
            for index in indices { t.field(7, integer: Int64(index)) }
          })
        for dim in dims { s.field(3, integer: Int64(dim)) }
      })
    return model
  }

  @Test func zerosAreFilledIn() throws {
    for model in [sparse([2, 3], [5, 7], [2, 3]), sparse([2, 3], [5, 7], [0, 2, 1, 0], tuples: true)] {
      let graph = try model.read().graph
      let value = try #require(graph.order.first.flatMap { graph[$0].input(1) })
      #expect(graph.constant(value)?.floats() == [0, 0, 5, 7, 0, 0])
    }
  }

  @Test func whatDoesNotFitIsRefused() {
    #expect(code { () throws(Failure) in _ = try sparse([2, 3], [5], [6]).read() } == .malformed)
    #expect(code { () throws(Failure) in _ = try sparse([2, 3], [5], [-1]).read() } == .malformed)
    #expect(code { () throws(Failure) in _ = try sparse([2, 3], [5], [0, 3], tuples: true).read() } == .malformed)
    #expect(code { () throws(Failure) in _ = try sparse([2, 3], [5, 6], [1]).read() } == .payloadMismatch)
    #expect(code { () throws(Failure) in _ = try sparse([1 << 40, 1 << 40], [5], [0]).read() } == .sizeOverflow)
    #expect(code { () throws(Failure) in _ = try sparse([1 << 20, 1 << 20], [5], [0]).read() } == .limitExceeded)
  }
}
