internal import Tensors

/// What a model is as a whole.
public struct ArchitectureSummary: Sendable, Hashable {
  public struct Stage: Sendable, Hashable {
    public var blocks: Int
    public var tokens: Int?
    public var width: Int?
    public init(blocks: Int, tokens: Int?, width: Int?) {
      self.blocks = blocks
      self.tokens = tokens
      self.width = width
    }
  }

  /// A guess such as `DeiT-like`; empty where nothing speaks for one.
  public var likeness: String
  public var evidence: [String]
  /// Height and width; empty where no convolution cuts the image into patches.
  public var patchSize: [Int]
  public var grid: [Int]
  public var prefixTokens: Int
  /// Prefix tokens that no output reads, where one reads others.
  public var registerTokens: Int
  public var stages: [Stage]
  /// `pre`, `post` or `none`.
  public var norm: String
  public var layerScale: Bool
  public var positionEmbedding: Bool
  public var averagedHeads: Int
  public var classes: Int?

  public init(
    likeness: String = "", evidence: [String] = [], patchSize: [Int] = [], grid: [Int] = [], prefixTokens: Int = 0, registerTokens: Int = 0,
    stages: [Stage] = [], norm: String = "none", layerScale: Bool = false, positionEmbedding: Bool = false, averagedHeads: Int = 0, classes: Int? = nil
  ) {
    self.likeness = likeness
    self.evidence = evidence
    self.patchSize = patchSize
    self.grid = grid
    self.prefixTokens = prefixTokens
    self.registerTokens = registerTokens
    self.stages = stages
    self.norm = norm
    self.layerScale = layerScale
    self.positionEmbedding = positionEmbedding
    self.averagedHeads = averagedHeads
    self.classes = classes
  }

  var json: JSONValue {
    func sizes(_ list: [Int]) -> JSONValue { .array(list.map(JSONValue.integer)) }
    return [
      "likeness": .string(likeness), "evidence": .array(evidence.map(JSONValue.string)), "patch_size": sizes(patchSize), "grid": sizes(grid),
      "prefix_tokens": .integer(prefixTokens), "register_tokens": .integer(registerTokens),
      "stages": .array(stages.map { ["blocks": .integer($0.blocks), "tokens": .init($0.tokens), "width": .init($0.width)] }), "norm": .string(norm),
      "layer_scale": .bool(layerScale), "position_embedding": .bool(positionEmbedding), "averaged_heads": .integer(averagedHeads),
      "classes": .init(classes),
    ]
  }

  func text(_ style: TextStyle) -> String? {
    guard !likeness.isEmpty else { return nil }
    var out = style.bold("architecture") + ": \(likeness)" + (evidence.isEmpty ? "" : " (\(evidence.joined(separator: ", ")))") + "\n"
    var facts: [String] = []
    if patchSize.count == 2 { facts.append("patches of \(patchSize[0]) x \(patchSize[1])") }
    if grid.count == 2 { facts.append("a grid of \(grid[0]) x \(grid[1]) with \(prefixTokens) prefix token\(prefixTokens == 1 ? "" : "s")") }
    if positionEmbedding { facts.append("positions added") }
    if norm != "none" { facts.append("\(norm)-norm") }
    if layerScale { facts.append("layer scale") }
    if let classes { facts.append("\(classes) outputs") }
    if !facts.isEmpty { out += "  " + facts.joined(separator: ", ") + "\n" }
    if stages.count > 1 {
      let parts = stages.map { "\($0.blocks) x (\($0.tokens.map { "\($0)" } ?? "?") tokens, width \($0.width.map { "\($0)" } ?? "?"))" }
      out += "  stages: " + parts.joined(separator: ", ") + "\n"
    }
    return out
  }
}

/// Windows, shifts, groups, reductions and kernels of one block.
public struct GeometrySummary: Sendable, Hashable {
  public var window: [Int]
  public var shift: [Int]
  public var groups: Int
  public var reduction: Int?
  public var kernel: [Int]
  public init(window: [Int] = [], shift: [Int] = [], groups: Int = 1, reduction: Int? = nil, kernel: [Int] = []) {
    self.window = window
    self.shift = shift
    self.groups = groups
    self.reduction = reduction
    self.kernel = kernel
  }

  var json: JSONValue {
    func sizes(_ list: [Int]) -> JSONValue { .array(list.map(JSONValue.integer)) }
    return ["window": sizes(window), "shift": sizes(shift), "groups": .integer(groups), "reduction": .init(reduction), "kernel": sizes(kernel)]
  }

  /// `7x7 shifted`, `1/4`, `k9`; nil where all is ordinary.
  var text: String? {
    func joined(_ list: [Int]) -> String { list.map(String.init).joined(separator: "x") }
    var parts: [String] = []
    if !window.isEmpty { parts.append(joined(window) + (groups > 1 ? " x \(groups)" : "")) } else if groups > 1 { parts.append("\(groups) groups") }
    if !shift.isEmpty { parts.append("shifted by \(joined(shift))") }
    if let reduction { parts.append("keys 1/\(reduction)") }
    if !kernel.isEmpty { parts.append("kernel \(joined(kernel))") }
    return parts.isEmpty ? nil : parts.joined(separator: ", ")
  }
}

/// One node as recognition sees it.
public struct NodeExplanation: Sendable, Hashable {
  public var node: String
  /// The block that it is part of.
  public var block: String?
  public var refused: String?
  /// Canonical nodes around it, one a line, its own marked.
  public var neighborhood: [String]
  public init(node: String, block: String?, refused: String?, neighborhood: [String]) {
    self.node = node
    self.block = block
    self.refused = refused
    self.neighborhood = neighborhood
  }

  var json: JSONValue {
    [
      "node": .string(node), "block": .init(block), "refused": .init(refused), "neighborhood": .array(neighborhood.map(JSONValue.string)),
    ]
  }

  func text(_ style: TextStyle) -> String {
    var out = style.bold("node") + " \(node.printable)\n"
    if let block { out += "  part of the block \(block.printable)\n" }
    if let refused { out += "  refused as \(refused)\n" }
    for line in neighborhood { out += "  \(line.printable)\n" }
    return out
  }
}
