import Bytes
import Diagnostics
import FormatNPZ
import FormatONNX
import Foundation
import GraphIR
import Inference
import Operators
import Tensors
import TestSupport
import Testing

/// Every operator against results of independent implementations: one node of fixtures/models/operators.onnx each, made
/// by fixtures/make/operator_cases.py.
@Suite struct OperatorCaseTests {
  struct Case: CustomStringConvertible, Sendable {
    let node: NodeID
    let name: String
    var description: String { name }
  }

  static let graph: Graph = {
    var sink = DiagnosticSink()
    let path = Fixtures.path("models/operators.onnx")
    do { return try ONNXReader.read(try ByteSource(mapping: path), path: path, sink: &sink).graph } catch { fatalError("\(error)") }
  }()
  static let arrays: ArrayArchive = {
    do { return try ArrayArchive.read(path: Fixtures.path("data/operators.npz")) } catch { fatalError("\(error)") }
  }()
  static let cases: [Case] = graph.order.map { Case(node: $0, name: graph[$0].name) }

  static func operands(_ node: Node) throws -> [Tensor?] {
    try node.inputs.map { id in
      guard let id else { return nil }
      let value = OperatorCaseTests.graph[id]
      if case .constant(let tensor) = value.definition { return tensor }
      let tensor: Tensor = try #require(OperatorCaseTests.arrays[value.name])
      return tensor
    }
  }

  /// float32 results are single-precision sums in the oracle; float16 ones have 11 bits.
  private func tolerance(_ element: ElementType) -> Double {
    switch element {
    case .float64: 1e-12
    case .float32: 1e-5
    case .float16: 2e-3
    default: 0
    }
  }

  @Test(arguments: cases) func evaluateGivesTheOraclesResult(_ item: Case) throws {
    let node = OperatorCaseTests.graph[item.node]
    let op = try #require(node.op.semantics, "the operator is foreign")
    let operands = try OperatorCaseTests.operands(node)
    #expect(op.arity.operands.contains(operands.count))
    #expect(op.arity.results.contains(node.outputs.count))
    let results = try op.evaluate(operands, resultCount: node.outputs.count)
    for (output, made) in zip(node.outputs, results) {
      guard let output else { continue }
      let expected: Tensor = try #require(OperatorCaseTests.arrays[OperatorCaseTests.graph[output].name])
      #expect(made.elementType == expected.elementType)
      #expect(made.dims == expected.dims)
      #expect(relativeError(made, expected) <= tolerance(expected.elementType), "\(made.doubles() ?? []) instead of \(expected.doubles() ?? [])")
    }
  }

