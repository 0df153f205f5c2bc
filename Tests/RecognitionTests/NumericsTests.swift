import Canonicalization
import Diagnostics
import Execution
import FormatNPZ
import Foundation
import GraphIR
import Inference
import Recognition
import TestSupport
import Tensors
import Testing

/// What canonicalization and recognition claim, held against numbers.
@Suite struct NumericsTests {
  /// Largest difference, relative to the largest expected element.
  static func error(_ got: Tensor?, _ expected: Tensor?) -> Double {
    guard let got, let expected, got.dims == expected.dims, let a = got.doubles(), let b = expected.doubles() else { return .infinity }
    let size = max(b.map { abs($0) }.max() ?? 0, 1e-30)
    return zip(a, b).map { $0 == $1 ? 0 : ($0 - $1).isNaN ? .infinity : abs($0 - $1) / size }.max() ?? 0
  }

  static func inputs(_ graph: Graph, _ arrays: ArrayArchive) -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for (index, id) in graph.inputs.enumerated() { result[graph[id].name] = arrays["in\(index)"] ?? arrays[graph[id].name] }
    return result
  }

  /// The canonical graph computes what the original does: outputs, and every value that took the place of another.
  @Test(arguments: ZooModel.all) func canonicalGraphsComputeTheSame(_ model: ZooModel) throws {
    for dialect in model.dialects {
      let path = model.path(dialect)
      guard let arrays = try? ArrayArchive.read(path: String(path.dropLast(5)) + ".npz") else { continue }
      let (graph, typed) = try ZooModel.infer(path)
      let canonical = try Canonicalizer.canonicalize(typed).graph
      let live = Set(canonical.liveNodes.flatMap { $0.1.outputs.compactMap { $0 } })
      let pairs = live.sorted().compactMap { value in canonical[value].origin.map { (value, $0) } }
      let before = try Executor(graph).run(Self.inputs(graph, arrays), keeping: pairs.map(\.1))
      let after = try Executor(canonical).run(Self.inputs(canonical, arrays), keeping: pairs.map(\.0))
      for (old, new) in zip(graph.outputs, canonical.outputs) {
        let error = Self.error(after.values[new], before.values[old])
        #expect(error <= 1e-4, "\(dialect) output \(graph[old].name): \(error)")
      }
      for (new, old) in pairs {
        let error = Self.error(after.values[new], before.values[old])
        #expect(error <= 1e-4, "\(dialect) \(graph[old].name): \(error)")
      }
    }
  }

  /// A block computed anew from its own weights, scale and bias gives the value it names as its output.
  @Test(arguments: ZooTests.plain) func blocksComputeWhatTheySay(_ model: ZooModel) throws {
    for dialect in model.dialects {
      let path = model.path(dialect)
      guard let arrays = try? ArrayArchive.read(path: String(path.dropLast(5)) + ".npz") else { continue }
      let (graph, found) = try ZooModel.recognize(path)
      let result = try Executor(graph).run(Self.inputs(graph, arrays), keeping: found.blocks.compactMap(\.projected).flatMap { [$0.input, $0.output] })
      for block in found.blocks.compactMap(\.projected) {
        let x = try #require(result.values[block.input])
        let expected = try #require(result.values[block.output])
        let (y, size) = try Self.attend(block, x, graph)
        let got = try #require(expected.doubles())
        var worst = 0.0
        let steps = Self.steps(expected.dims)
        for batch in 0..<size.batch {
          for token in 0..<size.tokens {
            for channel in 0..<size.channels {
              let index = batch * steps[block.outputLayout.batch] + token * steps[block.outputLayout.token] + channel * steps[block.outputLayout.channel]
              worst = max(worst, abs(got[index] - y[(batch * size.tokens + token) * size.channels + channel]))
            }
          }
        }
        #expect(worst <= 1e-4 * max(1, got.map { abs($0) }.max() ?? 1), "\(dialect) \(block.name): \(worst)")
      }
    }
  }

  static func steps(_ dims: [Int]) -> [Int] {
    var steps = [Int](repeating: 1, count: dims.count)
    for axis in steps.indices.dropLast().reversed() { steps[axis] = steps[axis + 1] * dims[axis + 1] }
    return steps
  }

  /// softmax(scale Q K^T + bias) V W + b in float64, (batch, token, channel).
  static func attend(_ block: ProjectedAttention, _ x: Tensor, _ graph: Graph) throws -> ([Double], (batch: Int, tokens: Int, channels: Int)) {
    let (layout, steps) = (block.inputLayout, steps(x.dims))
    let (batches, tokens, width) = (x.dims[layout.batch], x.dims[layout.token], x.dims[layout.channel])
    let elements = try #require(x.doubles())
    func linear(_ rows: [Double], _ projection: Projection, bias: Bool = true) throws -> [Double] {
      let w = try #require(projection.weight.materialized())
      let b = bias ? try projection.bias.map { try #require($0.materialized()) } : nil
      let (m, n) = (projection.weight.rows, projection.weight.columns)
      return (0..<(rows.count / m * n)).map { index in
        let (row, column) = (index / n, index % n)
        return (0..<m).reduce(b?[column] ?? 0) { $0 + rows[row * m + $1] * w[$1 * n + column] }
      }
    }
    var added: (Int, Int, Int) -> Double = { _, _, _ in 0 }
    if case .constant(let id) = block.bias {
      var sink = DiagnosticSink()
      let tensor = try #require(try Inference.infer(graph, sink: &sink).constant(id))
      let values = try #require(tensor.doubles())
      let dims = Array(repeating: 1, count: 4 - tensor.dims.count) + tensor.dims
      let strides = Self.steps(dims)
      added = { h, i, j in
        let index = [0, h, i, j].enumerated().reduce(0) { $0 + (dims[$1.offset] == 1 ? 0 : $1.element * strides[$1.offset]) }
        return values[index]
      }
    }
    let (heads, d, e) = (block.heads, block.headDim, block.valueDim)
    var result: [Double] = []
    for batch in 0..<batches {
      let rows = (0..<(tokens * width)).map { elements[batch * steps[layout.batch] + $0 / width * steps[layout.token] + $0 % width * steps[layout.channel]] }
      let (q, k, v) = (try linear(rows, block.query), try linear(rows, block.key), try linear(rows, block.value))
      var merged = [Double](repeating: 0, count: tokens * heads * e)
      for h in 0..<heads {
        for i in 0..<tokens {
          let scores = (0..<tokens).map { j in
            block.scale * (0..<d).reduce(0) { $0 + q[i * heads * d + h * d + $1] * k[j * heads * d + h * d + $1] } + added(h, i, j)
          }
          let top = scores.max() ?? 0
          let weights = scores.map { exp($0 - top) }
          let sum = weights.reduce(0, +)
          for r in 0..<e { merged[(i * heads + h) * e + r] = (0..<tokens).reduce(0) { $0 + weights[$1] / sum * v[($1 * heads + h) * e + r] } }
        }
      }
      result += try block.outputProjection.map { try linear(merged, $0, bias: block.outputHasBias) } ?? merged
    }
    return (result, (batches, tokens, block.outputProjection?.weight.columns ?? heads * e))
  }
}
