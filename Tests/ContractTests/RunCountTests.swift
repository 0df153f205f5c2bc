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

  /// One model run on made-up inputs, and the sizes of all that it read and wrote.
  private struct Run {
    var graph: Graph
    var dims: [ValueID: [Int]] = [:]

    init(_ path: String) throws {
      var sink = DiagnosticSink()
      graph = try ONNXReader.read(ByteSource(mapping: path), path: path, sink: &sink).graph
      var inputs: [String: Tensor] = [:]
      for id in graph.inputs {
        let type = try #require(graph[id].declaredType)
        let dims = try #require(type.shape?.dims.map { $0.value ?? 1 })
        let count = dims.reduce(1, *)
        inputs[graph[id].name] =
          type.element == .int64
          ? try Tensor(int64: (0..<count).map { Int64($0 % 3) }, dims: dims) : try Tensor(float32: (0..<count).map { Float($0 % 7) - 3 }, dims: dims)
        self.dims[id] = dims
      }
      let computed = graph.order.flatMap { graph[$0].outputs.compactMap { $0 } }
      for (value, tensor) in try Executor(graph).run(inputs, keeping: computed).values { dims[value] = tensor.dims }
      for id in graph.order { for value in graph[id].reads { if let tensor = graph.constant(value) { dims[value] = tensor.dims } } }
    }

    func dims(_ value: ValueID?) throws -> [Int] {
      let found = value.flatMap { dims[$0] }
      return try #require(found)
    }

    /// Multiply-adds of one node.
    func macs(_ node: Node) throws -> Int {
      let made = try dims(node.output(0)).reduce(1, *)
      switch node.op {
      case .matrix(.matMul): return made * (try dims(node.input(0)).last ?? 1)
      case .matrix(.gemm(_, _, let transposed, _)): return made * (try dims(node.input(0)))[transposed ? 0 : 1]
      case .convolution(.conv): return made * (try dims(node.input(1))).dropFirst().reduce(1, *)
      case .convolution(.convTranspose): return try dims(node.input(0)).reduce(1, *) * (try dims(node.input(1))).dropFirst().reduce(1, *)
      case .matrix(.einsum(let equation)): return try RunCountTests.products(equation, node.inputs.map { try dims($0) })
      default:
        Issue.record("\(node.op) is not counted")
        return 0
      }
    }

    /// The node that stands under a name in a report.
    func node(named name: String) -> Node? {
      graph.liveNodes.first { $0.1.name == name || $0.1.name.isEmpty && $0.1.outputs.contains { $0.map { graph[$0].name == name } ?? false } }?.1
    }
  }

  @Test(arguments: files) func staticCountIsTheRunsCount(_ path: String) throws {
    let run = try Run(path)
    // What depends on no input is computed before any run.
    var depends = Set(run.graph.inputs)
    for (_, node) in run.graph.liveNodes where node.inputs.contains(where: { $0.map(depends.contains) ?? false }) {
      depends.formUnion(node.outputs.compactMap { $0 })
    }
    var macs = 0
    for (_, node) in run.graph.liveNodes where Self.counts(node.op) && node.outputs.contains(where: { $0.map(depends.contains) ?? false }) {
      macs += try run.macs(node)
    }
    let told = try Inspection.inspect(path, confirm: .never).cost.macs
    #expect(told == macs)
  }

  /// A block's figures are those of its own nodes in the run: products inside attention included in its multiply-adds,
  /// every other arithmetic result counted apart.
  @Test(arguments: files) func figuresOfBlocksAreTheRuns(_ path: String) throws {
    let run = try Run(path)
    let samples = run.graph.inputs.lazy.compactMap { run.dims[$0]?.first }.first { $0 > 1 } ?? 1
    for block in try Inspection.inspect(path, confirm: .never).attention {
      var (macs, elementwise) = (0, 0)
      for name in block.nodes {
        let node = try #require(run.node(named: name), "\(name)")
        if Self.counts(node.op) { macs += try run.macs(node) }
        let operands = node.inputs.map { input in input.flatMap { run.dims[$0] }.map { TensorType(.float32, Shape($0)) } }
        let results = node.outputs.compactMap { $0.flatMap { run.dims[$0] } }.map { TensorType(.float32, Shape($0)) }
        elementwise += node.op.semantics?.cost(operands: operands, results: results).elementwise ?? 0
      }
      #expect(block.macs == macs / samples, "\(block.name) \(block.family)")
      #expect(block.elementwise == elementwise / samples, "\(block.name) \(block.family)")
    }
  }

  /// The products of an einsum, whose operands are contracted one after the other: each pair costs the sizes of all its
  /// letters, and letters that neither a later operand nor the result has are gone behind it.
  private static func products(_ equation: String, _ dims: [[Int]]) throws -> Int {
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
