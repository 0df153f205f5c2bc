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
          view.reaches(mask, limit: 16, { $0.op == .unary(.exp) })
        else { continue }
        let tokens = view.labels.factors(x, .token).size ?? Dim(n)
        var block = AttentionBlock(
          family: .tokenMixing, mechanism: "oamixer", queryTokens: tokens, keyTokens: tokens, input: view.original(of: x),
          output: view.graph[id].output(0).flatMap { view.original(of: $0) }, anchor: view.original(of: id) ?? id,
          weights: view.original(of: table).map { [BlockWeight(role: "mix", value: $0)] } ?? [], nodes: view.originals(of: chain.nodes + [id, made]),
          parameters: dims.checkedProduct ?? 0, cost: view.cost([id]))
        if let output = view.graph[id].output(0) { block.formulas = [BlockFormula(view, sources: [x, mask], output: output)] }
        return .block(block)
      }
    }
    return nil
  }
}
