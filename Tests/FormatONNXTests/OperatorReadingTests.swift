import Diagnostics
import GraphIR
import Tensors
import Testing

@testable import FormatONNX

@Suite struct OperatorReadingTests {
  /// The operations of the nodes of a one-node model, and the constants among the first one's operands.
  private func read(_ model: HandmadeModel) throws(Failure) -> (ops: [Op], graph: Graph, sink: DiagnosticSink) {
    let (result, sink) = try model.readReporting()
    return (result.graph.order.map { result.graph[$0].op }, result.graph, sink)
  }

  private func constant(_ graph: Graph, operand: Int) -> Tensor? {
    graph.order.first.flatMap { graph[$0].input(operand) }.flatMap { graph.constant($0) }
  }

  @Test func axesThatWereAttributesBecomeConstants() throws {
    let axes = [HandmadeModel.attribute("axes", ints: [0, -1])]
    for (op, version) in [("Squeeze", 11), ("Unsqueeze", 11), ("ReduceMean", 17), ("ReduceSum", 11), ("ReduceL2", 13)] {
      let (ops, graph, sink) = try read(.single(op, version: version, attributes: axes))
      #expect(ops.count == 1 && sink.diagnostics.isEmpty, "\(op)")
      #expect(constant(graph, operand: 1)?.integers() == [0, -1], "\(op)")
    }
    #expect(try read(.single("ReduceMean", version: 17)).ops == [.reduction(.init(.mean, keepDims: true))])
  }

  @Test func sliceSplitPadClipOfOldVersions() throws {
    let slice = try read(.single("Slice", version: 9, attributes: [HandmadeModel.attribute("starts", ints: [1]), HandmadeModel.attribute("ends", ints: [9])]))
    #expect(slice.ops == [.layout(.slice)])
    #expect([1, 2, 3].map { constant(slice.graph, operand: $0)?.integers() } == [[1], [9], [0]])
    let split = try read(.single("Split", version: 11, attributes: [HandmadeModel.attribute("split", ints: [3])]))
    #expect(constant(split.graph, operand: 1)?.integers() == [3])
    let pad = try read(
      .single("Pad", version: 2, attributes: [HandmadeModel.attribute("pads", ints: [0, 1, 0, 1]), HandmadeModel.attribute("value", float: 2)]))
    #expect(constant(pad.graph, operand: 1)?.integers() == [0, 1, 0, 1] && constant(pad.graph, operand: 2)?.scalar == 2)
    let clip = try read(.single("Clip", version: 6, attributes: [HandmadeModel.attribute("max", float: 6)]))
    #expect(clip.ops == [.clip] && constant(clip.graph, operand: 1) == nil)
    #expect(constant(clip.graph, operand: 2)?.scalar == 6)
  }

