import Diagnostics
import Execution
import Foundation
import GraphIR
import GraphText
import TestSupport
import Tensors
import Testing

@Suite struct RunTests {
  static let files = FileTest.all("run")

  @Test func thereAreFiles() { #expect(!Self.files.isEmpty) }

  /// Runs the graph on `; input: x = [1, 2]` (elements row-major, dimensions as declared) and reports each output's
  /// elements with five significant digits.
  @Test(arguments: files) func numbersAreRight(_ file: FileTest) {
    let problems = file.problems {
      let graph = try GraphParser.parse(file.graphText)
      var inputs: [String: Tensor] = [:]
      for line in file.arguments("input") {
        let parts = line.components(separatedBy: " = ")
        guard parts.count == 2, let id = graph.inputs.first(where: { graph[$0].name == parts[0] }), let dims = graph[id].declaredType?.shape?.concrete else {
          throw Failure(.badRunInput, "no input for '\(line)'")
        }
        let elements = parts[1].split { "[], ".contains($0) }.compactMap { Float($0) }
        inputs[parts[0]] = try Tensor(float32: elements, dims: dims)
      }
      var options = RunOptions(threads: 1)
      options.bodyRunLimit = 1000
      let executor = Executor(graph, options: options)
      return executor.outputs(try executor.run(inputs)).map { output in
        let elements = (output.tensor.doubles() ?? []).map { String(format: "%.5g", $0) }
        return "\(output.name) \(output.tensor.dims) = [\(elements.joined(separator: ", "))]"
      }
    }
    #expect(problems.isEmpty, "\(problems.joined(separator: "\n"))")
  }
}
