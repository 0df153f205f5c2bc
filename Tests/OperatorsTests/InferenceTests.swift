import Bytes
import Diagnostics
import Foundation
import GraphIR
import Inference
import Operators
import Tensors
import TestSupport
import Testing

private func infer(_ graph: Graph, shapes: [String: [Int]] = [:], symbols: [String: Int] = [:]) throws -> TypedGraph {
  var sink = DiagnosticSink()
  return try Inference.infer(graph, inputShapes: shapes, symbols: symbols, sink: &sink)
}

private func expectFailure(_ code: DiagnosticCode, at element: String? = nil, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void) {
  do {
    try body()
    Issue.record("nothing was thrown", sourceLocation: sourceLocation)
  } catch {
    #expect((error as? Failure)?.code == code, "\(error)", sourceLocation: sourceLocation)
    if let element { #expect((error as? Failure)?.at.element == element, "\(error)", sourceLocation: sourceLocation) }
  }
}

private let n = Dim(symbol: "n")

@Suite struct BindingTests {
  /// x (n, 4) + y (n, 4)
  private func graph() throws -> Graph {
    var builder = GraphBuilder(name: "sum")
    let x = builder.input("x", TensorType(.float32, Shape([n, 4])))
    let y = builder.input("y", TensorType(.float32, Shape([n, 4])))
    builder.outputs([builder.node(.binary(.add), [x, y], result: "z", name: "add")])
    return try builder.finish()
  }

  @Test func symbolsStayUnlessBound() throws {
    let graph = try graph()
    #expect(try infer(graph).shape(of: graph.outputs[0]) == Shape([n, 4]))
    #expect(try infer(graph).symbols == ["n"])
    #expect(try infer(graph, symbols: ["n": 3]).shape(of: graph.outputs[0]) == Shape([3, 4]))
    // A shape given for one input binds the symbol in the other.
    #expect(try infer(graph, shapes: ["x": [5, 4]]).shape(of: graph.inputs[1]) == Shape([5, 4]))
  }

  @Test func whatDoesNotFitIsRefused() throws {
    let graph = try graph()
    expectFailure(.badRunInput, at: "x") { _ = try infer(graph, shapes: ["x": [5, 3]]) }
    expectFailure(.badRunInput, at: "x") { _ = try infer(graph, shapes: ["x": [5]]) }
    expectFailure(.badRunInput, at: "x") { _ = try infer(graph, shapes: ["x": [-1, 4]]) }
    expectFailure(.badRunInput, at: "w") { _ = try infer(graph, shapes: ["w": [5, 4]]) }
    expectFailure(.badRunInput, at: "y") { _ = try infer(graph, shapes: ["x": [5, 4], "y": [6, 4]]) }
    expectFailure(.badRunInput, at: "m") { _ = try infer(graph, symbols: ["m": 2]) }
    expectFailure(.badRunInput) { _ = try infer(graph, shapes: ["x": [5, 4]], symbols: ["n": 2]) }
  }

  @Test func inputsWithoutAShapeTakeTheGivenOne() throws {
    var builder = GraphBuilder(name: "free")
    let x = builder.input("x", TensorType(.float32, nil))
    builder.outputs([builder.node(.unary(.relu), [x], result: "y")])
    let graph = try builder.finish()
    #expect(try infer(graph).untyped.count == 2)
    #expect(try infer(graph, shapes: ["x": [2, 3]]).shape(of: graph.outputs[0]) == Shape([2, 3]))
  }
}

@Suite struct InferenceTests {
  @Test func unknownOperatorsHideTypesUnlessTheFileDeclaresThem() throws {
    var builder = GraphBuilder(name: "foreign")
    let x = builder.input("x", TensorType(.float32, Shape([2])))
    let results = builder.node(
      Node(.foreign(ForeignOp(domain: "other", name: "Mystery")), [x], name: "mystery"), results: ["hidden", "told"],
      types: [nil, TensorType(.float32, Shape([3]))])
    let a = builder.node(.unary(.relu), [results[0]], result: "a")
    let b = builder.node(.unary(.relu), [results[1]], result: "b")
    builder.outputs([a, b])
    let graph = try builder.finish()
    let typed = try infer(graph)
    #expect(typed.type(of: a) == nil)
    #expect(typed.type(of: b) == TensorType(.float32, Shape([3])))
    #expect(typed.untyped.map { graph[$0].name } == ["hidden", "a"])
  }

  @Test func contradictedDeclarationsAreWarnings() throws {
    var builder = GraphBuilder(name: "lies")
    let x = builder.input("x", TensorType(.float32, Shape([2, 3])))
    let y = builder.node(.layout(.transpose([1, 0])), [x], result: "y")
    builder.declare(y, TensorType(.float32, Shape([2, 3])))
    builder.outputs([y])
    var sink = DiagnosticSink()
    let graph = try builder.finish()
    let typed = try Inference.infer(graph, sink: &sink)
    #expect(typed.shape(of: y) == Shape([3, 2]))
    #expect(sink.diagnostics.map(\.level) == [.warning])
    #expect(sink.diagnostics.first?.at.element == "y")
  }

  /// A reshape to a target that only the run knows.
  @Test func unknownSizesTakeTheDeclaredOnesAndElseAreAllDifferent() throws {
    var builder = GraphBuilder(name: "open")
    let x = builder.input("x", TensorType(.float32, Shape([6])))
    let target = builder.input("target", TensorType(.int64, Shape([2])))
    let a = builder.node(.layout(.reshape(allowZero: false)), [x, target], result: "a")
    let b = builder.node(.layout(.reshape(allowZero: false)), [x, target], result: "b")
    builder.declare(b, TensorType(.float32, Shape([2, 3])))
    builder.outputs([a, b])
    let graph = try builder.finish()
    let typed = try infer(graph)
    let shape = try #require(typed.shape(of: a))
    #expect(shape.rank == 2)
    #expect(shape.concrete == nil)
    #expect(shape[0] != shape[1])
    #expect(typed.shape(of: b) == Shape([2, 3]))
  }

  @Test func failuresNameTheNode() throws {
    var builder = GraphBuilder(name: "wrong")
    let x = builder.input("x", TensorType(.float32, Shape([2, 3])))
    builder.outputs([builder.node(.matrix(.matMul), [x, x], result: "y", name: "product")])
    let graph = try builder.finish()
    expectFailure(.shapeMismatch, at: "product") { _ = try infer(graph) }
  }

  @Test func wrongCountsAreRefused() throws {
    var builder = GraphBuilder(name: "wrong")
    let x = builder.input("x", TensorType(.float32, Shape([2, 3])))
    builder.outputs([builder.node(.binary(.add), [x], result: "y", name: "sum")])
    let graph = try builder.finish()
    expectFailure(.operandCount, at: "sum") { _ = try infer(graph) }
    var other = GraphBuilder(name: "wrong")
    let z = other.input("x", TensorType(.float32, Shape([2, 3])))
    let results = other.node(Node(.unary(.relu), [z], name: "relu"), results: ["a", "b"])
    other.outputs(results.compactMap { $0 })
    let second = try other.finish()
    expectFailure(.operandCount, at: "relu") { _ = try infer(second) }
  }

  @Test func smallConstantsAreFolded() throws {
    var builder = GraphBuilder(name: "folding")
    let a = builder.constant("a", try Tensor(float32: [1, 2], dims: [2]))
    let b = builder.constant("b", try Tensor(float32: [3, 5], dims: [2]))
    let sum = builder.node(.binary(.add), [a, b], result: "sum")
    let large = builder.node(.layout(.expand), [sum, builder.constant("shape", try Tensor(int64: [1 << 16, 2], dims: [2]))], result: "large")
    builder.outputs([sum, large])
    let typed = try infer(try builder.finish())
    #expect(typed.constant(sum)?.floats() == [4, 7])
    #expect(typed.constant(large) == nil)
    #expect(typed.shape(of: large) == Shape([1 << 16, 2]))
  }

  /// A contraction of 2^32 products from two vectors of 2^16 elements, and a chain of large results.
  @Test func foldingHasABudget() throws {
    var builder = GraphBuilder(name: "bomb")
    let vector = builder.constant("v", try Tensor(float32: [Float](repeating: 1, count: 1 << 16), dims: [1 << 16]))
    let scalar = builder.node(.matrix(.einsum(equation: "i,j->")), [vector, vector], result: "scalar")
    var last = vector
    for index in 0..<2000 { last = builder.node(.unary(.exp), [last], result: "e\(index)") }
    builder.outputs([scalar, last])
    let clock = ContinuousClock()
    let graph = try builder.finish()
    var typed: TypedGraph?
    #expect(try clock.measure { typed = try infer(graph) } < .seconds(30))
    #expect(typed?.constant(scalar) == nil)
    #expect(typed?.constant(last) == nil)
    #expect(typed?.shape(of: last) == Shape([1 << 16]))
  }

  /// A weight of a file that was cut after it was mapped: touching it would end the process.
  @Test func weightsAreNeverRead() throws {
    let path = NSTemporaryDirectory() + "vitconv-inference-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let count = 1 << 18
    try #require(FileManager.default.createFile(atPath: path, contents: Data(count: 4 * count)))
    let source = try ByteSource(mapping: path)
    let file = try #require(FileHandle(forWritingAtPath: path))
    try file.truncate(atOffset: 0)
    var builder = GraphBuilder(name: "weights")
    let x = builder.input("x", TensorType(.float32, Shape([n, 512])))
    let weight = builder.constant("w", try Tensor(.float32, dims: [512, 512], storage: .mapped(source, 0..<4 * count)))
    let seen = builder.node(.unary(.identity), [weight], result: "seen")
    let flat = builder.node(.layout(.flatten(axis: 1)), [seen], result: "flat")
    let turned = builder.node(.layout(.transpose([1, 0])), [flat], result: "turned")
    let y = builder.node(.matrix(.matMul), [x, turned], result: "y")
    builder.outputs([y])
    let typed = try infer(try builder.finish())
    #expect(typed.shape(of: y) == Shape([n, 512]))
    #expect(typed.constant(turned) == nil)
    // Views of a weight stay constants without a look at them.
    #expect(typed.constant(flat)?.dims == [512, 512])
    #expect(typed.cost.macs == 512 * 512)
  }
}

@Suite struct ShapeArithmeticTests {
  /// The exporter's way to flatten all but two axes: Shape, Gather, Unsqueeze, Concat, Reshape.
  @Test func exportersReshapesKeepTheSymbol() throws {
    var builder = GraphBuilder(name: "heads")
    let x = builder.input("x", TensorType(.float32, Shape([n, 17, 96])))
    func constant(_ name: String, _ values: [Int64], _ dims: [Int]) throws -> ValueID { builder.constant(name, try Tensor(int64: values, dims: dims)) }
    let zero = try constant("zero", [0], [])
    let axis = try constant("axis", [0], [1])
    let shape = builder.node(.generator(.shape(start: 0, end: nil)), [x], result: "shape")
    let batch = builder.node(.indexing(.gather(axis: 0)), [shape, zero], result: "batch")
    let batches = builder.node(.layout(.unsqueeze), [batch, axis], result: "batches")
    let heads = builder.node(.binary(.multiply), [batches, try constant("three", [3], [1])], result: "heads")
    let target = builder.node(.layout(.concat(axis: 0)), [heads, try constant("rest", [-1, 32], [2])], result: "target")
    let y = builder.node(.layout(.reshape(allowZero: false)), [x, target], result: "y")
    builder.outputs([y])
    let typed = try infer(try builder.finish())
    #expect(typed.shape(of: y)?.description == "[3*n, 17, 32]")
    #expect(typed.known(target)?.dimensions?.description == "[3*n, -1, 32]")
  }

  /// Expand's target with -1 for "as it is": Equal and Where on the shape.
  @Test func comparisonsOfSizesAreDecidedWhereTheyCanBe() throws {
    var builder = GraphBuilder(name: "expand")
    let x = builder.input("x", TensorType(.float32, Shape([n, 4])))
    let token = builder.input("token", TensorType(.float32, Shape([1, 1, 8])))
    let shape = builder.node(.generator(.shape(start: 0, end: 1)), [x], result: "shape")
    let rest = builder.constant("rest", try Tensor(int64: [-1, -1], dims: [2]))
    let wanted = builder.node(.layout(.concat(axis: 0)), [shape, rest], result: "wanted")
    let open = builder.node(.binary(.equal), [wanted, builder.constant("open", try Tensor(int64: [-1], dims: [1]))], result: "isOpen")
    let ones = builder.constant("ones", try Tensor(int64: [1, 1, 1], dims: [3]))
    let target = builder.node(.select, [open, ones, wanted], result: "target")
    let y = builder.node(.layout(.expand), [token, target], result: "y")
    builder.outputs([y])
    let typed = try infer(try builder.finish())
    #expect(typed.shape(of: y) == Shape([n, 1, 8]))
    #expect(typed.constant(open)?.integers() == [0, 1, 1])
  }

  @Test func sizesMayPassThroughFloats() throws {
    var builder = GraphBuilder(name: "floats")
    let x = builder.input("x", TensorType(.float32, Shape([n, 4])))
    let size = builder.node(.generator(.shape(start: 0, end: 1)), [x], result: "size")
    let real = builder.node(.cast(to: .float32), [size], result: "real")
    let twice = builder.node(.binary(.multiply), [real, builder.constant("two", try Tensor(float32: [2], dims: []))], result: "twice")
    let floor = builder.node(.unary(.floor), [twice], result: "floor")
    let whole = builder.node(.cast(to: .int64), [floor], result: "whole")
    let filled = builder.node(.generator(.constantOfShape(FillValue(.float32, 0))), [whole], result: "filled")
    builder.outputs([filled])
    #expect(try infer(try builder.finish()).shape(of: filled)?.description == "[2*n]")
  }

  @Test func rangesAndReductionsOfSizes() throws {
    var builder = GraphBuilder(name: "range")
    let x = builder.input("x", TensorType(.float32, Shape([n, 4])))
    func scalar(_ name: String, _ value: Int64) throws -> ValueID { builder.constant(name, try Tensor(int64: [value], dims: [])) }
    let shape = builder.node(.generator(.shape(start: 0, end: nil)), [x], result: "shape")
    let product = builder.node(.reduction(ReductionOp(.prod, keepDims: false)), [shape], result: "product")
    let size = builder.node(.generator(.size), [x], result: "size")
    let range = builder.node(.generator(.range), [try scalar("zero", 0), product, try scalar("two", 2)], result: "range")
    builder.outputs([range, size])
    let typed = try infer(try builder.finish())
    #expect(typed.shape(of: range)?.description == "[2*n]")
    #expect(typed.known(size)?.dimensions?.description == "[4*n]")
  }

  /// Pads that are put together as a matrix, turned and reversed, as exporters do.
  @Test func symbolicMatricesMove() throws {
    var builder = GraphBuilder(name: "pads")
    let x = builder.input("x", TensorType(.float32, Shape([n, 4])))
    func vector(_ name: String, _ values: [Int64]) throws -> ValueID { builder.constant(name, try Tensor(int64: values, dims: [values.count])) }
    let size = builder.node(.generator(.shape(start: 0, end: 1)), [x], result: "size")
    let list = builder.node(.layout(.concat(axis: 0)), [try vector("head", [0, 1]), size, try vector("tail", [2])], result: "list")
    let matrix = builder.node(.layout(.reshape(allowZero: false)), [list, try vector("pairs", [-1, 2])], result: "matrix")
    let reversed = builder.node(
      .layout(.slice), [matrix, try vector("start", [-1]), try vector("end", [.min]), try vector("axis", [0]), try vector("step", [-1])], result: "reversed")
    let turned = builder.node(.layout(.transpose([1, 0])), [reversed], result: "turned")
    let pads = builder.node(.layout(.reshape(allowZero: false)), [turned, try vector("flat", [-1])], result: "pads")
    let y = builder.node(.layout(.pad(.constant)), [x, pads], result: "y")
    builder.outputs([y])
    let typed = try infer(try builder.finish())
    #expect(typed.known(pads)?.dimensions?.description == "[n, 0, 2, 1]")
    #expect(typed.shape(of: y)?.description == "[2*n+2, 5]")
  }

  /// What pads an axis to a multiple of the window: `(3 - n % 3) % 3`.
  @Test func windowsOfSymbolicAxes() throws {
    var builder = GraphBuilder(name: "windows")
    let x = builder.input("x", TensorType(.float32, Shape([n, 4])))
    let three = builder.constant("three", try Tensor(int64: [3], dims: [1]))
    let size = builder.node(.generator(.shape(start: 0, end: 1)), [x], result: "size")
    let rest = builder.node(.binary(.modulo(truncated: false)), [size, three], result: "rest")
    let missing = builder.node(.binary(.subtract), [three, rest], result: "missing")
    let pad = builder.node(.binary(.modulo(truncated: false)), [missing, three], result: "pad")
    let zeros = builder.constant("zeros", try Tensor(int64: [0, 0], dims: [2]))
    let zero = builder.constant("zero", try Tensor(int64: [0], dims: [1]))
    let pads = builder.node(.layout(.concat(axis: 0)), [zeros, pad, zero], result: "pads")
    let y = builder.node(.layout(.pad(.constant)), [x, pads], result: "y")
    builder.outputs([y])
    let shape = try #require(try infer(try builder.finish()).shape(of: y))
    for size in 1...9 { #expect(shape.substituting(["n": size])?.concrete == [(size + 2) / 3 * 3, 4]) }
  }

  @Test func slicesOfSymbolicAxes() throws {
    var builder = GraphBuilder(name: "slices")
    let x = builder.input("x", TensorType(.float32, Shape([n.adding(1) ?? 0, 4])))
    func vector(_ name: String, _ value: Int64) throws -> ValueID { builder.constant(name, try Tensor(int64: [value], dims: [1])) }
    let zero = try vector("axis", 0)
    var results: [ValueID] = []
    for (index, (start, end)) in [(1, Int64.max), (0, 1), (0, -1), (-1, Int64.max), (0, 1000)].enumerated() {
      results.append(builder.node(.layout(.slice), [x, try vector("s\(index)", Int64(start)), try vector("e\(index)", end), zero], result: "y\(index)"))
    }
    builder.outputs(results)
    let typed = try infer(try builder.finish())
    let sizes = try results.map { try #require(typed.shape(of: $0)?[0]) }
    #expect(sizes[..<4].map(\.description) == ["n", "1", "n", "1"])
    for batch in [1, 5, 998, 999, 1000, 5000] { #expect(sizes[4].substituting(["n": batch])?.value == min(batch + 1, 1000)) }
  }
}

@Suite struct CostTests {
  /// A linear layer on 17 tokens, then a GELU.
  private func graph() throws -> Graph {
    var builder = GraphBuilder(name: "linear")
    let x = builder.input("x", TensorType(.float32, Shape([n, 17, 32])))
    let w = builder.constant("w", try Tensor(float32: [Float](repeating: 0, count: 32 * 64), dims: [32, 64]))
    let y = builder.node(.matrix(.matMul), [x, w], result: "y", name: "product")
    let z = builder.node(.unary(.gelu(.exact)), [y], result: "z", name: "gelu")
    builder.outputs([z])
    return try builder.finish()
  }

  @Test func productsAndElementsAreCountedApart() throws {
    let graph = try graph()
    let typed = try infer(graph, symbols: ["n": 2])
    #expect(typed.cost == Cost(macs: 2 * 17 * 32 * 64, elementwise: 2 * 17 * 64))
    #expect(typed.cost(of: graph.order[0]) == Cost(macs: 2 * 17 * 32 * 64))
    // An open batch counts as one sample.
    #expect(try infer(graph).cost.macs == 17 * 32 * 64)
  }

  @Test func peakIsWhatLivesAtOnce() throws {
    let typed = try infer(try graph(), symbols: ["n": 1])
    // While the GELU runs its operand and its result live; x is free by then.
    #expect(typed.activationBytesPeak == 2 * 17 * 64 * 4)
  }

  @Test func operatorsCountTheirProducts() throws {
    func macs(_ op: Op, _ shapes: [[Int]], _ result: [Int]) throws -> Int {
      try #require(op.semantics).cost(operands: shapes.map { TensorType(.float32, Shape($0)) }, results: [TensorType(.float32, Shape(result))]).macs
    }
    let window = Window(kernel: [3, 3], strides: [1, 1], dilations: [1, 1], padding: .explicit([1, 1, 1, 1]))
    #expect(try macs(.convolution(.conv(window, groups: 1)), [[1, 3, 8, 8], [4, 3, 3, 3]], [1, 4, 8, 8]) == 4 * 64 * 27)
    #expect(try macs(.convolution(.conv(window, groups: 4)), [[1, 4, 8, 8], [4, 1, 3, 3]], [1, 4, 8, 8]) == 4 * 64 * 9)
    #expect(try macs(.matrix(.gemm(alpha: 1, beta: 1, transposeA: true, transposeB: false)), [[5, 2], [5, 7], [7]], [2, 7]) == 70)
    #expect(try macs(.matrix(.einsum(equation: "bhid,bhjd->bhij")), [[1, 2, 3, 4], [1, 2, 5, 4]], [1, 2, 3, 5]) == 120)
    let attention = Op.attention(.standard(StandardAttention(queryHeads: 0, keyHeads: 0, scale: nil, softcap: 0, causal: false)))
    #expect(try macs(attention, [[1, 2, 3, 4], [1, 2, 5, 4], [1, 2, 5, 6]], [1, 2, 3, 6]) == 2 * 3 * 5 * (4 + 6))
    let packed = Op.attention(.packedProjection(heads: 2, scale: nil, qkvHiddenSizes: [], causal: false))
    #expect(try macs(packed, [[1, 5, 8], [8, 24]], [1, 5, 8]) == 5 * 8 * 24 + 2 * 5 * 5 * 8)
  }
}

@Suite struct PatchedGraphTests {
  private func graph() throws -> Graph {
    var builder = GraphBuilder(name: "small")
    let x = builder.input("x", TensorType(.float32, Shape([n, 4])))
    let y = builder.node(.unary(.relu), [x], result: "y")
    builder.outputs([builder.node(.unary(.neg), [y], result: "z")])
    return try builder.finish()
  }

  @Test func patchesAreInferredUnderTheSameBindings() throws {
    let graph = try graph()
    let typed = try infer(graph, symbols: ["n": 3])
    var patch = Patch(graph)
    let other = patch.add(.unary(.abs), [graph.inputs[0]], name: "other")
    patch.replace(try #require(graph.values.handles.first { graph[$0].name == "y" }), with: other)
    var sink = DiagnosticSink()
    let result = try typed.applying(patch, sink: &sink)
    #expect(result.shape(of: other) == Shape([3, 4]))
    #expect(sink.diagnostics.isEmpty)
  }

  @Test func replacementsKeepTheirType() throws {
    let graph = try graph()
    let typed = try infer(graph)
    for op in [Op.cast(to: .float64), .layout(.flatten(axis: 0))] {
      var patch = Patch(graph)
      let y = try #require(graph.values.handles.first { graph[$0].name == "y" })
      patch.replace(y, with: patch.add(op, [graph.inputs[0]], name: "other"))
      expectFailure(.typeMismatch) {
        var sink = DiagnosticSink()
        _ = try typed.applying(patch, sink: &sink)
      }
    }
  }
}