  /// With values of constants alone the shape rule gives what is made, or leaves sizes open, and never another.
  @Test(arguments: cases) func inferredShapesAreTheShapesMade(_ item: Case) throws {
    let node = OperatorCaseTests.graph[item.node]
    let op = try #require(node.op.semantics)
    let facts = node.inputs.map { id -> Fact? in
      guard let id else { return nil }
      let value = OperatorCaseTests.graph[id]
      if case .constant(let tensor) = value.definition { return Fact(tensor.type, value: .tensor(tensor)) }
      return value.declaredType.map { Fact($0) }
    }
    let inferred = try op.infer(facts, resultCount: node.outputs.count)
    for (output, fact) in zip(node.outputs, inferred) {
      guard let output else { continue }
      let expected: Tensor = try #require(OperatorCaseTests.arrays[OperatorCaseTests.graph[output].name])
      #expect(fact.type == expected.type)
    }
    // Nothing known but element types and ranks: the rank must not come out wrong.
    let ranks = facts.map { fact in fact.map { Fact(TensorType($0.type.element, Shape(($0.type.shape?.dims ?? []).indices.map { Dim(symbol: "d\($0)") }))) } }
    if let open = try? op.infer(ranks, resultCount: node.outputs.count) {
      for (before, after) in zip(inferred, open) where after.type.shape != nil { #expect(after.type.shape?.rank == before.type.shape?.rank) }
    }
    let unknown = facts.map { fact in fact.map { Fact(TensorType($0.type.element, nil)) } }
    for (before, after) in zip(inferred, try op.infer(unknown, resultCount: node.outputs.count)) {
      #expect(after.type.element == before.type.element)
      if let shape = after.type.shape, let known = before.type.shape { #expect(shape.rank == known.rank) }
    }
  }

  /// With every size above 1 a symbol, numbers put in for the symbols give the shape that the numbers themselves give,
  /// or the size was left open.
  @Test(arguments: cases) func symbolicShapesSpecialize(_ item: Case) throws {
    let node = OperatorCaseTests.graph[item.node]
    let op = try #require(node.op.semantics)
    var sizes: [String: Int] = [:]
    let facts = node.inputs.map { id -> Fact? in
      guard let id else { return nil }
      let value = OperatorCaseTests.graph[id]
      if case .constant(let tensor) = value.definition { return Fact(tensor.type, value: .tensor(tensor)) }
      guard let type = value.declaredType, let dims = type.shape?.concrete else { return nil }
      let symbolic = dims.map { size -> Dim in
        guard size > 1 else { return Dim(size) }
        sizes["s\(size)"] = size
        return Dim(symbol: "s\(size)")
      }
      return Fact(TensorType(type.element, Shape(symbolic)))
    }
    for (output, fact) in zip(node.outputs, try op.infer(facts, resultCount: node.outputs.count)) {
      guard let output, let shape = fact.type.shape else { continue }
      let expected: Tensor = try #require(OperatorCaseTests.arrays[OperatorCaseTests.graph[output].name])
      #expect(shape.rank == expected.dims.count)
      for (dim, size) in zip(shape.dims, expected.dims) where !dim.symbols.contains(Dim.unknown.description) {
        #expect(dim.substituting(sizes)?.value == size, "\(shape) with \(sizes)")
      }
      if let vector = fact.value?.dimensions { #expect(vector.map { $0.substituting(sizes)?.value } == expected.integers()?.map { Optional($0) }) }
    }
  }

  /// Every name that a family gives an operator has a case.
  @Test func everyOperatorHasACase() throws {
    var covered = Set(OperatorCaseTests.graph.order.map { OperatorCaseTests.graph[$0].op.name.mnemonic })
    // Read as Cast wherever the type is known, and tested by itself.
    covered.insert("CastLike")
    for file in OpsetCaseTests.files { covered.formUnion(file.graph.order.map { file.graph[$0].op.name.mnemonic }) }
    let folder = "\(Fixtures.root)/Sources/Operators/Families"
    var names = Set<String>()
    // Operators on sequences have file tests under run/ instead: their operands are no arrays of an .npz.
    for file in try FileManager.default.contentsOfDirectory(atPath: folder) where file != "Sequence.swift" {
      let text = try String(contentsOfFile: "\(folder)/\(file)", encoding: .utf8)
      for part in text.components(separatedBy: "var mnemonic: String {").dropFirst() {
        let body = part.components(separatedBy: "var domain").first ?? ""
        names.formUnion(body.components(separatedBy: "\"").enumerated().filter { $0.offset % 2 == 1 }.map(\.element))
      }
    }
    #expect(names.count > 90)
    #expect(names.subtracting(covered).sorted() == [])
  }

  @Test(arguments: cases) func everyCostIsCounted(_ item: Case) throws {
    let node = OperatorCaseTests.graph[item.node]
    let op = try #require(node.op.semantics)
    let results = node.outputs.compactMap { $0.flatMap { OperatorCaseTests.arrays[OperatorCaseTests.graph[$0].name]?.type } }
    let cost = op.cost(operands: try OperatorCaseTests.operands(node).map { $0?.type }, results: results)
    #expect(cost.macs >= 0)
    #expect(cost.elementwise >= 0)
    guard try OperatorCaseTests.operands(node).allSatisfy({ $0?.count != 0 }), results[0].shape?.elementCount?.value != 0 else { return }
    switch node.op {
    case .matrix(.einsum) where node.inputs.count == 1: #expect(cost.elementwise > 0)
    case .matrix, .convolution, .attention: #expect(cost.macs > 0)
    case .unary(.identity), .cast, .layout, .indexing, .generator: #expect(cost.macs == 0)
    default: #expect(cost.elementwise > 0)
    }
  }
}
