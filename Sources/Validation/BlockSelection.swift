public import Diagnostics
public import GraphIR
internal import Operators
internal import Recognition
public import Rewriting

/// Chooses the largest set of blocks whose rewrite keeps a budget, and for each block the cheapest setting that still does.
///
/// Every decision is made by running the network on held-out samples. The blocks are first taken all together with the
/// most faithful setting that is cheaper than the original; blocks leave, the most harmful first, until the budget is
/// kept; what room is left is then spent on cheaper settings, first by one bound on the error of all blocks, then block by
/// block. Cheaper settings must keep the budget by one standard error of the measurement, so that they are not the luck of the
/// samples they were chosen on.
public struct BlockSelection {
  /// What was tried, in order: how many blocks, how much was lost, at what cost.
  public struct Trial: Sendable {
    public var blocks: [Int]
    public var value: Double
    /// Multiply-adds of all blocks of the search, rewritten or not.
    public var macs: Int
  }

  public struct Outcome: Sendable {
    public var rewritten: RewrittenGraph
    public var choices: [BlockRewrite]
    /// Against the original, on held-out samples.
    public var comparison: Comparison
    public var value: Double
    /// Blocks that are not rewritten, and why.
    public var left: [(index: Int, reason: String)]
    public var trials: [Trial]
  }

  public let budget: Budget
  /// Holds a graph against the original on held-out samples.
  private let measure: (Graph) throws(Failure) -> Comparison
  /// Told after each trial.
  private let progress: (Trial) -> Void

  public init(_ budget: Budget, progress: @escaping (Trial) -> Void = { _ in }, measure: @escaping (Graph) throws(Failure) -> Comparison) {
    self.budget = budget
    self.progress = progress
    self.measure = measure
  }

  /// - Throws: `calibrationData` when the budget's metric cannot be measured on these samples.
  public func select(_ rewrite: any Rewrite, at indices: [Int], in run: inout RewriteRun) throws(Failure) -> Outcome {
    var search = Search(selection: self, run: run)
    try search.openLadders(rewrite, indices)
    try search.dropUntilKept()
    try search.cheapenTogether()
    try search.cheapenOneByOne()
    run = search.run
    return try search.outcome()
  }

  /// The state of one search.
  private struct Search {
    let selection: BlockSelection
    var run: RewriteRun
    /// By block, what may be tried, cheapest first.
    var ladders: [Int: [RewriteCandidate]] = [:]
    /// By chosen block, the place on its ladder.
    var chosen: [Int: Int] = [:]
    var left: [(index: Int, reason: String)] = []
    var measured: [String: Measured] = [:]
    var trials: [Trial] = []

    struct Measured {
      var comparison: Comparison
      var value: Double
    }

    init(selection: BlockSelection, run: RewriteRun) {
      self.selection = selection
      self.run = run
    }

    mutating func openLadders(_ rewrite: any Rewrite, _ indices: [Int]) throws(Failure) {
      for index in indices.sorted() {
        let choice = BlockRewrite(index, rewrite)
        if let reason = run.refusal(choice) {
          left.append((index, reason))
          continue
        }
        let steps = try run.candidates(choice)
        if steps.isEmpty {
          left.append((index, "no setting is cheaper than the block as it stands"))
        } else {
          ladders[index] = steps
          chosen[index] = steps.count - 1
        }
      }
    }

    /// Blocks leave, the one whose leaving helps most first, until the rest keeps the budget.
    mutating func dropUntilKept() throws(Failure) {
      while !chosen.isEmpty {
        let now = try value(chosen)
        if isKept(now) { return }
        // Of many blocks only the worst fitted are worth a try.
        let suspects = chosen.sorted { (error($0), $1.key) > (error($1), $0.key) }.prefix(8)
        var best: (index: Int, value: Double)?
        for suspect in suspects {
          var without = chosen
          without[suspect.key] = nil
          let value = without.isEmpty ? 0 : try self.value(without)
          if value < best?.value ?? .infinity { best = (suspect.key, value) }
        }
        guard let best else { return }
        chosen[best.index] = nil
        left.append((best.index, "with it the budget is broken: \(selection.budget.metric.rawValue) comes to \(rounded(now))"))
      }
    }

