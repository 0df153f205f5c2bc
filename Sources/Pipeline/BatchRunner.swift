internal import Diagnostics
internal import Execution
internal import GraphIR
internal import Tensors

/// Runs one graph over many samples, batch by batch.
struct BatchRunner {
  private let executor: Executor
  private let keeping: [ValueID]
  /// The first dimension that the graph's inputs fix; nil where it is symbolic.
  private let fixedBatch: Int?

  /// Samples of one pass where the graph leaves the batch open: enough to keep the cores busy, few enough for the
  /// activations to stay small.
  static let openBatch = 64

  init(_ graph: Graph, keeping: [ValueID] = [], options: RunOptions) {
    executor = Executor(graph, options: options)
    self.keeping = keeping
    fixedBatch = graph.inputs.lazy.compactMap { graph[$0].declaredType?.shape?.dims.first?.value }.first
  }

  /// Gives each batch's result to `body`, in order of samples, with the number of samples that count: a graph with a
  /// fixed batch gets its last batch filled up with repetitions.
  func run(_ samples: SampleSet, _ body: (RunResult, Int) throws(Failure) -> Void) throws(Failure) {
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
