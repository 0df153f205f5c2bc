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

/// Runs a model on seeded inputs and holds each block against the graph's own tensors: the block executed alone, as its
/// formula from its extracted weights or, where it has none, by its own nodes.
struct Confirmation {
  /// Multiply-adds that an inspection may spend without being asked.
  static let cheapWork = 20_000_000
  /// Activations that it may hold.
  static let cheapBytes = 1 << 27
  /// Nodes that it may plan a run of, which costs more than to run small ones.
  static let cheapNodes = 10_000
  /// Largest deviation from a tensor of the graph, relative to its largest element.
  static let tolerance = 1e-3
  /// The same where tensors keep 11 bits or fewer.
  static let halfTolerance = 3e-2

  /// What was held against the run.
  enum Kind: String, Sendable {
    /// A formula written from what is told of the block and its extracted weights.
    case formula
    /// The block's own nodes, run apart from the graph.
    case replay
  }

  /// How much of a block was held against the run.
  enum Extent: String, Sendable {
    /// All of it, from the tensors it reads to what it gives.
    case block
    /// The map and what it weighs; some of its operands, or what follows, as the graph has them.
    case core
  }

  struct Outcome: Sendable {
    var kind: Kind
    var extent: Extent
    /// The largest deviation, relative to the size of the tensor it was found in.
    var error: Double
  }

  /// By block.
  private(set) var confirmed: [Int: Outcome] = [:]
  /// Why a block is none: what the run showed.
  private(set) var refused: [Int: String] = [:]
  /// Why nothing could be held against a block.
  private(set) var unmeasured: [Int: String] = [:]

  init(_ model: ModelAnalysis, shapes: [String: [Int]], mode: ConfirmationMode) {
    switch mode {
    case .never: return
    case .whenCheap:
      guard model.graph.order.count <= Self.cheapNodes else { return }
      let cost = Inspection.cost(model.typed)
      guard let macs = cost.macs, let elementwise = cost.elementwise, let bytes = cost.activationBytesPeak, macs <= Self.cheapWork,
        elementwise <= Self.cheapWork, bytes <= Self.cheapBytes
      else { return }
    case .always: break
    }
    let graph = model.canonical.graph
    var positions = HandleMap<NodeTag, Int>(count: graph.nodes.count, initial: -1)
    for (place, id) in graph.order.enumerated() { positions[id] = place }
    let subjects = model.recognized.blocks.map { ConfirmationSubject($0, model.canonical, positions) }
    let wanted = Set(subjects.flatMap(\.values))
    guard !wanted.isEmpty else { return }
    var runs = SeededRuns(model, wanted, shapes)
    guard let run = runs.ordinary(seed: 1) else { return }
    for (index, subject) in subjects.enumerated() where subject.isMeasurable {
      var verdict = subject.verdict(run)
      // Logarithms and roots of what is negative show nothing: numbers above 0 may.
      if case .notFinite = verdict, let other = runs.positive(seed: 2) { verdict = subject.verdict(other) }
      switch verdict {
      case .holds(let outcome): confirmed[index] = outcome
      case .contradicted(let reason): refused[index] = "run on seeded inputs, " + reason
      case .notFinite: unmeasured[index] = "run on seeded inputs, its result is not finite"
      case .unknown: break
      }
    }
  }
}

/// What a run on seeded inputs made.
struct SeededRun {
  /// By canonical value, constants among them.
  var tensors: [ValueID: Tensor]
  /// The sizes that symbols of the inputs' shapes had.
  var symbols: [String: Int]
}

/// Runs of one model that keep the same canonical values.
private struct SeededRuns {
  private let executor: Executor
  private let constants: [ValueID: Tensor]
  private let computed: [ValueID]
  private let shapes: [String: [Int]]
  private var positive: [UInt64: SeededRun] = [:]

  init(_ model: ModelAnalysis, _ wanted: Set<ValueID>, _ shapes: [String: [Int]]) {
    self.shapes = shapes
    var constants: [ValueID: Tensor] = [:]
    for value in wanted { constants[value] = model.canonical.constant(value) }
    self.constants = constants
    let computed = wanted.filter { constants[$0] == nil }.sorted()
    self.computed = computed
    // What comes behind the last block is not run: it may hold what no run can.
    executor = Executor((try? model.canonical.graph.restricted(to: computed, from: [:])) ?? model.canonical.graph)
  }

  /// nil where inputs cannot be made up or the graph does not run.
  func ordinary(seed: UInt64) -> SeededRun? { run(seed) { $0 } }

  /// The same with inputs above 0.
  mutating func positive(seed: UInt64) -> SeededRun? {
    if let known = positive[seed] { return known }
    positive[seed] = run(seed) { tensor in
      guard tensor.elementType == .float32, let elements = tensor.doubles() else { return tensor }
      return (try? Tensor(float32: elements.map { Float(abs($0) + 0.25) }, dims: tensor.dims)) ?? tensor
    }
    return positive[seed]
  }

  private func run(_ seed: UInt64, _ change: (Tensor) -> Tensor) -> SeededRun? {
    let graph = executor.graph
    guard let made = try? RandomInputs.make(for: graph, shapes: shapes, batch: 1, seed: seed) else { return nil }
    var symbols: [String: Int] = [:]
    for (id, tensor) in made.values {
      for (dim, size) in zip(graph[id].declaredType?.shape?.dims ?? [], tensor.dims) { if let symbol = dim.symbol { symbols[symbol] = size } }
    }
    let inputs = Dictionary(made.values.map { (graph[$0.key].name, change($0.value)) }) { first, _ in first }
    guard let result = try? executor.run(inputs, keeping: computed) else { return nil }
    return SeededRun(tensors: result.values.merging(constants) { run, _ in run }, symbols: symbols)
  }
}
