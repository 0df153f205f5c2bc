public import Diagnostics
public import GraphIR
internal import Inference
internal import Kernels
public import Tensors

/// Runs a graph on named arrays: binds their shapes, plans once for each combination of them, and keeps packed weights
/// for all plans.
public final class Executor {
  public let graph: Graph
  public let options: RunOptions
  private let weights: WeightCache
  private var plans: [Key: ExecutionPlan] = [:]

  private struct Key: Hashable {
    var shapes: [String: [Int]]
    var kept: [ValueID]
  }

  public init(_ graph: Graph, options: RunOptions = RunOptions()) {
    // Ids stay. Calls that stand for too many nodes are run as they are.
    self.graph = (try? graph.inliningCalls()) ?? graph
    self.options = options
    weights = WeightCache(threads: options.threads)
  }

  /// - Parameters:
  ///   - inputs: one array for each graph input, by its name; arrays of other names are refused.
  ///   - keeping: values whose tensors are wanted beside the outputs.
  /// - Throws: `badRunInput` where names, types or shapes do not fit; what `ExecutionPlan` throws.
  public func run(_ inputs: [String: Tensor], keeping: [ValueID] = []) throws(Failure) -> RunResult {
    try run(values: inputs.mapValues { .tensor($0) }, keeping: keeping)
  }

  /// The same for values of any kind.
  public func run(values inputs: [String: RuntimeValue], keeping: [ValueID] = []) throws(Failure) -> RunResult {
    let names = graph.inputs.map { graph[$0].name }
    for name in inputs.keys.sorted() where !names.contains(name) {
      throw Failure(.badRunInput, "the model has no input '\(name)'; its inputs are \(names.joined(separator: ", "))", at: .element(name))
    }
    var values: [ValueID: RuntimeValue] = [:]
    for id in graph.inputs {
      let name = graph[id].name
      guard let value = inputs[name] else { throw Failure(.badRunInput, "the input '\(name)' is missing", at: .element(name)) }
      values[id] = value
    }
    return try plan(inputs.compactMapValues { $0.tensor?.dims }, keeping: keeping).run(values: values)
  }

  /// The plan for these input shapes, made on first use.
  public func plan(_ shapes: [String: [Int]], keeping: [ValueID] = []) throws(Failure) -> ExecutionPlan {
    let key = Key(shapes: shapes, kept: keeping.sorted())
    if let plan = plans[key] { return plan }
    var sink = DiagnosticSink()
    let typed = try Inference.infer(graph, inputShapes: shapes, sink: &sink).inliningBodies(sink: &sink)
    let plan: ExecutionPlan
    if let parts = ExecutionPlan(typed, inParts: shapes, keeping: keeping, options: options, weights: weights) {
      plan = parts
    } else {
      plan = try ExecutionPlan(typed, keeping: keeping, options: options, weights: weights)
    }
    plans[key] = plan
    return plan
  }

  /// The outputs by name that are tensors.
  public func outputs(_ result: RunResult) -> [(name: String, tensor: Tensor)] {
    graph.outputs.compactMap { id in result.values[id].map { (graph[id].name, $0) } }
  }
}
