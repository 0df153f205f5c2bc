internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Token mixing whose constant matrix is masked by the objects that tokens belong to (Kang et al. 2022).
enum MaskedMixing {
  static func recognize(_ id: NodeID, _ view: GraphView) -> Finding? {
    guard view.graph[id].op == .matrix(.matMul), let a = view.graph[id].input(0), let b = view.graph[id].input(1), view.isActivation(a), view.isActivation(b)
    else { return nil }
    for (matrix, x) in [(a, b), (b, a)] {
      let chain = view.trace(matrix)
      guard let (made, node) = view.producer(chain.root), node.op == .binary(.multiply), let l = node.input(0), let r = node.input(1) else { continue }
      for (table, mask) in [(l, r), (r, l)] where !view.isActivation(table) && view.isActivation(mask) {
        guard let dims = view.shape(table)?.concrete, let n = dims.last, dims.count >= 2, n > 1, dims[dims.count - 2] > 1,
          let distance = ObjectDistance(view, behind: mask)
        else { continue }
        let tokens = Dim(n)
        guard let product = view.graph[id].output(0) else { continue }
        let output = joined(product, with: x, view)
        let own = view.upstream(output, stoppingAt: [x, view.trace(x).root, distance.labels], limit: 192)
        let nodes = own.count < 192 ? own : chain.nodes + [id, made] + distance.nodes
        var block = AttentionBlock(
          family: .tokenMixing, mechanism: "oamixer", queryTokens: tokens, keyTokens: tokens, input: view.original(of: x),
          output: view.original(of: output), anchor: view.original(of: id) ?? id,
          weights: view.original(of: table).map { [BlockWeight(role: "mix", value: $0)] } ?? [], nodes: view.originals(of: nodes),
          parameters: view.constantElements(nodes), cost: view.cost(nodes.filter { view.graph[$0].op.isProduct }))
        block.formulas = [BlockFormula(view, sources: [x, view.trace(x).root, distance.labels], output: output)]
        return .block(block)
      }
    }
    return nil
  }

  /// A mixer masks the linear part of its token MLP alone: the sum with what is left, which is made from the same tokens.
  private static func joined(_ product: ValueID, with x: ValueID, _ view: GraphView) -> ValueID {
    let root = view.trace(x).root
    var value = product
    var result = product
    for _ in 0..<12 {
      guard let id = view.uses.onlyReader(of: value), let next = view.graph[id].output(0) else { break }
      let node = view.graph[id]
      switch node.op {
      case .layout, .cast: break
      case .binary(.add), .binary(.subtract):
        guard let other = node.input(0) == value ? node.input(1) : node.input(0) else { return result }
        if view.isActivation(other) {
          guard view.trace(other).root != root, view.closed(between: [x, root], and: other, limit: 48) != nil else { return result }
        }
        result = next
      default: return result
      }
      value = next
    }
    return result
  }
}
