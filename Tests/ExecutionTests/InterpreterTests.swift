import Diagnostics
import GraphIR
import Inference
import Tensors
import Testing

@testable import Execution

/// Graphs that no static plan can hold.
struct InterpreterTests {
  private static func vector(_ values: [Int64]) throws -> Tensor { try Tensor(int64: values, dims: [values.count]) }

  /// `y = reshape(x, s) W`, the shape `s` an input.
  private static func reshaped() throws -> Graph {
    var builder = GraphBuilder(name: "reshaped")
    let x = builder.input("x", TensorType(.float32, Shape([64, 64])))
    let s = builder.input("s", TensorType(.int64, Shape([Dim(symbol: "rank")])))
    let w = builder.constant("w", try Tensor(float32: (0..<1024).map { Float($0 % 7) - 3 }, dims: [32, 32]))
    let r = builder.node(.layout(.reshape(allowZero: false)), [x, s], result: "r", name: "reshape")
    builder.outputs([builder.node(.matrix(.matMul), [r, w], result: "y", name: "product")])
    return try builder.finish()
  }

  @Test func shapesThatOnlyTheRunKnows() throws {
    let graph = try Self.reshaped()
    let x = try Tensor(float32: (0..<4096).map { Float($0 % 11) * 0.25 }, dims: [64, 64])
    let executor = Executor(graph)
    let flat = try executor.run(["x": x, "s": try Self.vector([128, 32])])
    let deep = try executor.run(["x": x, "s": try Self.vector([2, -1, 32])])
    let y = graph.outputs[0]
    #expect(flat.values[y]?.dims == [128, 32] && deep.values[y]?.dims == [2, 64, 32])
    #expect(flat.values[y]?.floats() == deep.values[y]?.floats())
    let exact = try Executor(graph, options: RunOptions(precision: .reference)).run(["x": x, "s": try Self.vector([128, 32])])
    #expect(exact.values[y]?.elementType == .float64)
    let pairs = zip(try #require(flat.values[y]?.doubles()), try #require(exact.values[y]?.doubles()))
    #expect(pairs.allSatisfy { abs($0 - $1) < 1e-3 })
  }

  @Test func aRuleBrokenDuringTheRunIsNamed() throws {
    let graph = try Self.reshaped()
    let x = try Tensor(float32: [Float](repeating: 1, count: 4096), dims: [64, 64])
    for (shape, code, node) in [
      ([Int64](arrayLiteral: 100, 32), DiagnosticCode.shapeMismatch, "reshape"), ([32, 128], .shapeMismatch, "product"),
      ([.max, 2], .shapeMismatch, "reshape"), ([-1, -1], .shapeMismatch, "reshape"), ([-7], .shapeMismatch, "reshape"),
    ] {
      do {
        _ = try Executor(graph).run(["x": x, "s": try Self.vector(shape)])
        Issue.record("\(shape) ran")
      } catch {
        let failure = try #require(error as? Failure)
        #expect([code, .sizeOverflow].contains(failure.code) && failure.at.element == node, "\(shape): \(failure)")
      }
    }
  }

  @Test func stringsFlow() throws {
    var builder = GraphBuilder(name: "strings")
    let x = builder.input("x", TensorType(.string, Shape([3])))
    let i = builder.input("i", TensorType(.int64, Shape([2])))
    let same = builder.node(.unary(.identity), [x], result: "same")
    builder.outputs([builder.node(.indexing(.gather(axis: 0)), [same, i], result: "y", name: "pick")])
    let graph = try builder.finish()
    let words = try Tensor(.string, dims: [3], storage: .strings(["a", "bc", ""].map { Array($0.utf8) }))
    let result = try Executor(graph).run(["x": words, "i": try Self.vector([1, -3])])
    guard case .strings(let picked)? = result.values[graph.outputs[0]]?.storage else {
      Issue.record("no strings")
      return
    }
    #expect(picked == [Array("bc".utf8), Array("a".utf8)])
    #expect(ExecutorTests.code { _ = try Executor(graph).run(["x": words, "i": try Self.vector([0, 3])]) } == .indexOutOfRange)
  }

  @Test func aRunEndsAtItsTimeLimit() throws {
    let x = try Tensor(float32: [Float](repeating: 1, count: 4096), dims: [64, 64])
    let executor = Executor(try Self.reshaped(), options: RunOptions(timeLimit: -1))
    #expect(ExecutorTests.code { _ = try executor.run(["x": x, "s": try Self.vector([128, 32])]) } == .runLimit)
  }
}

/// Files that declare what is not so.
struct WrongDeclarationTests {
  /// The declared sizes of what only the run knows are claims, and the run gives what is true.
  @Test func declaredSizesAreNotReliedOn() throws {
    var builder = GraphBuilder(name: "claims")
    let x = builder.input("x", TensorType(.float32, Shape([2, 3])))
    let s = builder.input("s", TensorType(.int64, Shape([2])))
    let r = builder.node(.layout(.reshape(allowZero: false)), [x, s], result: "r")
    builder.declare(r, TensorType(.float32, Shape([2, 3])))
    let dims = builder.node(.generator(.shape(start: 0, end: nil)), [r], result: "dims")
    let y = builder.node(.unary(.neg), [r], result: "y")
    builder.outputs([y, dims])
    let graph = try builder.finish()
    let executor = Executor(graph)
    let result = try executor.run(["x": try Tensor(float32: [1, 2, 3, 4, 5, 6], dims: [2, 3]), "s": try Tensor(int64: [3, 2], dims: [2])])
    #expect(result.values[y]?.dims == [3, 2] && result.values[dims]?.integers() == [3, 2])
  }
}