    /// One bound on the fitted error of all chosen blocks, as loose as the budget bears: each block takes its cheapest
    /// setting within it.
    mutating func cheapenTogether() throws(Failure) {
      guard !chosen.isEmpty else { return }
      let bounds = Array(Set(chosen.keys.flatMap { (ladders[$0] ?? []).map(\.error) })).sorted()
      var (low, high) = (-1, bounds.count - 1)
      while low < high {
        let middle = (low + high + 1) / 2
        if try isKeptSafely(assignment(within: bounds[middle])) { low = middle } else { high = middle - 1 }
      }
      if low >= 0 { chosen = assignment(within: bounds[low]) }
    }

    private func assignment(within bound: Double) -> [Int: Int] {
      var result = chosen
      for (index, place) in chosen {
        result[index] = min(place, (ladders[index] ?? []).firstIndex { $0.error <= bound } ?? place)
      }
      return result
    }

    /// Each block in turn, that with most to save first, goes down its ladder as far as the budget bears.
    mutating func cheapenOneByOne() throws(Failure) {
      func saving(_ index: Int) -> Int { (ladders[index] ?? []).first.map { macs(index) - $0.macs } ?? 0 }
      for index in chosen.keys.sorted(by: { (saving($0), $1) > (saving($1), $0) }) {
        while let place = chosen[index], place > 0 {
          var cheaper = chosen
          cheaper[index] = place - 1
          guard try isKeptSafely(cheaper) else { break }
          chosen = cheaper
        }
      }
    }

    func outcome() throws(Failure) -> Outcome {
      var run = run
      let choices = self.choices(chosen)
      let rewritten = try run.rewritten(choices)
      let comparison: Comparison
      if let known = measured[key(choices)]?.comparison { comparison = known } else { comparison = try selection.measure(rewritten.graph) }
      let value = selection.budget.metric.value(of: comparison) ?? 0
      return Outcome(
        rewritten: rewritten, choices: choices, comparison: comparison, value: value, left: left.sorted { $0.index < $1.index }, trials: trials)
    }

    // MARK: Measuring

    private func error(_ place: (key: Int, value: Int)) -> Double { ladders[place.key]?[place.value].error ?? 0 }
    private func macs(_ index: Int) -> Int { chosen[index].flatMap { ladders[index]?[$0].macs } ?? 0 }

    private func choices(_ places: [Int: Int]) -> [BlockRewrite] {
      places.sorted { $0.key < $1.key }.compactMap { index, place in ladders[index].map { BlockRewrite(index, $0[place].rewrite) } }
    }

    private func key(_ choices: [BlockRewrite]) -> String { choices.map { "\($0.index) \($0.rewrite.specification)" }.joined(separator: ";") }

    private func isKept(_ value: Double) -> Bool { value <= selection.budget.limit + 1e-9 }

    /// Whether the budget is kept by one standard error, where the metric is a share of samples.
    private mutating func isKeptSafely(_ places: [Int: Int]) throws(Failure) -> Bool {
      let value = try value(places)
      guard let comparison = measured[key(choices(places))]?.comparison else { return isKept(value) }
      switch selection.budget.metric {
      case .nmse, .kl: return isKept(value)
      case .top1Drop, .agreementDrop:
        let moved = max(0, 1 - (comparison.top1Agreement ?? 1))
        return isKept(value + (moved / Double(max(1, comparison.samples))).squareRoot())
      }
    }

    private mutating func value(_ places: [Int: Int]) throws(Failure) -> Double {
      let choices = choices(places)
      let key = key(choices)
      if let known = measured[key] { return known.value }
      let rewritten = try run.rewritten(choices)
      let comparison = try selection.measure(rewritten.graph)
      guard let value = selection.budget.metric.value(of: comparison) else {
        throw Failure(
          .calibrationData, "the budget's \(selection.budget.metric.rawValue) cannot be measured on these samples",
          advice: "top1-drop needs labels; agreement-drop and kl need an output of class scores")
      }
      measured[key] = Measured(comparison: comparison, value: value)
      let cost = ladders.reduce(0) { sum, ladder in
        sum + (places[ladder.key].map { ladder.value[$0].macs } ?? run.blocks[ladder.key].cost.macs)
      }
      let trial = Trial(blocks: places.keys.sorted(), value: value, macs: cost)
      trials.append(trial)
      selection.progress(trial)
      return value
    }
  }
}

/// Four digits after the point, for a sentence.
private func rounded(_ value: Double) -> String { "\((value * 10_000).rounded() / 10_000)" }
