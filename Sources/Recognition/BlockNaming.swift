internal import GraphIR

/// Names blocks after the module they came from.
enum BlockNaming {
  static func name(_ blocks: inout [AttentionBlock], _ view: GraphView) {
    var taken = Set<String>()
    for index in blocks.indices {
      let candidates = [modulePath(blocks[index], view), notedPath(blocks[index], view), weightPath(blocks[index], view)]
      blocks[index].name = candidates.compactMap { $0 }.first { !$0.isEmpty && !taken.contains($0) } ?? "attention_\(index)"
      let name = blocks[index].name
      blocks[index].projected?.name = name
      taken.insert(name)
    }
  }

  /// From node names such as `/blocks/blocks.0/attn/Softmax`: the module that computes the attention map.
  private static func modulePath(_ block: AttentionBlock, _ view: GraphView) -> String? {
    let parts = view.original[block.anchor].name.split(separator: "/").dropLast()
    return parts.isEmpty ? nil : owner(joined(parts.map(String.init)))
  }

  /// `layers.0.attn.softmax`, where a softmax is a module of its own, is about `layers.0.attn`.
  private static func owner(_ path: String) -> String {
    let parts = path.split(separator: ".")
    guard parts.count > 1, let last = parts.last, ["softmax", "attn_drop", "attend", "gate", "act"].contains(last.lowercased()) else { return path }
    return parts.dropLast().joined(separator: ".")
  }

  /// From the scopes that PyTorch's exporter notes beside each node, `['', 'blocks', 'blocks.0', 'blocks.0.attn', 'softmax']`:
  /// the last but one, the module that calls the function.
  private static func notedPath(_ block: AttentionBlock, _ view: GraphView) -> String? {
    guard let record = view.original[block.anchor].record, let noted = view.original.source?.metadata(ofRecord: record)["pkg.torch.onnx.name_scopes"] else {
      return nil
    }
    let scopes = noted.split(separator: "'", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
    return scopes.count >= 2 ? owner(String(scopes[scopes.count - 2])) : nil
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
    var values = block.weights.map(\.value)
    if let projected = block.projected {
      values += [projected.query, projected.key, projected.value, projected.outputProjection].compactMap { $0?.bias?.value }
    }
    for value in values where value.index < view.original.values.count {
      let name = view.original[value].name
      let parts = name.split(separator: ".")
      if parts.count >= 2, !name.contains("/"), !name.contains(":") { modules.append(Array(parts.dropLast())) }
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
