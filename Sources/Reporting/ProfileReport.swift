/// Where the time of a run goes: by step of the plan, by operator and by attention block. All times are medians over the
/// timed runs.
public struct ProfileReport: Sendable {
  public struct Step: Sendable {
    /// The first of the nodes that it computes; empty for a copy that the plan added.
    public var name: String
    /// That node's operator, or the kernel where there is no node.
    public var op: String
    public var kernel: String
    /// All nodes that it computes.
    public var nodes: [String]
    public var milliseconds: Double
    /// Multiply-adds of its products.
    public var macs: Int
    public init(name: String, op: String, kernel: String, nodes: [String], milliseconds: Double, macs: Int) {
      self.name = name
      self.op = op
      self.kernel = kernel
      self.nodes = nodes
      self.milliseconds = milliseconds
      self.macs = macs
    }
  }

  /// Steps of one kind together.
  public struct Group: Sendable {
    public var name: String
    public var count: Int
    public var milliseconds: Double
    public var macs: Int
    public init(name: String, count: Int, milliseconds: Double, macs: Int) {
      self.name = name
      self.count = count
      self.milliseconds = milliseconds
      self.macs = macs
    }
    var gigaflops: Double? { ProfileReport.gigaflops(macs, milliseconds) }
  }

  /// GFLOP/s of a large matrix product on this CPU with as many threads.
  public var peakGigaflops: Double?
  public var steps: [Step]
  public var operators: [Group]
  public var blocks: [Group]
  public init(peakGigaflops: Double?, steps: [Step], operators: [Group], blocks: [Group]) {
    self.peakGigaflops = peakGigaflops
    self.steps = steps
    self.operators = operators
    self.blocks = blocks
  }

  static func gigaflops(_ macs: Int, _ milliseconds: Double) -> Double? { macs > 0 && milliseconds > 0 ? 2e-6 * Double(macs) / milliseconds : nil }

  var json: JSONValue {
    func group(_ group: Group) -> JSONValue {
      [
        "name": .string(group.name), "count": .integer(group.count), "ms": .number(group.milliseconds), "macs": .integer(group.macs),
        "gflops": JSONValue(group.gigaflops),
      ]
    }
    return [
      "peak_gflops": JSONValue(peakGigaflops),
      "steps": .array(
        steps.map { step in
          [
            "name": .string(step.name), "operator": .string(step.op), "kernel": .string(step.kernel), "nodes": .array(step.nodes.map { .string($0) }),
            "ms": .number(step.milliseconds), "macs": .integer(step.macs), "gflops": JSONValue(ProfileReport.gigaflops(step.macs, step.milliseconds)),
          ]
        }),
      "operators": .array(operators.map(group)), "blocks": .array(blocks.map(group)),
    ]
  }

  /// Operators and blocks; in verbose mode every step, else the ten slowest.
  func text(_ style: TextStyle) -> String {
    let total = Swift.max(steps.reduce(0) { $0 + $1.milliseconds }, .leastNonzeroMagnitude)
    func speed(_ value: Double?) -> [String] {
      guard let value else { return ["", ""] }
      return [Numerals.fixed(value, 1), peakGigaflops.map { Numerals.fixed(100 * value / $0, 0) + " %" } ?? ""]
    }
    func table(_ title: String, _ groups: [Group]) -> String {
      var table = TextTable([.left(title), .right("steps"), .right("ms"), .right("share"), .right("GFLOP/s"), .right("of peak")])
      for group in groups {
        table.add(
          [group.name, String(group.count), Numerals.fixed(group.milliseconds, 3), Numerals.fixed(100 * group.milliseconds / total, 1) + " %"]
            + speed(group.gigaflops))
      }
      return table.text(style, indent: "")
    }
    var text = "\n" + (peakGigaflops.map { "peak of this CPU: \(Numerals.fixed($0, 0)) GFLOP/s\n\n" } ?? "") + table("operator", operators)
    if !blocks.isEmpty { text += "\n" + table("attention block", blocks) }
    let shown = style.verbose ? steps : Array(steps.sorted { $0.milliseconds > $1.milliseconds }.prefix(10))
    var slowest = TextTable([
      .left(style.verbose ? "step" : "slowest steps"), .left("kernel"), .right("nodes"), .right("ms"), .right("GFLOP/s"), .right("of peak"),
    ])
    for step in shown {
      slowest.add(
        [step.name.isEmpty ? "(\(step.op))" : step.name, step.kernel, String(step.nodes.count), Numerals.fixed(step.milliseconds, 3)]
          + speed(ProfileReport.gigaflops(step.macs, step.milliseconds)))
    }
    return text + "\n" + slowest.text(style, indent: "")
  }
}
