internal import Diagnostics
internal import Execution
internal import GraphIR
internal import Inference
internal import Tensors

/// Runs one graph over many samples, batch by batch, with one plan for each batch size.
struct BatchRunner {
  let graph: Graph
  let keeping: [ValueID]
  let options: RunOptions
  /// The first dimension that the graph's inputs fix; nil where it is symbolic.
  private let fixedBatch: Int?
  private var plans: [Int: ExecutionPlan] = [:]

  /// Samples of one pass where the graph leaves the batch open: enough to keep the cores busy, few enough for the
  /// activations to stay small.
  private static let openBatch = 64

  init(_ graph: Graph, keeping: [ValueID] = [], options: RunOptions) {
    self.graph = graph
    self.keeping = keeping
    self.options = options
    fixedBatch = graph.inputs.lazy.compactMap { graph[$0].declaredType?.shape?.dims.first?.value }.first
  }

  /// Gives each batch's result to `body`, in order of samples, with the number of samples that count: a graph with a
  /// fixed batch gets its last batch filled up with repetitions.
  mutating func run(_ samples: SampleSet, _ body: (RunResult, Int) throws(Failure) -> Void) throws(Failure) {
    let size = max(1, fixedBatch ?? min(Self.openBatch, samples.count))
    var start = 0
    while start < samples.count {
      let end = min(start + size, samples.count)
      var rows = Array(start..<end)
      if fixedBatch != nil { rows += Array(repeating: end - 1, count: size - rows.count) }
      let batch = try samples.selecting(rows)
      let plan = try plan(for: batch)
      var inputs: [ValueID: Tensor] = [:]
      for id in graph.inputs { inputs[id] = batch.inputs[graph[id].name] }
      try body(try plan.run(inputs), end - start)
      start = end
    }
  }

  private mutating func plan(for batch: SampleSet) throws(Failure) -> ExecutionPlan {
    if let plan = plans[batch.count] { return plan }
    var sink = DiagnosticSink()
    let typed = try Inference.infer(graph, inputShapes: batch.inputs.mapValues(\.dims), sink: &sink)
    let plan = try ExecutionPlan(typed, keeping: keeping, options: options)
    plans[batch.count] = plan
    return plan
  }
}
