import Diagnostics
import Differentiation
import Execution
import GraphIR
import GraphText
import TestSupport
import Tensors
import Testing

@Suite struct ReverseModeTests {
  /// Functions of %x (2, 3) and a captured weight, by the body of their graph.
  static let functions = [
    "%y = mul(%x, %x)", "%y = div(%w, %x)", "%y = sub(%w, %x)", "%y = pow(%x, %w)", "%y = pow(%w, %x)", "%y = exp(%x)", "%y = log(%x)", "%y = sqrt(%x)",
    "%y = tanh(%x)", "%y = sigmoid(%x)", "%y = erf(%x)", "%y = softplus(%x)", "%y = sin(%x)", "%y = cos(%x)", "%y = reciprocal(%x)", "%y = relu(%x)",
    "%t = transpose(%x) {perm = [1, 0]}\n  %y = matmul(%t, %x)", "%y = reduce_mean(%x) {keep_dims = true}",
    "%s = reduce_sum(%x) {keep_dims = true}\n  %y = mul(%s, %x)", "%a = neg(%x)\n  %b = abs(%a)\n  %y = add(%b, %w)",
  ]

  @Test(arguments: functions) func derivativesAreThoseOfFiniteDifferences(_ body: String) throws {
    let graph = try GraphParser.parse(
      """
      graph %f(%x: f64[2, 3]) -> (%y) {
        %w = constant [0.5, 1.5, 2.5] : f64[3]
        \(body)
      }

      """)
    let gradient = try ReverseMode(of: graph.outputs[0], in: graph, independent: [graph.inputs[0]])
    #expect(gradient.captures.isEmpty)
    let point = [0.3, 0.7, 1.1, 1.6, 0.9, 0.4]
    func run(_ graph: Graph, _ x: [Double]) throws -> [Double] {
      let executor = Executor(graph, options: RunOptions(threads: 1, precision: .reference))
      let result = try executor.run(["x": try Tensor(float64: x, dims: [2, 3])])
      return executor.outputs(result).first?.tensor.doubles() ?? []
    }
    let found = try run(gradient.body, point)
    #expect(found.count == point.count)
    let step = 1e-6
    for index in point.indices {
      var (up, down) = (point, point)
      up[index] += step
      down[index] -= step
      let slope = try (run(graph, up).reduce(0, +) - run(graph, down).reduce(0, +)) / (2 * step)
      #expect(abs(found[index] - slope) <= 1e-6 * max(1, abs(slope)), "\(body) at \(index): \(found[index]) instead of \(slope)")
    }
  }

  @Test func whatHasNoDerivativeIsSaid() throws {
    let graph = try GraphParser.parse(
      """
      graph %f(%x: f32[2, 3]) -> (%y) {
        %y = softmax(%x)
      }

      """)
    #expect(throws: Failure.self) { _ = try ReverseMode(of: graph.outputs[0], in: graph, independent: [graph.inputs[0]]) }
  }

  @Test func whatDoesNotDependHasNoSlope() throws {
    let graph = try GraphParser.parse(
      """
      graph %f(%x: f32[2], %z: f32[2]) -> (%y) {
        %y = exp(%z)
      }

      """)
    let gradient = try ReverseMode(of: graph.outputs[0], in: graph, independent: [graph.inputs[0]])
    let executor = Executor(gradient.body, options: RunOptions(threads: 1))
    let result = try executor.run(["x": try Tensor(float32: [1, 2], dims: [2])])
    #expect(executor.outputs(result).first?.tensor.floats() == [0, 0])
  }
}
