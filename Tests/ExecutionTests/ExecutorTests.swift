import Diagnostics
import GraphIR
import Inference
import Tensors
import Testing

@testable import Execution

struct ExecutorTests {
  /// `y = gelu(x W + b) + x`, x of (batch, 4).
  static func feedForward() throws -> Graph {
    var builder = GraphBuilder(name: "ffn")
    let x = builder.input("x", TensorType(.float32, Shape([Dim(symbol: "batch"), Dim(4)])))
    let w = builder.constant("w", try Tensor(float32: (0..<16).map { Float($0 % 5) * 0.25 - 0.5 }, dims: [4, 4]))
    let b = builder.constant("b", try Tensor(float32: [0.1, 0.2, 0.3, 0.4], dims: [4]))
    let product = builder.node(.matrix(.matMul), [x, w], result: "p", name: "product")
    let sum = builder.node(.binary(.add), [product, b], result: "s", name: "bias")
    let active = builder.node(.unary(.gelu(.exact)), [sum], result: "g", name: "gelu")
    builder.outputs([builder.node(.binary(.add), [active, x], result: "y", name: "residual")])
    return try builder.finish()
  }

  static func code(_ body: () throws -> Void) -> DiagnosticCode? {
    do { try body() } catch let failure as Failure { return failure.code } catch { return nil }
    return nil
  }

  @Test func fusesWhatFollowsAProduct() throws {
    let graph = try Self.feedForward()
    let plan = try Executor(graph).plan(["x": [3, 4]])
    #expect(plan.stepCount == 1)
    // What is asked for is not fused away.
    let kept = try #require(graph.order.first.flatMap { graph[$0].output(0) })
    let executor = Executor(graph)
    let result = try executor.run(["x": try Tensor(float32: [1, 0, 0, 0], dims: [1, 4])], keeping: [kept])
    #expect(result.values[kept]?.floats() == [-0.5, -0.25, 0, 0.25])
  }

  @Test func batchesOfAnySizeShareWeights() throws {
    let graph = try Self.feedForward()
    let executor = Executor(graph)
    let rows: [Float] = (0..<12).map { Float($0) * 0.1 - 0.6 }
    let whole = try executor.run(["x": try Tensor(float32: rows, dims: [3, 4])])
    let output = graph.outputs[0]
    for row in 0..<3 {
      let one = try executor.run(["x": try Tensor(float32: Array(rows[row * 4..<row * 4 + 4]), dims: [1, 4])])
      let expected = try #require(whole.values[output]?.floats())[row * 4..<row * 4 + 4]
      #expect(zip(try #require(one.values[output]?.floats()), expected).allSatisfy { abs($0 - $1) < 1e-6 })
    }
    let empty = try executor.run(["x": try Tensor(float32: [], dims: [0, 4])])
    #expect(empty.values[output]?.dims == [0, 4])
  }

  @Test func inputsAreHeldAgainstTheGraph() throws {
    let graph = try Self.feedForward()
    let executor = Executor(graph)
    let good = try Tensor(float32: [0, 1, 2, 3], dims: [1, 4])
    #expect(Self.code { _ = try executor.run([:]) } == .badRunInput)
    #expect(Self.code { _ = try executor.run(["x": good, "z": good]) } == .badRunInput)
    #expect(Self.code { _ = try executor.run(["x": try good.reshaped([4, 1])]) } == .badRunInput)
    #expect(Self.code { _ = try executor.run(["x": try good.reshaped([4])]) } == .badRunInput)
    #expect(Self.code { _ = try executor.run(["x": try Tensor(int64: [0, 1, 2, 3], dims: [1, 4])]) } == .badRunInput)
    let wide = try executor.run(["x": try Tensor(float64: [0, 1, 2, 3], dims: [1, 4])])
    #expect(wide.values[graph.outputs[0]]?.floats() == (try executor.run(["x": good])).values[graph.outputs[0]]?.floats())
  }

  @Test func unknownOperatorsAreNamed() throws {
    var builder = GraphBuilder(name: "foreign")
    let x = builder.input("x", TensorType(.float32, Shape([2])))
    builder.outputs([builder.node(.foreign(ForeignOp(domain: "acme", name: "Frobnicate")), [x], result: "y", name: "strange")])
    let graph = try builder.finish()
    do {
      _ = try Executor(graph).run(["x": try Tensor(float32: [1, 2], dims: [2])])
      Issue.record("ran")
    } catch {
      #expect(error.code == .operatorNotRunnable)
      #expect(error.description.contains("acme.Frobnicate") && error.at.element == "strange")
    }
  }

  @Test func indicesOutOfRangeAreRefused() throws {
    var builder = GraphBuilder(name: "gather")
    let x = builder.input("x", TensorType(.float32, Shape([3, 2])))
    let index = builder.input("i", TensorType(.int64, Shape([1])))
    builder.outputs([builder.node(.indexing(.gather(axis: 0)), [x, index], result: "y", name: "pick")])
    let graph = try builder.finish()
    let rows = try Tensor(float32: [0, 1, 2, 3, 4, 5], dims: [3, 2])
    let executor = Executor(graph)
    #expect(Self.code { _ = try executor.run(["x": rows, "i": try Tensor(int64: [3], dims: [1])]) } == .indexOutOfRange)
    let picked = try executor.run(["x": rows, "i": try Tensor(int64: [-1], dims: [1])])
    #expect(picked.values[graph.outputs[0]]?.floats() == [4, 5])
  }

  @Test func plansBeyondMemoryAreRefused() throws {
    var builder = GraphBuilder(name: "huge")
    let x = builder.input("x", TensorType(.float32, Shape([Dim(symbol: "n"), Dim(1 << 10)])))
    let transposed = builder.node(.layout(.transpose([1, 0])), [x], result: "t")
    builder.outputs([builder.node(.matrix(.matMul), [x, transposed], result: "y")])
    let graph = try builder.finish()
    #expect(Self.code { _ = try Executor(graph).plan(["x": [1 << 19, 1 << 10]]) } == .outOfMemory)
  }

  @Test func profilesNameTheNodes() throws {
    let graph = try Self.feedForward()
    let result = try Executor(graph, options: RunOptions(profiles: true)).run(["x": try Tensor(float32: [0, 1, 2, 3], dims: [1, 4])])
    #expect(result.profile.count == 1)
    #expect(result.profile.first?.nodes.map { graph[$0].name } == ["product", "bias", "gelu", "residual"])
  }
}
