internal import Bytes
internal import Diagnostics
internal import Execution
internal import GraphIR
internal import Inference
internal import Kernels
internal import Operators
internal import Reporting

/// Where the time of timed runs went.
struct Profiling {
  private let typed: TypedGraph
  /// The steps' times, run by run; every run has the same steps.
  private var runs: [[StepTime]] = []

  init(_ typed: TypedGraph) { self.typed = typed }

  mutating func add(_ profile: [StepTime]) { runs.append(profile) }

  /// - Parameter blocks: attention blocks by name, with the nodes that belong to them.
  func report(threads: Int, blocks: [(name: String, nodes: [NodeID])]) -> ProfileReport {
    guard let first = runs.first else { return ProfileReport(peakGigaflops: nil, steps: [], operators: [], blocks: []) }
    let steps = first.indices.map { index -> ProfileReport.Step in
      let step = first[index]
      let times = runs.compactMap { index < $0.count ? 1e3 * $0[index].seconds : nil }.sorted()
      let anchor = step.nodes.first
      return ProfileReport.Step(
        name: anchor.map(name) ?? "", op: anchor.map { typed.graph[$0].op.name.mnemonic } ?? step.kernel, kernel: step.kernel, nodes: step.nodes.map(name),
        milliseconds: Benchmarking.quantile(times, 0.5), macs: step.nodes.reduce(0) { $0 &+ typed.cost(of: $1).macs })
    }
    var operators: [String: ProfileReport.Group] = [:]
    for step in steps { operators[step.op, default: .init(name: step.op, count: 0, milliseconds: 0, macs: 0)].add(step) }
    var owner: [NodeID: Int] = [:]
    for (index, block) in blocks.enumerated() { for node in block.nodes { owner[node] = index } }
    var groups = blocks.map { ProfileReport.Group(name: $0.name, count: 0, milliseconds: 0, macs: 0) }
    for (index, step) in steps.enumerated() {
      if let node = first[index].nodes.first(where: { owner[$0] != nil }), let block = owner[node] { groups[block].add(step) }
    }
    return ProfileReport(
      peakGigaflops: PeakSpeed.gigaflops(threads: threads), steps: steps,
      operators: operators.values.sorted { ($1.milliseconds, $0.name) < ($0.milliseconds, $1.name) },
      blocks: groups)
  }

  private func name(_ node: NodeID) -> String {
    let own = typed.graph[node].name
    return own.isEmpty ? typed.graph[node].outputs.compactMap { $0 }.first.map { typed.graph[$0].name } ?? "" : own
  }

  /// Writes the runs as a trace in the JSON array format that Chrome's tracing view and Perfetto read: one complete event
  /// for each step, in microseconds.
  func writeTrace(to path: String, protecting model: String) throws(Failure) {
    var events: [JSONValue] = []
    let begin = runs.first?.first?.start ?? 0
    for run in runs {
      for step in run {
        let anchor = step.nodes.first.map(name) ?? step.kernel
        events.append([
          "name": .string(anchor), "cat": .string(step.kernel), "ph": "X", "ts": .number(1e6 * (step.start - begin)), "dur": .number(1e6 * step.seconds),
          "pid": 1, "tid": 1, "args": ["nodes": .array(step.nodes.map { .string(name($0)) })],
        ])
      }
    }
    let document: JSONValue = ["displayTimeUnit": "ms", "traceEvents": .array(events)]
    try AtomicOutput.write([.bytes(Array((document.text + "\n").utf8))], to: path, protecting: model == "-" ? [] : [model])
  }
}

extension ProfileReport.Group {
  fileprivate mutating func add(_ step: ProfileReport.Step) {
    count += 1
    milliseconds += step.milliseconds
    macs = macs &+ step.macs
  }
}
