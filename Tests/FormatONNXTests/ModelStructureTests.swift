import Bytes
import Diagnostics
import Foundation
import GraphIR
import Tensors
import Testing

@testable import FormatONNX

/// What a model must have, and what of it survives an edit.
@Suite struct ModelStructureTests {
  @Test func versionsAndPartsAreDemanded() {
    var model = HandmadeModel.single("Relu")
    model.opsets = []
    #expect(code { () throws(Failure) in _ = try model.read() } == .missingPart)
    model.irVersion = 2
    #expect(code { () throws(Failure) in _ = try model.read() } == nil)
    model = .single("Relu", version: 29)
    #expect(code { () throws(Failure) in _ = try model.read() } == .unsupportedVersion)
    model = .single("Relu", version: 28)
    #expect(code { () throws(Failure) in _ = try model.read() } == nil)
    model.irVersion = 15
    #expect(code { () throws(Failure) in _ = try model.read() } == .unsupportedVersion)
    model.irVersion = nil
    #expect(code { () throws(Failure) in _ = try model.read() } == .missingPart)
    model = .single("Relu")
    model.node(HandmadeModel.node("Gelu", ["y"], ["z"], domain: "com.microsoft"))
    #expect(code { () throws(Failure) in _ = try model.read() } == .missingPart)
  }

