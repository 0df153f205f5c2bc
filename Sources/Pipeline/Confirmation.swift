internal import Diagnostics
internal import Execution
internal import GraphIR
internal import Inference
internal import Recognition
internal import Reporting
internal import Tensors

/// Whether blocks are held against a run of the model.
public enum ConfirmationMode: Sendable {
  /// Where the model is small.
  case whenCheap
  case always, never
}

/// Runs a model on seeded inputs and holds each block's formula against the graph's own tensors.
struct Confirmation {
  /// Multiply-adds that an inspection may spend without being asked.
  static let cheapWork = 20_000_000
  /// Activations that it may hold.
  static let cheapBytes = 1 << 27
  static let tolerance = 1e-3

  /// By block: true where both equations hold, false with the reason where one does not, nothing where none could be held.
  private(set) var confirmed: Set<Int> = []
  private(set) var refused: [Int: String] = [:]

  init(_ model: ModelAnalysis, shapes: [String: [Int]], mode: ConfirmationMode) {
    switch mode {
    case .never: return
    case .whenCheap:
      let cost = Inspection.cost(model.typed)
      guard let macs = cost.macs, let elementwise = cost.elementwise, let bytes = cost.activationBytesPeak, macs <= Self.cheapWork,
        elementwise <= Self.cheapWork, bytes <= Self.cheapBytes
      else { return }
    case .always: break
    }
    let checks = model.recognized.blocks.enumerated().compactMap { index, block in block.check.map { (index, $0) } }
    guard !checks.isEmpty, let first = Self.values(model, checks.flatMap(\.1.values), shapes, seed: 1),
      let second = Self.values(model, checks.flatMap(\.1.values), shapes, seed: 2)
    else { return }
    for (index, check) in checks {
      guard let a = check.measured(first), let b = check.measured(second) else { continue }
      if let reason = Self.contradiction(check, a, b) { refused[index] = reason } else { confirmed.insert(index) }
    }
  }

  private typealias Measured = (deviation: Double, bias: [Double], size: Double)

  private static func contradiction(_ check: BlockCheck, _ a: Measured, _ b: Measured) -> String? {
    let size = max(a.size, b.size)
    let deviation = max(a.deviation, b.deviation)
    if !(deviation <= tolerance) { return "run on seeded inputs, the values that its probabilities weigh give another result than the graph's" }
    switch check.bias {
    case .none:
      let largest = (a.bias + b.bias).map { abs($0) }.max() ?? 0
      return largest <= tolerance * size ? nil : "run on seeded inputs, its scores are not scale Q K'"
    case .constant:
      // What hides a score is so large that the score beside it is rounded away.
      let moved = zip(a.bias, b.bias).map { $0 == $1 || max($0, $1) <= -1e4 ? 0 : abs($0 - $1) }.max() ?? 0
      return moved <= tolerance * size ? nil : "run on seeded inputs, what is added to its scores is not the same for every input"
    case .free: return nil
    }
  }

  /// Canonical values of one run; nil where inputs cannot be made up or the graph does not run.
  private static func values(_ model: ModelAnalysis, _ wanted: [ValueID], _ shapes: [String: [Int]], seed: UInt64) -> [ValueID: Tensor]? {
    let graph = model.canonical.graph
    var constants: [ValueID: Tensor] = [:]
    var computed: [ValueID] = []
    for value in Set(wanted) {
      if let tensor = model.canonical.constant(value) { constants[value] = tensor } else { computed.append(value) }
    }
    guard let made = try? RandomInputs.make(for: graph, shapes: shapes, batch: 1, seed: seed) else { return nil }
    let inputs = Dictionary(uniqueKeysWithValues: made.values.map { (graph[$0.key].name, $0.value) })
    guard let result = try? Executor(graph).run(inputs, keeping: computed) else { return nil }
    return result.values.merging(constants) { run, _ in run }
  }
}
