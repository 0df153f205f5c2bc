internal import Diagnostics
internal import Execution
internal import GraphIR
internal import Tensors

/// Runs one graph over many samples, batch by batch.
struct BatchRunner {
  private let executor: Executor
  private let keeping: [ValueID]
  /// The first dimension of each input that fixes it.
  private let firstDims: [(name: String, size: Int)]

  /// Samples of one pass where the graph leaves the batch open: enough to keep the cores busy, few enough for the
  /// activations to stay small.
  static let openBatch = 64

  init(_ graph: Graph, keeping: [ValueID] = [], options: RunOptions) {
    executor = Executor(graph, options: options)
    self.keeping = keeping
    firstDims = graph.inputs.compactMap { id in graph[id].declaredType?.shape?.dims.first?.value.map { (graph[id].name, $0) } }
  }

  /// Gives each batch's result to `body`, in order of samples, with the number of samples that count: a graph with a
  /// fixed batch gets its last batch filled up with repetitions.
  func run(_ samples: SampleSet, _ body: (RunResult, Int) throws(Failure) -> Void) throws(Failure) {
    let fixedBatch = firstDims.first { !samples.shared.contains($0.name) }?.size
    let size = max(1, fixedBatch ?? min(Self.openBatch, samples.count))
    var start = 0
    while start < samples.count {
      let end = min(start + size, samples.count)
      var rows = Array(start..<end)
      if fixedBatch != nil { rows += Array(repeating: end - 1, count: size - rows.count) }
      try body(try executor.run(try samples.selecting(rows).inputs, keeping: keeping), end - start)
      start = end
    }
  }
}
