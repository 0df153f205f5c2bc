internal import GraphIR
internal import Inference
internal import Tensors

/// Attention operators that canonicalization could not spell out: certainly attention, but not plain.
enum FusedAttention {
  static func recognize(_ id: NodeID, _ view: GraphView) -> Finding? {
    let node = view.graph[id]
    guard case .attention(let op) = node.op, let at = view.original(of: id) else { return nil }
    let miss: (AttentionFamily, String)
    switch op {
    case .standard(let form):
      if form.queryHeads != form.keyHeads || headsDiffer(node, view) {
        miss = (.gqa, "queries have more heads than keys")
      } else if form.softcap != 0 {
        miss = (.selfAttention, "scores are capped by a tanh")
      } else if form.leftWindow != nil || form.rightWindow != nil {
        miss = (.window, "queries see the keys of a window")
      } else if node.input(4) != nil || node.input(5) != nil {
        miss = (.causal, "keys and values of earlier calls are handed in")
      } else {
        miss = (.selfAttention, "the operator's mask or results have no plain form")
      }
    case .packedProjection, .multiHead:
      miss = (.selfAttention, "the operator's mask, cache or results have no plain form")
    }
    return .nearMiss(NearMiss(at: at, lookedLike: miss.0, reason: miss.1))
  }

  private static func headsDiffer(_ node: Node, _ view: GraphView) -> Bool {
    guard let query = node.input(0), let key = node.input(1), let q = view.shape(query), let k = view.shape(key), q.rank == 4, k.rank == 4 else { return false }
    return q[1] != k[1]
  }
}
