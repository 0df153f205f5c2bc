import Diagnostics
import Execution
import FormatONNX
import Bytes
import Foundation
import GraphIR
import Inference
import Operators
import Pipeline
import Reporting
import TestSupport
import Tensors
import Testing

/// The multiply-adds that `inspect` reports are those that a run carries out: counted anew from the sizes of the tensors
/// that each product and convolution of a run read and wrote.
@Suite struct RunCountTests {
  static let files: [String] = {
    let folders = [Fixtures.path("models/zoo")] + [Fixtures.shared.map { "\($0)/zoo" }].compactMap { $0 }
    return folders.flatMap { folder in
      ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix("17.onnx") || $0.hasSuffix("18.onnx") }.sorted()
        .map { "\(folder)/\($0)" }
    }
  }()

  @Test func thereAreFiles() { #expect(Self.files.count >= 8) }

  @Test(arguments: files) func staticCountIsTheRunsCount(_ path: String) throws {
    var sink = DiagnosticSink()
    let graph = try ONNXReader.read(ByteSource(mapping: path), path: path, sink: &sink).graph
    var inputs: [String: Tensor] = [:]
    for id in graph.inputs {
      let type = try #require(graph[id].declaredType)
      let dims = try #require(type.shape?.dims.map { $0.value ?? 1 })
      let count = dims.reduce(1, *)
      inputs[graph[id].name] =
        type.element == .int64
        ? try Tensor(int64: (0..<count).map { Int64($0 % 3) }, dims: dims) : try Tensor(float32: (0..<count).map { Float($0 % 7) - 3 }, dims: dims)
    }
    var wanted = Set<ValueID>()
    for (_, node) in graph.liveNodes where Self.counts(node.op) {
      wanted.formUnion(node.outputs.prefix(1).compactMap { $0 })
      wanted.formUnion(node.inputs.compactMap { $0 }.filter { graph.constant($0) == nil })
    }
    let run = try Executor(graph).run(inputs, keeping: wanted.sorted())
    func dims(_ value: ValueID?) throws -> [Int] {
      let value = try #require(value)
      return try #require((graph.constant(value) ?? run.values[value] ?? inputs[graph[value].name])?.dims)
    }
    // What depends on no input is computed before any run.
    var depends = Set(graph.inputs)
    for (_, node) in graph.liveNodes where node.inputs.contains(where: { $0.map(depends.contains) ?? false }) {
      depends.formUnion(node.outputs.compactMap { $0 })
    }
    var macs = 0
    for (_, node) in graph.liveNodes where Self.counts(node.op) && node.outputs.contains(where: { $0.map(depends.contains) ?? false }) {
      let made = try dims(node.output(0)).reduce(1, *)
      switch node.op {
      case .matrix(.matMul): macs += made * (try #require(try dims(node.input(0)).last))
      case .matrix(.gemm(_, _, let transposed, _)): macs += made * (try dims(node.input(0)))[transposed ? 0 : 1]
      case .convolution(.conv): macs += made * (try dims(node.input(1))).dropFirst().reduce(1, *)
      case .convolution(.convTranspose):
        macs += try dims(node.input(0)).reduce(1, *) * (try dims(node.input(1))).dropFirst().reduce(1, *)
      case .matrix(.einsum(let equation)):
        macs += try products(equation, node.inputs.map { try dims($0) })
      default: Issue.record("\(node.op) is not counted")
      }
    }
    let told = try Inspection.inspect(path, confirm: .never).cost.macs
    #expect(told == macs)
  }

  /// The products of an einsum, whose operands are contracted one after the other: each pair costs the sizes of all its
  /// letters, and letters that neither a later operand nor the result has are gone behind it.
  private func products(_ equation: String, _ dims: [[Int]]) throws -> Int {
    let sides = equation.filter { $0 != " " }.split(separator: "-", omittingEmptySubsequences: false)
    let terms = sides[0].split(separator: ",")
    let result = try #require(sides.last).dropFirst()
    var sizes: [Character: Int] = [:]
    for (term, dims) in zip(terms, dims) { for (letter, size) in zip(term, dims) { sizes[letter] = size } }
    var open = Set(terms[0])
    var count = 0
    for (index, term) in terms.enumerated().dropFirst() {
      open.formUnion(term)
      count += open.reduce(1) { $0 * (sizes[$1] ?? 1) }
      open.formIntersection(terms[(index + 1)...].joined() + result)
    }
    return count
  }

  private static func counts(_ op: Op) -> Bool {
    switch op {
    case .matrix(.determinant): false
    case .matrix, .convolution, .attention: true
    default: false
    }
  }
}
