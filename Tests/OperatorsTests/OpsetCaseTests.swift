import Bytes
import Diagnostics
import FormatONNX
import Foundation
import GraphIR
import Inference
import Operators
import Tensors
import TestSupport
import Testing

/// Operators of every version and element type: the models of fixtures/models/opsets hold one node a case, whose operands
/// are constants (fixtures/data/opsets for versions before 13), and beside them what the reference evaluator gives as constants `CASE=i`. Made by
/// fixtures/make/opset_cases.py.
@Suite struct OpsetCaseTests {
  /// One model: the graph, and its values by name.
  struct File: Sendable {
    let name: String
    let graph: Graph
    let typed: TypedGraph
    let values: [String: ValueID]
  }
  struct Case: CustomStringConvertible, Sendable {
    let file: Int
    let name: String
    var description: String { "\(OpsetCaseTests.files[file].name) \(name)" }
  }

  static let files: [File] = {
    let paths = ["models/opsets", "data/opsets"].map { Fixtures.path($0) }.flatMap { folder in
      ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(".onnx") }.sorted().map { "\(folder)/\($0)" }
    }
    return paths.map { path in
      let name = URL(fileURLWithPath: path).lastPathComponent
      do {
        var sink = DiagnosticSink()
        let graph = try ONNXReader.read(try ByteSource(mapping: path), path: path, sink: &sink).graph
        let typed = try Inference.infer(graph, sink: &sink)
        guard sink.diagnostics.isEmpty else { fatalError("\(name): \(sink.diagnostics)") }
        return File(name: name, graph: graph, typed: typed, values: Dictionary(graph.values.handles.map { (graph[$0].name, $0) }) { first, _ in first })
      } catch {
        fatalError("\(name): \(error)")
      }
    }
  }()

  static let cases: [Case] = files.enumerated().flatMap { index, file in
    file.values.keys.filter { $0.hasSuffix("=0") }.sorted().map { Case(file: index, name: String($0.dropLast(2))) }
  }

  @Test func thereAreCasesOfManyVersions() {
    #expect(OpsetCaseTests.files.count >= 8)
    #expect(OpsetCaseTests.cases.count >= 300)
  }

  @Test(arguments: cases) func evaluateGivesTheOraclesResult(_ item: Case) throws {
    let file = OpsetCaseTests.files[item.file]
    var index = 0
    while let expected = file.values["\(item.name)=\(index)"].flatMap({ file.graph.constant($0) }) {
      let output = try #require(file.values["\(item.name):\(index)"])
      let made = try OpsetCaseTests.tensor(output, file)
      #expect(made.elementType == expected.elementType)
      #expect(made.dims == expected.dims)
      if case .strings(let strings) = expected.storage {
        guard case .strings(let own) = made.storage else { throw Failure(.internalError, "no strings") }
        #expect(own == strings)
      } else if expected.elementType.bitWidth <= 8 {
        #expect(made.codes() == expected.codes(), "\(made.doubles() ?? []) instead of \(expected.doubles() ?? [])")
      } else {
        #expect(relativeError(made, expected) <= tolerance(expected.elementType), "\(made.doubles() ?? []) instead of \(expected.doubles() ?? [])")
      }
      // What the shape rule said before anything ran holds.
      if let type = file.typed.type(of: output) {
        #expect(type.element == made.elementType)
        if let shape = type.shape { #expect(shape.rank == made.dims.count && zip(shape.dims, made.dims).allSatisfy { $0.value == nil || $0.value == $1 }) }
      }
      index += 1
    }
    #expect(index > 0)
  }

  /// Of a tensor whose type no file declares, CastLike takes the type in the run.
  @Test func castLikeTakesTheTypeOfItsOperand() throws {
    let x = try Tensor(float32: [1.5, -300, 7], dims: [3])
    let like = ConversionOp.like(NarrowingRule())
    #expect(try like.evaluate([x, try Tensor(.int16, dims: [1], values: [Int16(0)])], resultCount: 1)[0].integers() == [1, -300, 7])
    let narrow = try Tensor(.float8e4m3fn, dims: [1], codes: [0])
    #expect(try like.evaluate([x, narrow], resultCount: 1)[0].doubles() == [1.5, -288, 7])
    #expect(try like.infer([Fact(x.type), Fact(narrow.type)], resultCount: 1)[0].type == TensorType(.float8e4m3fn, Shape([3])))
    #expect(throws: Failure.self) { try ConversionOp.bits(to: .int16).infer([Fact(x.type)], resultCount: 1) }
  }

  /// The value by the reference kernels, computed from the constants it depends on.
  private static func tensor(_ value: ValueID, _ file: File) throws -> Tensor {
    if let constant = file.graph.constant(value) { return constant }
    guard case .node(let id, let result) = file.graph[value].definition else { throw Failure(.internalError, "'\(file.graph[value].name)' is an input") }
    let node = file.graph[id]
    guard let op = node.op.semantics else { throw Failure(.operatorNotRunnable, "\(node.op.name)") }
    let operands = try node.inputs.map { id in try id.map { try tensor($0, file) } }
    return try op.evaluate(operands, resultCount: node.outputs.count)[result]
  }

  /// Narrow reals are rounded once here and at every step of the oracle.
  private func tolerance(_ element: ElementType) -> Double {
    switch element {
    case .float64: 1e-12
    case .float32: 1e-5
    case .float16: 2e-3
    case .bfloat16: 1e-2
    default: 0
    }
  }
}
