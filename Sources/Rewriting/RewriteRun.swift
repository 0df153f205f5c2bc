public import Diagnostics
public import GraphIR
public import Inference
public import Recognition

/// One rewrite at one block.
public struct BlockRewrite: Sendable {
  public var index: Int
  public var rewrite: any Rewrite
  public init(_ index: Int, _ rewrite: any Rewrite) {
    self.index = index
    self.rewrite = rewrite
  }
}

/// A block after its rewrite.
public struct RewrittenBlock: Sendable {
  public var index: Int
  public var rewrite: any Rewrite
  public var fitted: any FittedRewrite
}

/// A graph with some of its blocks rewritten.
public struct RewrittenGraph: Sendable {
  public var graph: Graph
  public var blocks: [RewrittenBlock]
}

/// Rewrites blocks of one graph front to back: a block is fitted on the activations of the network as rewritten before
/// it, towards what the original computes there, so that later fits repair part of earlier errors.
///
/// Runs that begin with the same rewrites share them: a search changes one block and refits only those behind it.
public struct RewriteRun {
  public let original: TypedGraph
  public let blocks: [AttentionBlock]
  private let landmarks: PatchLandmarks
  private var fitting: Fitting
  private var done: [String: RewrittenGraph]

  /// - Parameter source: nil where there are no samples; then only rewrites that need none can be fitted.
  public init(original: TypedGraph, blocks: [AttentionBlock], source: (any ActivationSource)?) {
    self.original = original
    self.blocks = blocks
    landmarks = PatchLandmarks(original)
    fitting = Fitting(source: source, original: original.graph)
    done = ["": RewrittenGraph(graph: original.graph, blocks: [])]
  }

  /// Where a rewrite would be applied; nil for a block that is no plain attention.
  public func site(_ index: Int) -> RewriteSite? {
    blocks[index].projected.map { RewriteSite(block: $0, index: index, original: original, landmarks: landmarks) }
  }

  private func plainSite(_ index: Int) throws(Failure) -> RewriteSite {
    guard let site = site(index) else { throw Failure(.rewriteRefused, RewriteRun.refusal(blocks[index]), at: .element(blocks[index].name)) }
    return site
  }

  /// Why no rewrite takes a block of another kind.
  public static func refusal(_ block: AttentionBlock) -> String {
    if block.mechanism != "softmax" { return "its mechanism is \(block.mechanism), not softmax attention" }
    return switch block.family {
    case .channelGate, .spatialGate: "it is a \(block.family.rawValue), which no rewrite handles"
    case .tokenMixing, .convMixing: "it mixes tokens by constants (\(block.family.rawValue)), which no rewrite handles"
    case .selfAttention, .causal: "its queries, keys and values are no plain linear projections of one tensor of tokens"
    default: "it is \(block.family.rawValue) attention, not self-attention over all tokens"
    }
  }

  /// Why a rewrite does not apply to a block; nil when it does.
  public func refusal(_ choice: BlockRewrite) -> String? {
    guard let site = site(choice.index) else { return RewriteRun.refusal(blocks[choice.index]) }
    return choice.rewrite.refusal(site)
  }

  /// What a search may try at a block of the original, cheapest first.
  public mutating func candidates(_ choice: BlockRewrite) throws(Failure) -> [RewriteCandidate] {
    fitting.current = original.graph
    fitting.state = ""
    return try choice.rewrite.candidates(plainSite(choice.index), &fitting)
  }

  /// The graph with these rewrites, at most one for each block.
  ///
  /// - Throws: `rewriteRefused` where a rewrite does not apply, and what fitting and patching throw.
  public mutating func rewritten(_ choices: [BlockRewrite]) throws(Failure) -> RewrittenGraph {
    var key = ""
    var result = RewrittenGraph(graph: original.graph, blocks: [])
    for choice in choices.sorted(by: { $0.index < $1.index }) {
      let next = "\(key)\(choice.index) \(choice.rewrite.specification);"
      if let known = done[next] {
        result = known
      } else {
        guard result.blocks.last?.index != choice.index else {
          throw Failure(.rewriteRefused, "it is already rewritten", at: .element(blocks[choice.index].name))
        }
        if let reason = refusal(choice) { throw Failure(.rewriteRefused, reason, at: .element(blocks[choice.index].name)) }
        fitting.current = result.graph
        fitting.state = key
        let site = try plainSite(choice.index)
        let fitted = try choice.rewrite.fit(site, &fitting)
        result.graph = try fitted.patch(site, on: result.graph).commit()
        result.blocks.append(RewrittenBlock(index: choice.index, rewrite: choice.rewrite, fitted: fitted))
        done[next] = result
      }
      key = next
    }
    return result
  }
}
