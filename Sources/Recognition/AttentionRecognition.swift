public import GraphIR
public import Inference

/// Finds attention in a canonical graph by the role that each axis plays, not by operator paths.
public enum AttentionRecognition {
  /// A recognizer is asked at every node; the first that has an answer wins. A new one goes into the list below.
  typealias Recognizer = @Sendable (NodeID, GraphView) -> Finding?

  static let recognizers: [Recognizer] = [
    ConvertedContext.recognize, SoftmaxAttention.recognize, FusedAttention.recognize, ThresholdedProducts.recognize, MaskedMixing.recognize,
    KernelMap.recognize,
    LinearAttention.recognize, UnnormalizedScores.recognize,
    Gates.recognize, ContextProducts.recognize, Mixing.recognize,
  ]

  /// - Parameters:
  ///   - canonical: what `Canonicalizer` made of the original.
  ///   - original: the graph as it was read, or as rewrites left it; blocks speak of its nodes and values.
  public static func recognize(_ canonical: TypedGraph, original: Graph) -> Recognized {
    let view = GraphView(canonical, original: original)
    var result = Recognized()
    // What near misses already speak of.
    var explained = Set<NodeID>()
    for (id, _) in canonical.graph.liveNodes {
      for recognizer in recognizers {
        guard let finding = recognizer(id, view) else { continue }
        switch finding {
        case .block(let block): result.blocks.append(block)
        case .nearMiss(let miss):
          result.nearMisses.append(miss)
          explained.formUnion(view.originals(of: SoftmaxAttention.nodes(around: id, view)))
        }
        break
      }
    }
    (result.blocks, result.sharedModules) = SharedModules.settled(BlockResolution.resolved(result.blocks, view), view)
    let covered = Set(result.blocks.flatMap(\.nodes))
    result.nearMisses.removeAll { covered.contains($0.at) }
    result.nearMisses += Unexplained.nearMisses(view, covered: covered, named: explained.union(result.nearMisses.map(\.at)))
    result.nearMisses.sort { $0.at < $1.at }
    BlockNaming.name(&result.blocks, view)
    result.geometry = PatchEmbedding.geometry(view)
    result.architecture = ArchitectureFacts(view, result)
    return result
  }
}

/// What a recognizer found at a node.
enum Finding {
  case block(AttentionBlock)
  case nearMiss(NearMiss)
}
