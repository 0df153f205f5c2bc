import Bytes
import Diagnostics
import GraphIR
import Tensors
import Testing

@testable import FormatONNX

/// Every operation of the IR, spelled for every operator set from 7 on: either the set has no words for it and says so,
/// or reading the file gives the operation back.
@Suite struct OperatorWritingTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var op: Op
    /// Operands: nil is `x`, numbers are constants.
    var operands: [[Int]?]
    /// From which operator set on it must be expressible.
    var since: Int
    var testDescription: String { "\(op)" }

    init(_ op: Op, _ operands: [[Int]?] = [nil], since: Int = 7) {
      self.op = op
      self.operands = operands
      self.since = since
    }
  }

  static let window = Window(kernel: [3, 3], strides: [2, 1], dilations: [1, 1], padding: .explicit([1, 1, 1, 1]))
  static let wide = Window(kernel: [3], strides: [1], dilations: [2], padding: .sameUpper)

  static let unary: [Case] =
    [.abs, .neg, .ceil, .floor, .sqrt, .reciprocal, .exp, .log, .sin, .cos, .tan, .tanh, .sigmoid, .relu, .not, .softplus, .softsign, .identity].map {
      Case(.unary($0))
    } + [
      Case(.unary(.erf), since: 9), Case(.unary(.sign), since: 9), Case(.unary(.isNaN), since: 9), Case(.unary(.round), since: 11),
      Case(.unary(.mish), since: 18),
      Case(.unary(.hardSwish), since: 14), Case(.unary(.hardSigmoid(alpha: 0.25, beta: 0.75))), Case(.unary(.leakyRelu(alpha: 0.3))),
      Case(.unary(.elu(alpha: 2))),
      Case(.unary(.selu(alpha: 2, gamma: 3))), Case(.unary(.gelu(.exact)), since: 20), Case(.unary(.gelu(.tanh)), since: 20), Case(.unary(.swish(alpha: 1.5))),
    ]
  static let binary: [Case] =
    [.add, .subtract, .multiply, .divide, .power, .equal, .less, .greater, .and, .or, .xor, .prelu, .biasGelu].map { Case(.binary($0), [nil, nil]) } + [
      Case(.binary(.minimum), [nil, nil], since: 8), Case(.binary(.maximum), [nil, nil], since: 8),
      Case(.binary(.modulo(truncated: true)), [nil, nil], since: 10),
      Case(.binary(.lessOrEqual), [nil, nil], since: 12), Case(.binary(.greaterOrEqual), [nil, nil], since: 12),
      Case(.select, [nil, nil, nil], since: 9), Case(.clip, [nil, [0], [6]]), Case(.cast(to: .float16)),
    ]
  static let linear: [Case] = [
    Case(.matrix(.matMul), [nil, nil]), Case(.matrix(.gemm(alpha: 2, beta: 0.5, transposeA: true, transposeB: false)), [nil, nil, nil]),
    Case(.matrix(.gemm(alpha: 1, beta: 1, transposeA: false, transposeB: true)), [nil, nil], since: 11),
    Case(.matrix(.fusedMatMul(.init(alpha: 0.5, transposeA: false, transposeB: true, transposeBatchA: true))), [nil, nil]),
    Case(.matrix(.einsum(equation: "ij,jk->ik")), [nil, nil], since: 12),
    Case(.convolution(.conv(window, groups: 2)), [nil, nil]), Case(.convolution(.convTranspose(wide, groups: 1, outputPadding: [1])), [nil, nil]),
    Case(.pooling(.max(window, ceilMode: true)), since: 10), Case(.pooling(.average(window, ceilMode: false, countIncludePad: true))),
    Case(.pooling(.average(wide, ceilMode: false, countIncludePad: false)), since: 19), Case(.pooling(.globalAverage)), Case(.pooling(.globalMax)),
  ]
  static let normalization: [Case] = [
    Case(.normalization(.layer(axis: -1, epsilon: 1e-6)), [nil, nil, nil], since: 17),
    Case(.normalization(.rms(axis: -1, epsilon: 1e-6)), [nil, nil], since: 23),
    Case(.normalization(.batch(epsilon: 1e-4)), [nil, nil, nil, nil, nil], since: 9), Case(.normalization(.instance(epsilon: 1e-4)), [nil, nil, nil]),
    Case(.normalization(.group(groups: 2, epsilon: 1e-4)), [nil, nil, nil], since: 21), Case(.normalization(.lp(axis: 1, p: 1))),
    Case(.normalization(.skipLayer(epsilon: 1e-4)), [nil, nil, nil]), Case(.normalization(.skipRMS(epsilon: 1e-4)), [nil, nil, nil]),
    Case(.softmax(.softmax(axis: -1)), since: 11), Case(.softmax(.logSoftmax(axis: 1)), since: 13),
    Case(.reduction(.init(.sum, keepDims: false)), [nil, [0]]), Case(.reduction(.init(.mean, keepDims: true)), [nil, [0, 1]]),
    Case(.reduction(.init(.max, keepDims: true))),
    Case(.reduction(.init(.l2, keepDims: true)), [nil, [-1]], since: 11), Case(.reduction(.init(.argMax, keepDims: false)), [nil, [1]]),
    Case(.reduction(.init(.sum, keepDims: true, noopWithEmptyAxes: true)), since: 13),
  ]
  static let movement: [Case] = [
    Case(.layout(.reshape(allowZero: false)), [nil, [3, 2]]), Case(.layout(.reshape(allowZero: true)), [nil, [3, 2]], since: 14),
    Case(.layout(.transpose([1, 0]))),
    Case(.layout(.transpose([]))), Case(.layout(.squeeze), [nil, [0]]), Case(.layout(.squeeze)), Case(.layout(.unsqueeze), [nil, [0]]),
    Case(.layout(.flatten(axis: 2))),
    Case(.layout(.expand), [nil, [4, 2, 3]], since: 8), Case(.layout(.concat(axis: 1)), [nil, nil, nil]), Case(.layout(.split(axis: 1)), [nil, [3]]),
    Case(.layout(.split(axis: 1))),
    Case(.layout(.slice), [nil, [0], [2], [1]]), Case(.layout(.slice), [nil, [0], [2], [1], [2]], since: 10),
    Case(.layout(.pad(.constant)), [nil, [0, 1, 0, 1]]),
    Case(.layout(.pad(.reflect)), [nil, [0, 1, 0, 1]]), Case(.layout(.pad(.wrap)), [nil, [0, 1, 0, 1]], since: 19), Case(.layout(.tile), [nil, [1, 2]]),
    Case(.layout(.depthToSpace(blockSize: 2, columnRowDepth: false))), Case(.layout(.depthToSpace(blockSize: 2, columnRowDepth: true)), since: 11),
    Case(.layout(.spaceToDepth(blockSize: 2))),
    Case(.indexing(.gather(axis: 1)), [nil, [0]]), Case(.indexing(.gatherElements(axis: 1)), [nil, [0]], since: 11),
    Case(.indexing(.gatherND(batchDims: 1)), [nil, [0]], since: 12),
    Case(.indexing(.scatterND(.none)), [nil, [0], nil], since: 11), Case(.indexing(.scatterElements(axis: 1)), [nil, [0], nil], since: 11),
    Case(.indexing(.trilu(upper: false)), since: 14),
    Case(.indexing(.resize(.init(mode: .cubic, coordinates: .alignCorners, nearest: .ceil))), [nil, nil, [1, 2]], since: 13),
    Case(.generator(.shape(start: 0, end: nil))), Case(.generator(.shape(start: 1, end: -1)), since: 15), Case(.generator(.size)),
    Case(.generator(.constantOfShape(.init(.int64, 7))), [[2, 2]], since: 9), Case(.generator(.constantOfShape(.init(.bool, 1))), [[2, 2]], since: 9),
    Case(.generator(.range), [[0], [4], [1]], since: 11),
  ]
  static let attention: [Case] = [
    Case(.attention(.standard(.init(queryHeads: 4, keyHeads: 2, scale: 0.5, softcap: 2, causal: true))), [nil, nil, nil], since: 23),
    Case(.attention(.packedProjection(heads: 4, scale: nil, qkvHiddenSizes: [8, 8, 8], causal: true)), [nil, nil, nil]),
    Case(.attention(.multiHead(heads: 4, scale: 0.5, causal: false)), [nil, nil, nil]),
  ]
  static let cases = unary + binary + linear + normalization + movement + attention

  private func graph(_ test: Case, version: Int) throws -> Graph {
    var builder = GraphBuilder(name: "g", opsets: ["": version])
    let x = builder.input("x", TensorType(.float32, Shape([Dim(2), Dim(symbol: "n")])))
    var operands: [ValueID?] = []
    for (index, operand) in test.operands.enumerated() {
      operands.append(
        try operand.map { builder.constant("c\(index)", try test.op == .clip ? Tensor(float32: [Float($0[0])], dims: []) : Tensor.vector($0)) } ?? x)
    }
    let y = builder.node(test.op, operands, result: "y", name: "n")
    builder.declare(y, TensorType(.float32, nil))
    builder.outputs([y])
    return try builder.finish()
  }

  @Test(arguments: cases) func goesOutAndComesBack(_ test: Case) throws {
    for version in 7...28 {
      let written: ONNXOutput
      do {
        written = try ONNXWriter.segments(for: graph(test, version: version))
      } catch let failure as Failure {
        #expect(failure.code == .notExpressible && version < test.since, "\(version): \(failure)")
        continue
      }
      let again = try written.read()
      let node = try #require(again.order.last.map { again[$0] })
      // An older set may have other words for the same, so the operation may come back where it was not promised.
      if version >= test.since { #expect(node.op == test.op, "\(version)") }
      let constants = { (graph: Graph, node: Node) in node.inputs.map { $0.flatMap { graph.constant($0) }?.doubles() } }
      let original = try graph(test, version: version)
      if node.op == test.op {
        #expect(constants(again, node).filter { $0 != nil } == constants(original, original[original.order[0]]).filter { $0 != nil }, "\(version)")
      }
      #expect(again.opsets[""] == version)
    }
  }

  @Test func foreignNodesNeedTheirRecord() throws {
    let graph = try graph(Case(.foreign(.init(domain: "d", name: "Op"))), version: 17)
    #expect(code { () throws(Failure) in _ = try ONNXWriter.segments(for: graph) } == .notExpressible)
  }

  @Test func outputsMustDeclareATypeAndInputsToo() throws {
    var builder = GraphBuilder(name: "g")
    let x = builder.input("x", nil)
    builder.outputs([builder.node(.unary(.relu), [x], result: "y")])
    let graph = try builder.finish()
    #expect(code { () throws(Failure) in _ = try ONNXWriter.segments(for: graph) } == .notExpressible)
  }

  @Test func contributedOperatorsBringTheirDomain() throws {
    let written = try ONNXWriter.segments(for: graph(Case(.binary(.biasGelu), [nil, nil]), version: 17)).read()
    #expect(written.opsets == ["": 17, "com.microsoft": 1])
  }

  /// A chain that was one node of many operands stays one as long as nobody looks inside.
  @Test func chainsGoBackAsTheyCame() throws {
    let model = HandmadeModel.single("Max", inputs: ["x", "x", "x"])
    let graph = try model.read().graph
    #expect(graph.order.count == 2)
    let outside = try ModelMessage.decode(
      try Skim(ByteSource(ONNXWriter.segments(for: Edits.appendingIdentity(graph)).bytes, name: "o"), limits: .standard).structure)
    #expect(outside.graph?.nodes.map(\.opType) == ["Max", "Identity"])
    #expect(outside.graph?.nodes[0].inputs == ["x", "x", "x"])
    var patch = Patch(graph)
    let inner = try #require(graph[graph.order[0]].outputs[0])
    patch.replace(inner, with: patch.add(.unary(.neg), [inner], name: "inside"))
    let inside = try ModelMessage.decode(try Skim(ByteSource(ONNXWriter.segments(for: patch.commit()).bytes, name: "o"), limits: .standard).structure)
    #expect(inside.graph?.nodes.map(\.opType) == ["Max", "Neg", "Max"])
  }
}
