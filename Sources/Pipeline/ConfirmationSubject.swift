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

/// One block with all that a run can be held against.
struct ConfirmationSubject {
  private let check: BlockCheck?
  private let formulas: [(standalone: BlockFormula.Standalone, law: BlockLaw?)]
  /// Whether every formula of the block could be built.
  private let isWhole: Bool

  init(_ block: AttentionBlock, _ canonical: TypedGraph, _ positions: HandleMap<NodeTag, Int>) {
    check = block.check
    formulas = block.formulas.compactMap { formula in formula.standalone(in: canonical, positions: positions).map { ($0, formula.law) } }
    isWhole = !formulas.isEmpty && formulas.count == block.formulas.count
  }

  var isMeasurable: Bool { check != nil || !formulas.isEmpty }

  /// Canonical values that a run must keep.
  var values: [ValueID] { (check?.values ?? []) + formulas.flatMap { $0.standalone.inputs.map(\.value) + [$0.standalone.output] } }

  func verdict(_ first: [ValueID: Tensor], _ second: [ValueID: Tensor]) -> ConfirmationVerdict {
    var error = 0.0
    var isCoreHeld = false
    if let check, let a = check.measured(first), let b = check.measured(second) {
      if !a.deviation.isFinite || !b.deviation.isFinite { return .notFinite }
      if let reason = Self.contradiction(check, a, b) { return .contradicted(reason) }
      error = max(a.deviation, b.deviation)
      isCoreHeld = true
    }
    var isBlockHeld = isWhole
    for (standalone, law) in formulas {
      switch Self.verdict(standalone, law, first) {
      case .holds(let outcome): error = max(error, outcome.error)
      case .unknown: isBlockHeld = false
      case let other: return other
      }
    }
    if isBlockHeld { return .holds(.init(extent: .block, error: error)) }
    return isCoreHeld ? .holds(.init(extent: .core, error: error)) : .unknown
  }

  // MARK: Equations

  private static func contradiction(_ check: BlockCheck, _ a: BlockCheck.Measured, _ b: BlockCheck.Measured) -> String? {
    if max(a.deviation, b.deviation) > Confirmation.tolerance { return "the values that its probabilities weigh give another result than the graph's" }
    let size = max(a.size, b.size)
    switch check.bias {
    case .none:
      let largest = zip(a.bias + b.bias, a.slack + b.slack).map { abs($0) - $1 }.max() ?? 0
      return largest <= Confirmation.tolerance * size ? nil : "its scores are not scale Q K'"
    case .constant:
      var moved = 0.0
      for index in a.bias.indices where b.bias.indices.contains(index) && a.bias[index] != b.bias[index] {
        moved = max(moved, abs(a.bias[index] - b.bias[index]) - a.slack[index] - b.slack[index])
      }
      return moved <= Confirmation.tolerance * size ? nil : "what is added to its scores is not the same for every input"
    case .free: return nil
    }
  }

  // MARK: Formulas

  private static func verdict(_ standalone: BlockFormula.Standalone, _ law: BlockLaw?, _ tensors: [ValueID: Tensor]) -> ConfirmationVerdict {
    var inputs: [String: Tensor] = [:]
    for (name, value) in standalone.inputs {
      guard let tensor = tensors[value] else { return .unknown }
      inputs[name] = tensor
    }
    guard let expected = tensors[standalone.output] else { return .unknown }
    let executor = Executor(standalone.graph)
    guard let got = result(executor, inputs) else { return .unknown }
    guard let error = deviation(got, expected) else { return .contradicted("its formula from its own weights gives a result of another shape") }
    guard error.isFinite else { return .notFinite }
    let isHalf = ([expected] + inputs.values).contains { $0.elementType == .float16 || $0.elementType == .bfloat16 }
    if error > (isHalf ? Confirmation.halfTolerance : Confirmation.tolerance) {
      return .contradicted("its formula from its own weights gives another result than the graph")
    }
    if let law, let broken = breach(law, executor, standalone, inputs, tensors, expected) { return .contradicted(broken) }
    return .holds(.init(extent: .block, error: error))
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
