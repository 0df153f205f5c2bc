internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Kernels
internal import Tensors

/// Runs a batch in parts of a few samples each, where `SampleAxes` shows that they do not depend on each other: a part's
/// activations stay in the cache from layer to layer, and several threads each take parts of their own.
final class SampleRun {
  /// One for each thread that works by itself.
  private let plans: [ExecutionPlan]
  private let parts: Int
  private let threads: Int
  private let axes: SampleAxes
  private let wanted: [ValueID]

  var arenaBytes: Int { plans.reduce(0) { $0 + $1.arenaBytes } }
  var stepCount: Int { (plans.first?.stepCount ?? 0) * parts }

  /// Bytes of operands and results of the largest node that are worth keeping in the cache.
  private static let cacheBytes = 4 << 20

  /// How a batch is cut.
  private struct Cut {
    /// Samples of a part; a divisor of the batch.
    var size: Int
    /// Whether each part is run by one thread.
    var isConcurrent: Bool

    init(samples: Int, bytes: Int, options: RunOptions) {
      let fitting = Swift.max(1, SampleRun.cacheBytes / Swift.max(bytes / samples, 1))
      func divisor(_ most: Int) -> Int { (1...Swift.max(1, Swift.min(most, samples))).last { samples % $0 == 0 } ?? 1 }
      let threads = options.threads
      let alone = divisor(Swift.min(fitting, samples / threads))
      let rounds = (samples / alone + threads - 1) / threads
      // A profile tells of steps that follow each other.
      isConcurrent = threads > 1 && !options.profiles && samples >= threads && 10 * (samples / alone) >= 9 * rounds * threads
      size = isConcurrent ? alone : divisor(fitting)
    }
  }

  /// - Parameter shapes: of the inputs; the first input's first axis counts the samples if it is symbolic.
  /// - Returns: nil where the batch is best run as a whole, or it cannot be shown that it may be cut.
  init?(_ whole: TypedGraph, shapes: [String: [Int]], wanted: [ValueID], options: RunOptions, weights: WeightCache) {
    let graph = whole.graph
    guard options.precision != .reference, let first = graph.inputs.first, let symbol = graph[first].declaredType?.shape?.dims.first?.symbol,
      let samples = shapes[graph[first].name]?.first, samples > 1
    else { return nil }
    let cut = Cut(samples: samples, bytes: SampleRun.largestNode(whole, wanted), options: options)
    guard cut.size < samples else { return nil }
    var partShapes = shapes
    for input in graph.inputs {
      guard let declared = graph[input].declaredType?.shape, let given = shapes[graph[input].name], given.count == declared.rank else { return nil }
      partShapes[graph[input].name] = zip(declared.dims, given).map { $0.symbol == symbol ? cut.size : $1 }
    }
    var sink = DiagnosticSink()
    guard let part = try? Inference.infer(graph, inputShapes: partShapes, sink: &sink), !part.reliesOnDeclarations,
      let axes = SampleAxes(whole, samples: samples, part, partSamples: cut.size, wanted: wanted)
    else { return nil }
    var own = options
    if cut.isConcurrent { own.threads = 1 }
    var plans: [ExecutionPlan] = []
    for _ in 0..<(cut.isConcurrent ? options.threads : 1) {
      guard let plan = try? ExecutionPlan(part, keeping: wanted, options: own, weights: weights), !plan.isInterpreted else { return nil }
      plans.append(plan)
    }
    (self.plans, self.axes, self.wanted, threads, parts) = (plans, axes, wanted, options.threads, samples / cut.size)
  }

  /// Bytes of the operands and results of the node that has most of them, weights not counted.
  private static func largestNode(_ typed: TypedGraph, _ wanted: [ValueID]) -> Int {
    Program(typed.graph, wanted: wanted).nodes.reduce(0) { most, id in
      let node = typed.graph[id]
      let values = (node.reads + node.outputs.compactMap { $0 }).filter { typed.known($0) == nil }
      let bytes = values.reduce(0) { sum, value in
        guard let type = typed.type(of: value), let count = type.shape?.concrete?.checkedProduct else { return sum }
        return sum &+ count &* (type.element.bitWidth / 8)
      }
      return Swift.max(most, bytes)
    }
  }

  func run(_ inputs: [ValueID: Tensor]) throws(Failure) -> RunResult {
    var results = [Result<RunResult, Failure>?](repeating: nil, count: parts)
    unsafe results.withUnsafeMutableBufferPointer { results in
      func run(_ part: Int, _ plan: ExecutionPlan) {
        do throws(Failure) {
          unsafe results[part] = .success(try plan.run(try inputs.cut(axes, part, of: parts)))
        } catch {
          unsafe results[part] = .failure(error)
        }
      }
      if plans.count == 1 {
        for part in 0..<parts { run(part, plans[0]) }
      } else {
        Parallel.use(threads: threads)
        Parallel.forEach(parts) { part, worker in run(part, plans[worker]) }
        Parallel.use(threads: threads)
      }
    }
    var made: [RunResult] = []
    for result in results {
      guard let result else { throw Failure(.internalError, "a part of the batch was not run") }
      made.append(try result.get())
    }
    var values: [ValueID: Tensor] = [:]
    for value in wanted {
      let pieces = made.compactMap { $0.values[value] }
      guard let first = pieces.first, pieces.count == parts else { continue }
      guard case .samples(let axis)? = axes.roles[value] else {
        values[value] = first
        continue
      }
      values[value] = try Tensor(joining: pieces, axis: axis)
    }
    return RunResult(values: values, profile: made.flatMap(\.profile))
  }
}

extension [ValueID: Tensor] {
  /// What part `part` of `parts` gets: its samples, and what is the same for all.
  fileprivate func cut(_ axes: SampleAxes, _ part: Int, of parts: Int) throws(Failure) -> Self {
    var result: Self = [:]
    for (value, tensor) in self {
      guard case .samples(let axis)? = axes.roles[value] else {
        result[value] = tensor
        continue
      }
      var dims = tensor.dims
      let outer = dims[..<axis].reduce(1, *)
      dims[axis] /= parts
      let piece = tensor.byteCount / Swift.max(outer * parts, 1)
      let buffer = unsafe TensorBuffer(byteCount: piece * outer) { target in
        unsafe tensor.withUnsafeBytes { source in
          guard let from = source.baseAddress, let to = target.baseAddress else { return }
          for o in 0..<outer { unsafe (to + o * piece).copyMemory(from: from + (o * parts + part) * piece, byteCount: piece) }
        }
      }
      result[value] = try Tensor(tensor.elementType, dims: dims, storage: .memory(buffer))
    }
    return result
  }
}

extension Tensor {
  /// Equal tensors one behind the other along an axis.
  fileprivate init(joining pieces: [Tensor], axis: Int) throws(Failure) {
    var dims = pieces[0].dims
    let outer = dims[..<axis].reduce(1, *)
    dims[axis] *= pieces.count
    let piece = pieces[0].byteCount / Swift.max(outer, 1)
    let buffer = unsafe TensorBuffer(byteCount: piece * outer * pieces.count) { target in
      guard let to = target.baseAddress else { return }
      for (index, tensor) in pieces.enumerated() {
        unsafe tensor.withUnsafeBytes { source in
          guard let from = source.baseAddress else { return }
          for o in 0..<outer { unsafe (to + (o * pieces.count + index) * piece).copyMemory(from: from + o * piece, byteCount: piece) }
        }
      }
    }
    try self.init(pieces[0].elementType, dims: dims, storage: .memory(buffer))
  }
}
