internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Recognition
internal import Tensors

/// Adds a bias to a block's scores before the softmax, wherever the block keeps it.
enum ScoreBiasInsertion {
  /// Why this block has no place for a bias; nil when it has.
  static func refusal(_ block: ProjectedAttention, in graph: TypedGraph) -> String? {
    switch block.core {
    case .softmax(_, let scores, _, _):
      return graph.shape(of: scores)?.rank == nil ? "the shape of its scores is not known" : nil
    case .fused(let id):
      guard case .attention(let op) = graph.graph[id].op else { return "its attention operator takes no bias" }
      if let mask = graph.graph[id].input(op.biasOperand), graph.type(of: mask)?.element == .bool { return "its operator is given a mask of truth values" }
      return nil
    }
  }

  /// - Parameter bias: (batch, 1, tokens, tokens).
  static func insert(_ bias: ValueID, site: RewriteSite, into writer: inout PatchWriter) throws(Failure) {
    let block = site.block
    switch block.core {
    case .softmax(_, let scores, _, .separate):
      writer.patch.replace(scores, with: writer.sum(scores, bias, "scores"))
    case .softmax(_, let scores, _, .merged):
      guard let tokens = block.queryTokens.value else { throw Failure(.rewriteRefused, "its number of tokens is not fixed", at: .element(block.name)) }
      let split = try writer.reshape(scores, [-1, block.heads, tokens, tokens], "scores.by_head")
      let biased = writer.sum(split, bias, "scores.biased")
      writer.patch.replace(scores, with: try writer.reshape(biased, [-1, tokens, tokens], "scores"))
    case .fused(let id):
      let node = writer.patch.base[id]
      guard case .attention(let op) = node.op else { throw Failure(.rewriteRefused, "its attention operator takes no bias", at: .element(block.name)) }
      var inputs = node.inputs
      while inputs.count <= op.biasOperand { inputs.append(nil) }
      inputs[op.biasOperand] = inputs[op.biasOperand].map { writer.sum($0, bias, "attention_bias") } ?? bias
      let results = writer.patch.addNode(node.op, inputs, results: node.outputs.count, name: "\(writer.stem)/attention", origins: writer.origins)
      for (old, new) in zip(node.outputs, results) {
        if let old { writer.patch.replace(old, with: new) }
      }
    }
  }
}

extension AttentionOp {
  /// Which operand is added to the scores.
  var biasOperand: Int {
    switch self {
    case .standard: 3
    case .packedProjection, .multiHead: 5
    }
  }
}