  @Test func namesAreDefinedOnceAndBeforeUse() {
    func outcome(_ build: (inout HandmadeModel) -> Void) -> DiagnosticCode? {
      var model = HandmadeModel.single("Relu")
      build(&model)
      return code { () throws(Failure) in _ = try model.read() }
    }
    #expect(outcome { $0.node(HandmadeModel.node("Relu", ["x"], ["y"])) } == .duplicateName)
    #expect(outcome { $0.input("x") } == .duplicateName)
    #expect(outcome { $0.initializer(HandmadeModel.floats("y", [1], [1])) } == .duplicateName)
    #expect(
      outcome {
        $0.initializer(HandmadeModel.floats("w", [1], [1])); $0.initializer(HandmadeModel.floats("w", [1], [1]))
      } == .duplicateName)
    #expect(outcome { $0.node(HandmadeModel.node("Relu", ["nobody"], ["z"])) } == .undefinedValue)
    #expect(outcome { $0.output("nobody") } == .undefinedValue)
    #expect(outcome { $0.node(HandmadeModel.node("Relu", ["z"], ["z"])) } == .cyclicGraph)
    #expect(
      outcome {
        $0.node(HandmadeModel.node("Relu", ["b"], ["a"])); $0.node(HandmadeModel.node("Relu", ["a"], ["b"]))
      } == .cyclicGraph)
    #expect(
      outcome {
        $0.node(HandmadeModel.node("Relu", ["later"], ["z"])); $0.node(HandmadeModel.node("Relu", ["x"], ["later"]))
      } == .cyclicGraph)
  }

  @Test func anInitializerThatIsAnInputIsAConstant() throws {
    var model = HandmadeModel.single("Add", inputs: ["x", "w"])
    model.irVersion = 3
    model.input("w")
    model.initializer(HandmadeModel.floats("w", [2, 3], [1, 2, 3, 4, 5, 6]))
    let graph = try model.read().graph
    #expect(graph.inputs.map { graph[$0].name } == ["x"])
    // A new constant of such a file becomes a node, since an initializer would be an input for callers to set.
    var patch = Patch(graph)
    let one = patch.addConstant("one", try Tensor(float32: [1], dims: []))
    patch.replace(graph.outputs[0], with: patch.add(.binary(.add), [graph.outputs[0], one], name: "more"))
    let output = try ONNXWriter.segments(for: patch.commit())
    let message = try ModelMessage.decode(try Skim(ByteSource(output.bytes, name: "o"), limits: .standard).structure)
    #expect(message.graph?.initializers.map(\.name) == ["w"])
    #expect(message.graph?.inputs.map(\.name) == ["x", "w"])
    #expect(message.graph?.nodes.map(\.opType) == ["Add", "Constant", "Add"])
  }

  @Test func parametersCountInitializersAndTheirAliases() throws {
    var model = HandmadeModel.single("Add", inputs: ["x", "bias"])
    model.initializer(HandmadeModel.floats("w", [2, 3], [0, 0, 0, 0, 0, 0]))
    model.initializer(HandmadeModel.tensor("axes", .int64, [1]) { $0.field(7, integer: 1) })
    model.graph.insert((1, HandmadeModel.node("Identity", ["w"], ["bias"])), at: 0)
    #expect(try model.read().header.parameterCount == 12)
  }

  /// Functions, subgraphs, metadata, several domains, annotations and unknown fields at every level.
  private var rich: HandmadeModel {
    var model = HandmadeModel()
    model.opsets = [("", 17), ("my.functions", 1), ("com.other", 4)]
    model.input("x")
    model.input("flag", .bool, [])
    model.initializer(HandmadeModel.floats("w", [2, 3], [1, 2, 3, 4, 5, 6]))
    model.initializer(HandmadeModel.floats("dead", [1], [9]))
    model.node(HandmadeModel.node("Add", ["x", "w"], ["a"], name: "first", unknown: true))
    model.node(HandmadeModel.node("Twice", ["a"], ["b"], name: "call", domain: "my.functions"))
    let then = [(1, HandmadeModel.node("Mul", ["b", "w"], ["t"])), (12, HandmadeModel.info("t"))]
    // Reads `a` from outside, and has an own value named `t`.
    let otherwise = [(1, HandmadeModel.node("Relu", ["a"], ["t"])), (12, HandmadeModel.info("t"))]
    model.node(
      HandmadeModel.node(
        "If", ["flag"], ["c"], name: "choice",
        attributes: [
          HandmadeModel.attribute("then_branch", graph: then), HandmadeModel.attribute("else_branch", graph: otherwise),
        ]))
    model.node(
      HandmadeModel.node("Mystery", ["c", ""], ["d"], name: "mystery", domain: "com.other", attributes: [HandmadeModel.attribute("secret", string: "kept")]))
    model.output("d")
    model.add(13, HandmadeModel.info("a"))
    model.add(
      14,
      HandmadeModel.message {
        $0.field(1, string: "a");
        $0.field(
          2,
          message: HandmadeModel.message {
            $0.field(1, string: "SCALE_TENSOR"); $0.field(2, string: "w")
          })
      })
    model.add(10, HandmadeModel.message { _ in })
    model.add(4242, HandmadeModel.message { $0.field(1, string: "unknown in graph") })
    model.extras = [
      (
        14,
        HandmadeModel.message {
          $0.field(1, string: "author"); $0.field(2, string: "someone")
        }
      ),
      (
        25,
        HandmadeModel.message { f in
          f.field(1, string: "Twice")
          f.field(4, string: "p")
          f.field(5, string: "q")
          f.field(7, message: HandmadeModel.node("Add", ["p", "p"], ["q"]))
          f.field(9, message: .operatorSet("", 17))
          f.field(10, string: "my.functions")
        }
      ),
      (999, HandmadeModel.message { $0.field(1, string: "unknown in model") }),
    ]
    return model
  }

  @Test func subgraphsCaptureWhatTheyRead() throws {
    let (model, sink) = try rich.readReporting()
    let choice = try #require(model.graph.liveNodes.first { $1.name == "choice" }?.1)
    #expect(Set(choice.captures.map { model.graph[$0].name }) == ["a", "b", "w"])
    #expect(model.header.functionCount == 1 && model.header.metadata == ["author": "someone"])
    #expect(choice.op.bodies.count == 2 && choice.op.bodies.allSatisfy { $0.captures.allSatisfy(choice.captures.indices.contains) })
    // What is not known is a node of another domain; branches and functions are.
    #expect(sink.diagnostics.map(\.code) == [.unknownOperator] && sink.diagnostics[0].message.contains("Mystery"))
  }

  @Test func editsLeaveTheRestAlone() throws {
    let source = rich.bytes
    let graph = try rich.read().graph
    #expect(try ONNXWriter.segments(for: graph).bytes == source)
    var patch = Patch(graph)
    let mystery = try #require(graph.liveNodes.first { $1.name == "mystery" }?.1)
    let operand = try #require(mystery.input(0))
    // A name that the subgraphs use themselves.
    patch.replace(operand, with: patch.add(.unary(.relu), [operand], name: "t"))
    let output = try ONNXWriter.segments(for: patch.commit()).bytes
    let text = String(decoding: output, as: UTF8.self)
    for kept in ["from the future", "secret", "kept", "unknown in graph", "unknown in model", "author", "Twice", "SCALE_TENSOR"] {
      #expect(text.contains(kept), "\(kept)")
    }
    #expect(!text.contains("dead"))
    let message = try #require(try ModelMessage.decode(try Skim(ByteSource(output, name: "o"), limits: .standard).structure).graph)
    let inserted = try #require(message.nodes.first { $0.opType == "Relu" })
    #expect(inserted.outputs != ["t"], "a name of a subgraph was taken")
    #expect(message.nodes.first { $0.opType == "Mystery" }?.inputs == inserted.outputs + [""])
  }

  @Test func functionsThatCallThemselvesAreRefused() {
    func function(_ name: String, calls: String) -> (Int, WireEncoder) {
      (
        25,
        HandmadeModel.message { f in
          f.field(1, string: name)
          f.field(7, message: HandmadeModel.node(calls, ["p"], ["q"], domain: "f"))
          f.field(10, string: "f")
        }
      )
    }
    var model = HandmadeModel.single("A", version: 1, domain: "f")
    model.extras = [function("A", calls: "B"), function("B", calls: "A")]
    #expect(code { () throws(Failure) in _ = try model.read() } == .cyclicGraph)
    model.extras = [function("A", calls: "B"), function("B", calls: "C")]
    #expect(code { () throws(Failure) in _ = try model.read() } == nil)
  }

  @Test func sparseInitializersPassThrough() throws {
    var model = HandmadeModel.single("Add", inputs: ["x", "s"])
    model.add(
      15,
      HandmadeModel.message { s in
        s.field(1, message: HandmadeModel.floats("s", [1], [5]))
        s.field(2, message: HandmadeModel.tensor("", .int64, [1]) { $0.field(7, integer: 2) })
        s.field(3, integer: 2)
        s.field(3, integer: 3)
      })
    let graph = try model.read().graph
    #expect(try ONNXWriter.segments(for: graph).bytes == model.bytes)
    let edited = try Edits.insertingIdentities(graph)
    let message = try #require(
      try ModelMessage.decode(try Skim(ByteSource(try ONNXWriter.segments(for: edited).bytes, name: "o"), limits: .standard).structure).graph)
    #expect(message.sparse.map(\.name) == ["s"])
    #expect(message.nodes.map(\.opType).contains("Add"))
  }

  /// The generated C must be what protoc-c makes of the schema today.
  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/protoc-c")))
  func generatedCodeIsFresh() throws {
    let folder = TemporaryFolder()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/protoc-c")
    process.arguments = ["--c_out=\(folder.path)", "--proto_path=\(Self.root)/schemas", "onnx.proto"]
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    for (made, kept) in [("onnx.pb-c.c", "onnx.pb-c.c"), ("onnx.pb-c.h", "include/onnx.pb-c.h")] {
      let fresh = try String(contentsOfFile: folder.file(made), encoding: .utf8)
      #expect(try fresh == String(contentsOfFile: "\(Self.root)/Sources/CONNX/\(kept)", encoding: .utf8), "run `make proto`")
    }
  }

  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
}