  @Test func softmaxBeforeVersion13NormalizesFlattened() throws {
    #expect(try read(.single("Softmax", version: 11, attributes: [HandmadeModel.attribute("axis", int: -1)])).ops == [.softmax(.softmax(axis: -1))])
    // Of rank 2, axis 1 is the last.
    #expect(try read(.single("Softmax", version: 11)).ops == [.softmax(.softmax(axis: -1))])
    let flattened = try read(.single("Softmax", version: 11, attributes: [HandmadeModel.attribute("axis", int: 0)]))
    #expect(
      flattened.ops == [.generator(.shape(start: 0, end: nil)), .layout(.flatten(axis: 0)), .softmax(.softmax(axis: -1)), .layout(.reshape(allowZero: false))])
    #expect(try read(.single("Softmax", version: 13)).ops == [.softmax(.softmax(axis: -1))])
  }

  @Test func longListsAreFolded() throws {
    #expect(try read(.single("Max", inputs: ["x", "x", "x", "x"])).ops == [Op](repeating: .binary(.maximum), count: 3))
    #expect(try read(.single("Sum", inputs: ["x"])).ops == [.unary(.identity)])
    let mean = try read(.single("Mean", inputs: ["x", "x", "x"]))
    #expect(mean.ops == [.binary(.add), .binary(.add), .binary(.divide)])
    #expect(mean.graph.constant(try #require(mean.graph[mean.graph.order[2]].input(1)))?.scalar == 3)
  }

  @Test func upsampleIsAResize() throws {
    let op = Op.indexing(.resize(.init(mode: .nearest, coordinates: .asymmetric, nearest: .floor)))
    var model = HandmadeModel.single("Upsample", inputs: ["x", "s"], version: 9)
    model.initializer(HandmadeModel.floats("s", [2], [2, 2]))
    let (ops, graph, _) = try read(model)
    #expect(ops == [op] && constant(graph, operand: 2)?.floats() == [2, 2] && graph[graph.order[0]].input(1) == nil)
  }

  @Test func dropoutIsTheIdentityAtInference() throws {
    var model = HandmadeModel.single("Dropout", inputs: ["x", "ratio"])
    model.initializer(HandmadeModel.floats("ratio", [], [0.5]))
    #expect(try read(model).ops == [.unary(.identity)])
    var training = HandmadeModel.single("Dropout", inputs: ["x", "", "train"])
    training.initializer(HandmadeModel.tensor("train", .bool, []) { $0.field(9, bytes: [1]) })
    guard case .random(let op)? = try read(training).ops.first else { throw Failure(.internalError, "is not read as random") }
    #expect(op.kind == .dropout)
  }

  @Test func constantsOfEveryKind() throws {
    let cases: [(WireEncoder, [Double]?, [Int])] = [
      (HandmadeModel.attribute("value_float", float: 1.5), [1.5], []),
      (HandmadeModel.attribute("value_int", int: -4), [-4], []),
      (HandmadeModel.attribute("value_ints", ints: [1, 2]), [1, 2], [2]),
      (HandmadeModel.attribute("value", tensor: HandmadeModel.floats("", [2], [3, 4])), [3, 4], [2]),
      (HandmadeModel.attribute("value_string", string: "s"), nil, []),
    ]
    for (attribute, values, dims) in cases {
      var model = HandmadeModel()
      model.node(HandmadeModel.node("Constant", [], ["k"], attributes: [attribute]))
      model.node(HandmadeModel.node("Identity", ["k"], ["y"]))
      model.output("y")
      let graph = try read(model).graph
      #expect(constant(graph, operand: 0)?.doubles() == values && constant(graph, operand: 0)?.dims == dims)
    }
  }

  @Test func contributedOperators() throws {
    let ms = "com.microsoft"
    #expect(try read(.single("QuickGelu", version: 1, domain: ms)).ops == [.unary(.swish(alpha: 1.702))])
    #expect(try read(.single("FastGelu", inputs: ["x", "x"], version: 1, domain: ms)).ops == [.binary(.add), .unary(.gelu(.tanh))])
    #expect(try read(.single("BiasGelu", inputs: ["x", "x"], version: 1, domain: ms)).ops == [.binary(.biasGelu)])
    #expect(
      try read(.single("FusedMatMul", inputs: ["x", "x"], version: 1, domain: ms, attributes: [HandmadeModel.attribute("transB", int: 1)])).ops
        == [.matrix(.fusedMatMul(.init(alpha: 1, transposeA: false, transposeB: true)))])
    #expect(
      try read(.single("MultiHeadAttention", inputs: ["x", "x", "x"], version: 1, domain: ms, attributes: [HandmadeModel.attribute("num_heads", int: 4)])).ops
        == [.attention(.multiHead(heads: 4, scale: nil, causal: false))])
    #expect(
      try read(.single("Attention", inputs: ["x", "x", "x"], version: 23, attributes: [HandmadeModel.attribute("is_causal", int: 1)])).ops
        == [.attention(.standard(.init(queryHeads: 0, keyHeads: 0, scale: nil, softcap: 0, causal: true)))])
  }

  @Test func whatIsNotKnownStaysForeignAndIsReported() throws {
    for model in [
      HandmadeModel.single("Frobnicate"), .single("Anything", version: 3, domain: "my.domain"),
      .single("Gather", inputs: ["x", "x"], attributes: [HandmadeModel.attribute("from_the_future", int: 1)]),
      .single("Attention", inputs: ["x", "x"], version: 1, domain: "com.microsoft", attributes: [HandmadeModel.attribute("do_rotary", int: 1)]),
      .single("PackedAttention", version: 1, domain: "com.microsoft"), .single("Conv", version: 1, domain: "com.microsoft.nchwc"),
    ] {
      let (ops, _, sink) = try read(model)
      guard case .foreign? = ops.first else { throw Failure(.internalError, "\(ops)") }
      #expect(sink.diagnostics.map(\.code) == [.unknownOperator])
    }
  }

  @Test func wrongAttributesAreRefused() {
    let cases: [HandmadeModel] = [
      .single("Softmax", attributes: [HandmadeModel.attribute("axis", float: 1)]),
      .single("Concat", inputs: ["x", "x"]),
      .single("Transpose", attributes: [HandmadeModel.attribute("perm", ints: [0, 0])]),
      .single("Transpose", attributes: [HandmadeModel.attribute("perm", ints: [-1, 5])]),
      .single("Conv", inputs: ["x", "x"], attributes: [HandmadeModel.attribute("strides", ints: [0])]),
      .single("Conv", inputs: ["x", "x"], attributes: [HandmadeModel.attribute("strides", ints: [1, 1]), HandmadeModel.attribute("pads", ints: [1])]),
      .single("MaxPool"),
      .single("Cast", attributes: [HandmadeModel.attribute("to", int: 99)]),
      .single("Gelu", version: 20, attributes: [HandmadeModel.attribute("approximate", string: "roughly")]),
    ]
    for model in cases { #expect(code { () throws(Failure) in _ = try model.read() } == .badAttribute) }
  }
}
