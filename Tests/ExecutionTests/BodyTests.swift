import Bytes
import Diagnostics
import FormatONNX
import GraphIR
import GraphText
import TestSupport
import Tensors
import Testing

@testable import Execution

/// Bodies on their way through a file.
struct BodyTests {
  static let files = FileTest.all("run").filter { $0.graphText.contains("body ") && !$0.graphText.contains(" call(") }

  private static func written(_ graph: Graph) throws -> Graph {
    var bytes: [UInt8] = []
    for segment in try ONNXWriter.segments(for: graph).main {
      switch segment {
      case .bytes(let part): bytes += part
      case .source(let source, let range): bytes += source.bytes(in: range)
      }
    }
    var sink = DiagnosticSink()
    let read = try ONNXReader.read(ByteSource(bytes, name: "written"), path: nil, sink: &sink).graph
    #expect(sink.diagnostics.isEmpty, "\(sink.diagnostics)")
    // What was not changed is written as it stood.
    #expect(try ONNXWriter.segments(for: read).main.reduce(0) { $0 + $1.count } == bytes.count)
    return read
  }

  private static func outputs(_ graph: Graph, _ inputs: [String: Tensor]) -> [String] {
    do throws(Failure) {
      let executor = Executor(graph, options: RunOptions(threads: 1))
      let result = try executor.run(inputs)
      return graph.outputs.map { id in result.values[id].map { "\($0.type) \($0.doubles() ?? [])" } ?? result.containers[id]?.kind ?? "" }
    } catch {
      return [error.code.id]
    }
  }

  /// A graph that was never a file is written whole, bodies included, and computes the same when it is read again.
  @Test(arguments: files) func bodiesAreWritten(_ file: FileTest) throws {
    var graph = try GraphParser.parse(file.graphText)
    graph.opsets = ["": 21]
    var inputs: [String: Tensor] = [:]
    for id in graph.inputs {
      let dims = try #require(graph[id].declaredType?.shape?.concrete)
      inputs[graph[id].name] = try Tensor(float32: (0..<dims.reduce(1, *)).map { Float($0) * 1.5 - 1 }, dims: dims)
    }
    // Outputs of unknown type cannot be written; the run tells which they are.
    let declared = graph.outputs.allSatisfy { graph[$0].declaredType != nil }
    guard declared, !file.description.contains("without_end") else { return }
    let read = try Self.written(graph)
    #expect(Self.outputs(read, inputs) == Self.outputs(graph, inputs))
  }

  /// A captured value that is replaced is read under its new name inside, and names inside give way.
  @Test func capturesFollowAPatch() throws {
    let text = """
      graph %g(%x: f32[2]) -> (%y: f32[2]) {
        %a = neg(%x)
        %three = constant [3] : i64[]
        %y = loop(%three, _, %x) captures(%a) @"loop"
          body %b(%i: i64[], %c: bool[], %v: f32[2]) captures [0] (%a: f32[2]) -> (%c, %w) {
            %fresh = add(%v, %a)
            %w = identity(%fresh)
          }
      }
      """
    let read = try Self.written(try GraphParser.parse(text))
    let a = try #require(read.liveNodes.first { $1.op == .unary(.neg) }?.1.output(0))
    var patch = Patch(read)
    patch.replace(a, with: patch.add(.unary(.abs), [a], name: "fresh"))
    let edited = try patch.commit()
    let again = try Self.written(edited)
    let x = try Tensor(float32: [1, -2], dims: [2])
    #expect(Self.outputs(edited, ["x": x]) == ["float32[2] [4.0, 4.0]"])
    #expect(Self.outputs(again, ["x": x]) == Self.outputs(edited, ["x": x]))
  }

  @Test func aFunctionThatNestsWithoutEndIsRefused() throws {
    var text = "%y = identity(%x)"
    for _ in 0..<80 {
      text = "%y = call(%x) {domain = \"f\", name = \"F\"}\n body %F(%x) -> (%y) {\n\(text)\n}"
    }
    #expect(ExecutorTests.code { _ = try GraphParser.parse("graph %g(%x: f32[2]) -> (%y: f32[2]) {\n\(text)\n}") } == .graphText)
  }

  /// Calls that double at every level are not inlined, and the run comes to an end.
  @Test func callsThatMultiplyAreLimited() throws {
    var builder = GraphBuilder(name: "leaf")
    let x = builder.input("x", TensorType(.float32, Shape([] as [Int])))
    builder.outputs([builder.node(.unary(.neg), [x], result: "y")])
    var body = Subgraph(try builder.finish())
    for level in 0..<40 {
      var builder = GraphBuilder(name: "level\(level)")
      let x = builder.input("x", TensorType(.float32, Shape([] as [Int])))
      let call = Op.call(CallOp(domain: "f", name: "F\(level)", body: body))
      let once = builder.node(call, [x], result: "once")
      builder.outputs([builder.node(call, [once], result: "y")])
      body = Subgraph(builder.graph)
    }
    let graph = body.graph
    #expect(ExecutorTests.code { _ = try graph.inliningCalls(limit: 1000) } == .limitExceeded)
  }
}
