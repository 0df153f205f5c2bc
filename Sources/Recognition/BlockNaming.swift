internal import GraphIR

/// Names blocks after the module they came from.
enum BlockNaming {
  static func name(_ blocks: inout [AttentionBlock], _ view: GraphView) {
    var taken = Set<String>()
    for index in blocks.indices {
      let candidates = [modulePath(blocks[index], view), notedPath(blocks[index], view), weightPath(blocks[index], view)]
      blocks[index].name = candidates.compactMap { $0 }.first { !$0.isEmpty && !taken.contains($0) } ?? "attention_\(index)"
      taken.insert(blocks[index].name)
    }
  }

  /// From node names such as `/blocks/blocks.0/attn/Softmax`: the module that computes the attention map.
  private static func modulePath(_ block: AttentionBlock, _ view: GraphView) -> String? {
    let parts = view.original[anchor(block)].name.split(separator: "/").dropLast()
    return parts.isEmpty ? nil : joined(parts.map(String.init))
  }

  /// From the scopes that PyTorch's exporter notes beside each node, `['', 'blocks', 'blocks.0', 'blocks.0.attn', 'softmax']`:
  /// the last but one, the module that calls the function.
  private static func notedPath(_ block: AttentionBlock, _ view: GraphView) -> String? {
    guard let record = view.original[anchor(block)].record, let noted = view.original.source?.metadata(ofRecord: record)["pkg.torch.onnx.name_scopes"] else {
      return nil
    }
    let scopes = noted.split(separator: "'", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
    return scopes.count >= 2 ? String(scopes[scopes.count - 2]) : nil
  }

  /// The node that makes the attention map.
  private static func anchor(_ block: AttentionBlock) -> NodeID {
    switch block.core {
    case .softmax(let id, _, _, _), .fused(let id): id
    }
  }

  /// `blocks`, `blocks.0`, `attn` is `blocks.0.attn`: a container is repeated in the name of what it contains.
  private static func joined(_ parts: [String]) -> String {
    var kept: [String] = []
    for part in parts {
      if let last = kept.last, part.hasPrefix(last + ".") { kept.removeLast() }
      kept.append(part)
    }
    return kept.joined(separator: ".")
  }

  /// From names of the projections' weights and biases: what `blocks.0.attn.qkv.bias` and `blocks.0.attn.proj.bias` share.
  private static func weightPath(_ block: AttentionBlock, _ view: GraphView) -> String? {
    var modules: [[Substring]] = []
    for projection in [block.query, block.key, block.value, block.outputProjection].compactMap({ $0 }) {
      let names = [projection.weight.value, projection.bias?.value].compactMap { $0 }.filter { $0.index < view.original.values.count }.map {
        view.original[$0].name
      }
      for name in names {
        let parts = name.split(separator: ".")
        if parts.count >= 2, !name.contains("/"), !name.contains(":") { modules.append(Array(parts.dropLast())) }
      }
    }
    guard let first = modules.first else { return nil }
    var common = first
    for module in modules.dropFirst() { common = Array(zip(common, module).prefix { $0 == $1 }.map(\.0)) }
    // All names of one projection: its module is a part of the attention's.
    while let last = common.last, projectionNames.contains(String(last)) { common.removeLast() }
    return common.isEmpty ? nil : common.joined(separator: ".")
  }

  private static let projectionNames: Set<String> = [
    "qkv", "q", "k", "v", "proj", "query", "key", "value", "q_proj", "k_proj", "v_proj", "out_proj", "in_proj", "to_qkv",
    "to_out", "dense", "output",
  ]
}
