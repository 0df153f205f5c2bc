internal import Bytes
internal import Diagnostics
internal import FormatHDF5
internal import Tensors

/// Where a layer's variables lie, in each of the ways Keras stores them.
struct LayerPath: Sendable {
  /// The layer's name with the names of the models around it: for names in the graph.
  var name: String
  /// Whole-model `.h5`: the group of the layer of the outermost model, and the names of the layers below it.
  var group: String
  var inner: [String]
  /// `.weights.h5`: alternative paths of the group that holds `vars`.
  var attributes: [String]

  /// A sub-layer: its name, and the attributes that may hold it.
  func sub(_ name: String, _ attributes: [String]) -> LayerPath {
    var result = self
    result.name += "/\(name)"
    result.inner.append(name)
    result.attributes = self.attributes.flatMap { base in attributes.map { base.isEmpty ? $0 : "\(base)/\($0)" } }
    return result
  }
}

/// The variables of a model, found by layer and name or place.
struct WeightStore {
  /// Shards, or the one file; none where a configuration stands alone.
  var files: [HDF5File]
  /// The legacy group that holds the layers (`model_weights`, or "" in a weights-only file); nil for the newer layout.
  var legacyRoot: String?
  /// The group that holds a model's layers; TensorFlow 2.13 had another word for it.
  let layerRoot: String
  private var groups: [String: [(parts: [Substring], path: String)]] = [:]

  init(files: [HDF5File], legacyRoot: String?) throws(Failure) {
    self.files = files
    self.legacyRoot = legacyRoot
    let older = "_layer_checkpoint_dependencies"
    layerRoot = files.contains { $0.isGroup(older) } ? older : "layers"
    guard let root = legacyRoot, let file = files.first else { return }
    let place = ModelLocation(file: file.source.name)
    guard let layers = try file.list("layer_names", of: root) else { throw Failure(.missingPart, "there is no attribute 'layer_names'", at: place) }
    for layer in layers + ["top_level_model_weights"] {
      let group = root.isEmpty ? layer : "\(root)/\(layer)"
      guard file.isGroup(group) else {
        if layer == "top_level_model_weights" { continue }
        throw Failure(.missingPart, "'layer_names' lists '\(layer)', and there is no such group", at: .init(file: file.source.name, element: layer))
      }
      let names = try file.list("weight_names", of: group) ?? []
      for name in names where !file.hasDataset("\(group)/\(name)") {
        throw Failure(
          .missingPart, "'weight_names' of '\(layer)' lists '\(name)', and there is no such dataset", at: .init(file: file.source.name, element: layer))
      }
      groups[layer] = names.map { name in (parts: name.split(separator: "/").map { $0.hasSuffix(":0") ? $0.dropLast(2) : $0 }, path: "\(group)/\(name)") }
    }
  }

  /// Whether there are variables below a path of the newer layout.
  func holds(_ path: String) -> Bool { files.contains { file in file.datasetPaths.contains { $0.hasPrefix(path + "/") } } }

  /// The variable of a layer: by its name in the older layout, by its place in the newer one.
  ///
  /// - Parameter hint: a word that tells the directions of a bidirectional layer apart.
  func variable(_ layer: LayerPath, _ names: [String], _ index: Int, hint: String? = nil) throws(Failure) -> Tensor {
    guard let found = try find(layer, names, index, hint: hint) else {
      throw Failure(.missingPart, "the layer's variable '\(names.first ?? String(index))' is not in the file", at: .element(layer.name))
    }
    return found
  }

  func find(_ layer: LayerPath, _ names: [String], _ index: Int, hint: String? = nil) throws(Failure) -> Tensor? {
    guard legacyRoot != nil else {
      for base in layer.attributes {
        let path = base.isEmpty ? "vars/\(index)" : "\(base)/vars/\(index)"
        for file in files where file.hasDataset(path) { return try file.tensor(path) }
      }
      return nil
    }
    guard let file = files.first, let path = try place(layer, names, hint: hint) else { return nil }
    return try file.tensor(path)
  }

  /// The two factors of a low-rank adapter beside a kernel. The newer layout has them merged into it.
  func adapter(_ layer: LayerPath, _ names: [String], hint: String?) throws(Failure) -> (Tensor, Tensor)? {
    guard legacyRoot != nil, let name = names.first, name == "kernel" || name == "embeddings", let file = files.first,
      let path = try place(layer, names, hint: hint)
    else { return nil }
    let folder = path.lastIndex(of: "/").map { path[...$0] } ?? ""
    let (a, b) = ("\(folder)lora_\(name)_a", "\(folder)lora_\(name)_b")
    for suffix in ["", ":0"] where file.hasDataset(a + suffix) && file.hasDataset(b + suffix) {
      return (try file.tensor(a + suffix), try file.tensor(b + suffix))
    }
    return nil
  }

  /// Where a variable lies in the older layout.
  private func place(_ layer: LayerPath, _ names: [String], hint: String?) throws(Failure) -> String? {
    guard let weights = groups[layer.group] else {
      throw Failure(.missingPart, "the file has no group of the layer's weights", at: .element(layer.name))
    }
    // Down to the layer by as many of the names as the writer kept: older ones leave out models, newer ones add them.
    var best: (score: Int, path: String, isNear: Bool)?
    var candidates = 0
    for weight in weights {
      guard let last = weight.parts.last, names.contains(where: { $0 == last }) else { continue }
      if let hint, !weight.parts.contains(where: { $0.hasPrefix(hint) }) { continue }
      candidates += 1
      var score = 0
      var isNear = true
      var rest = weight.parts.dropLast()
      for name in layer.inner.reversed() {
        if let place = rest.lastIndex(where: { $0 == name }) {
          score += 4
          rest = rest[..<place]
        } else {
          score -= 3
          if name == layer.inner.last { isNear = false }
        }
      }
      score -= rest.count + (weight.parts.count - rest.count)
      if best.map({ score > $0.score }) ?? true { best = (score, weight.path, isNear) }
    }
    // Where even the layer's own name is left out, it must be the only one that could be meant.
    if let best, layer.inner.isEmpty || best.isNear || candidates == 1 { return best.path }
    return nil
  }

  /// Whether the names of a layer's variables hold a part that starts so; never in the newer layout, which has places.
  func mentions(_ layer: LayerPath, _ prefix: String) -> Bool {
    legacyRoot == nil || (groups[layer.group] ?? []).contains { $0.parts.contains { $0.hasPrefix(prefix) } }
  }

  /// All variables of a layer in order, for layers that are known by their constructor alone.
  func variables(_ layer: LayerPath) throws(Failure) -> [(name: String, tensor: Tensor)] {
    guard legacyRoot == nil else {
      var result: [(name: String, tensor: Tensor)] = []
      guard let file = files.first, let weights = groups[layer.group] else { return [] }
      for weight in weights where layer.inner.allSatisfy({ name in weight.parts.contains { $0 == name } }) {
        result.append((weight.parts.dropFirst().joined(separator: "/"), try file.tensor(weight.path)))
      }
      return result
    }
    var result: [(name: String, tensor: Tensor)] = []
    for base in layer.attributes {
      for file in files {
        let prefix = base + "/"
        for path in file.datasetPaths where path.hasPrefix(prefix) {
          result.append((String(path.dropFirst(prefix.count)).replacing("vars/", with: ""), try file.tensor(path)))
        }
      }
      if !result.isEmpty { break }
    }
    return result
  }
}
