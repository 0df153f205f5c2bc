public import Diagnostics
public import GraphIR
internal import Operators
internal import Recognition
public import Rewriting

/// Chooses the largest set of blocks whose rewrite keeps a budget, and for each block the cheapest setting that still does.
///
/// Every decision is made by running the network on held-out samples. Each block is first measured alone, with its most
/// faithful setting that is cheaper than the original; sets are then made of the least harmful blocks, as many as the
/// budget bears. What room is left is spent on cheaper settings: from the most faithful down, always the step that saves
/// most for the harm it is expected to do (a block's own harm, in proportion to the fitted error), as far down that path as
/// the budget bears, and then block by block. Cheaper settings must keep the budget by one standard error of the
/// measurement, so that they are not the luck of the samples they were chosen on.
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
    try search.chooseBlocks()
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
    /// By block, what it does to the network alone, with its most faithful setting.
    var harm: [Int: Double] = [:]
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

    /// How many other sets of one block more are tried.
    private static let otherSets = 6

    /// The largest set of the least harmful blocks that keeps the budget; then other sets that are larger by one.
    mutating func chooseBlocks() throws(Failure) {
      let all = chosen
      for (index, place) in all { harm[index] = try harm(of: [index: place]) }
      let ranked = all.keys.sorted { (harm[$0] ?? 0, $0) < (harm[$1] ?? 0, $1) }
      func set(_ indices: some Sequence<Int>) -> [Int: Int] { all.filter { indices.contains($0.key) } }
      var (low, high) = (0, ranked.count)
      while low < high {
        let middle = (low + high + 1) / 2
        if try isKept(value(set(ranked.prefix(middle)))) { low = middle } else { high = middle - 1 }
      }
      var best = Array(ranked.prefix(low))
      growing: while best.count < ranked.count {
        for other in largerSets(than: best.count, ranked).prefix(Self.otherSets) where try isKept(value(set(other))) {
          best = other
          continue growing
        }
        break
      }
      chosen = set(best)
      for index in ranked where chosen[index] == nil {
        var with = chosen
        with[index] = all[index]
        let lost = rounded(try value(with))
        left.append((index, "with it the budget is broken: \(selection.budget.metric.rawValue) comes to \(lost)"))
      }
    }

    /// Sets of one block more, those first whose blocks do least harm alone.
    private func largerSets(than count: Int, _ ranked: [Int]) -> [[Int]] {
      guard count > 0 else { return ranked.map { [$0] } }
      // One of the blocks behind the best set comes in, and for the second half of the sets one more takes another's place.
      var sets: [[Int]] = []
      let head = Array(ranked.prefix(count))
      let tail = ranked.dropFirst(count)
      for one in tail { sets.append(head + [one]) }
      for (i, one) in tail.enumerated() {
        for two in tail.dropFirst(i + 1) { for leaving in head { sets.append(head.filter { $0 != leaving } + [one, two]) } }
      }
      func expected(_ set: [Int]) -> Double { set.reduce(0) { $0 + (harm[$1] ?? 0) } }
      return sets.sorted { expected($0) < expected($1) }
    }

    /// As far down the path of cheaper settings as the budget bears.
    mutating func cheapenTogether() throws(Failure) {
      let path = self.path()
      var (low, high) = (0, path.count - 1)
      while low < high {
        let middle = (low + high + 1) / 2
        if try isKeptSafely(path[middle]) { low = middle } else { high = middle - 1 }
      }
      if !path.isEmpty { chosen = path[low] }
    }

    /// Settings of all chosen blocks, each cheaper than the one before by one step of one block: the step that saves most
    /// for the harm expected of it.
    private func path() -> [[Int: Int]] {
      var path = [chosen]
      var now = chosen
      while true {
        var best: (index: Int, place: Int, rate: Double)?
        for (index, place) in now.sorted(by: { $0.key < $1.key }) {
          guard let ladder = ladders[index], let last = ladder.last else { continue }
          let scale = (harm[index] ?? 0) / max(last.error, .leastNormalMagnitude)
          for next in stride(from: place - 1, through: 0, by: -1) {
            let saved = Double(ladder[place].macs - ladder[next].macs)
            let rate = saved / max(scale * (ladder[next].error - ladder[place].error), .leastNormalMagnitude)
            if rate > best?.rate ?? 0 { best = (index, next, rate) }
          }
        }
        guard let best else { return path }
        now[best.index] = best.place
        path.append(now)
      }
    }

    /// Each block in turn, that with most to save first, goes down one more step where the budget bears it.
    mutating func cheapenOneByOne() throws(Failure) {
      func saving(_ index: Int) -> Int { (ladders[index] ?? []).first.map { macs(index) - $0.macs } ?? 0 }
      for index in chosen.keys.sorted(by: { (saving($0), $1) > (saving($1), $0) }) {
        guard let place = chosen[index], place > 0 else { continue }
        var cheaper = chosen
        cheaper[index] = place - 1
        if try isKeptSafely(cheaper) { chosen = cheaper }
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

    /// A smooth measure of what a rewrite does: shares of samples are too coarse to rank single blocks by.
    private mutating func harm(of places: [Int: Int]) throws(Failure) -> Double {
      let value = try value(places)
      let comparison = measured[key(choices(places))]?.comparison
      return comparison?.kl ?? comparison?.nmse ?? value
    }

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
