internal import Diagnostics
internal import Execution
internal import GraphIR
internal import Inference
internal import Recognition
internal import Tensors

/// What a run says of one block.
enum ConfirmationVerdict {
  case holds(Confirmation.Outcome)
  /// The reason continues "run on seeded inputs, ".
  case contradicted(String)
  /// The graph's own result is not finite on these inputs.
  case notFinite
  /// Nothing could be held against the run.
  case unknown
}

/// One block with all that a run can be held against: its formulas from what is told of it, and its own nodes run apart
/// from the graph.
struct ConfirmationSubject {
  private let canonical: TypedGraph
  private let claims: [any ClaimedFormula]
  private let replays: [(standalone: BlockFormula.Standalone, law: BlockLaw?)]
  /// Whether every formula of the block could be built from its nodes.
  private let isReplayWhole: Bool

  init(_ block: AttentionBlock, _ canonical: TypedGraph, _ positions: HandleMap<NodeTag, Int>) {
    self.canonical = canonical
    claims = block.claims
    replays = block.formulas.compactMap { formula in formula.standalone(in: canonical, positions: positions).map { ($0, formula.law) } }
    isReplayWhole = !replays.isEmpty && replays.count == block.formulas.count
  }

  var isMeasurable: Bool { !claims.isEmpty || !replays.isEmpty }

  /// Canonical values that a run must keep.
  var values: [ValueID] { claims.flatMap { $0.reads + [$0.gives] } + replays.flatMap { $0.standalone.inputs.map(\.value) + [$0.standalone.output] } }

  func verdict(_ run: SeededRun) -> ConfirmationVerdict {
    var error = 0.0
    var isClaimed = !claims.isEmpty
    for claim in claims {
      switch verdict(claim, run) {
      case .holds(let outcome): error = max(error, outcome.error)
      case .unknown: isClaimed = false
      case let other: return other
      }
    }
    // What is told and reproduces the whole block needs no second witness but the laws of its family.
    if isClaimed, claims.allSatisfy(\.isWhole), replays.allSatisfy({ $0.law == nil }) { return .holds(.init(kind: .formula, extent: .block, error: error)) }
    var isReplayed = isReplayWhole
    for (standalone, law) in replays {
      switch verdict(standalone, law, run, "its own nodes run apart from the graph give") {
      case .holds(let outcome): error = max(error, outcome.error)
      case .unknown: isReplayed = false
      case let other: return other
      }
    }
    if isClaimed { return .holds(.init(kind: .formula, extent: claims.allSatisfy(\.isWhole) ? .block : .core, error: error)) }
    return isReplayed ? .holds(.init(kind: .replay, extent: .block, error: error)) : .unknown
  }

  private func verdict(_ claim: any ClaimedFormula, _ run: SeededRun) -> ConfirmationVerdict {
    do throws(Unwritten) {
      return verdict(try claim.standalone(in: canonical, symbols: run.symbols), nil, run, "its formula from what is told of it gives")
    } catch {
      switch error {
      case .open: return .unknown
      case .misfit: return .contradicted("what is told of it does not fit its own tensors")
      }
    }
  }

  private func verdict(_ standalone: BlockFormula.Standalone, _ law: BlockLaw?, _ run: SeededRun, _ subject: String) -> ConfirmationVerdict {
    var inputs: [String: Tensor] = [:]
    for (name, value) in standalone.inputs {
      guard let tensor = run.tensors[value] else { return .unknown }
      inputs[name] = tensor
    }
    guard let expected = run.tensors[standalone.output] else { return .unknown }
    let executor = Executor(standalone.graph)
    guard let got = Self.result(executor, inputs) else { return .unknown }
    guard let error = Self.deviation(got, expected) else { return .contradicted("\(subject) a result of another shape") }
    guard error.isFinite else { return .notFinite }
    let isHalf = ([expected] + inputs.values).contains { $0.elementType == .float16 || $0.elementType == .bfloat16 }
    if error > (isHalf ? Confirmation.halfTolerance : Confirmation.tolerance) { return .contradicted("\(subject) another result than the graph") }
    if let law, let broken = Self.breach(law, executor, standalone, inputs, run.tensors, expected) { return .contradicted(broken) }
    return .holds(.init(kind: .replay, extent: .block, error: error))
  }

  private static func result(_ executor: Executor, _ inputs: [String: Tensor]) -> Tensor? {
    guard let run = try? executor.run(inputs), let output = executor.graph.outputs.first else { return nil }
    return run.values[output]
  }

  /// The largest difference relative to the largest expected element; nil for other shapes, infinity where nothing finite is expected.
  private static func deviation(_ got: Tensor, _ expected: Tensor) -> Double? {
    guard got.dims == expected.dims, let a = got.doubles(), let b = expected.doubles() else { return nil }
    guard b.allSatisfy(\.isFinite) else { return .infinity }
    guard a.allSatisfy(\.isFinite) else { return nil }
    let size = max(b.lazy.map { abs($0) }.max() ?? 0, 1e-12)
    return (zip(a, b).lazy.map { abs($0 - $1) }.max() ?? 0) / size
  }

  private static func breach(
    _ law: BlockLaw, _ executor: Executor, _ standalone: BlockFormula.Standalone, _ inputs: [String: Tensor], _ tensors: [ValueID: Tensor], _ expected: Tensor
  ) -> String? {
    switch law {
    case .gates(let x, let axes):
      guard let before = tensors[x], let deviation = BlockLaw.gateDeviation(before, expected, along: axes) else { return nil }
      return deviation > Confirmation.tolerance ? law.broken : nil
    case .channelsApart(let x, let inputAxis, let outputAxis):
      guard let name = standalone.inputs.first(where: { $0.value == x })?.name, let before = inputs[name], before.dims.indices.contains(inputAxis),
        let moved = BlockLaw.moved(before, channel: before.dims[inputAxis] / 2, axis: inputAxis)
      else { return nil }
      var changed = inputs
      changed[name] = moved
      guard let after = result(executor, changed), let still = result(executor, inputs),
        let leak = BlockLaw.leak(still, after, channel: before.dims[inputAxis] / 2, axis: outputAxis)
      else { return nil }
      return leak > Confirmation.tolerance ? law.broken : nil
    }
  }
}
