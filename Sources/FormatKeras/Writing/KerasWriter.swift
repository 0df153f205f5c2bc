internal import Bytes
public import Diagnostics
internal import FormatHDF5
internal import Glibc
internal import GraphIR
public import Inference
public import Recognition
internal import Tensors
internal import Zip

/// Writes graphs as models of Keras 3.
///
/// A graph of operators is raised to layers first (`LayerRaising`): what Keras has no layer for becomes an operation of
/// `keras.ops`, and what it has neither for is refused by the node's name. No Python code is ever written, so that models
/// load in Keras's safe mode.
public enum KerasWriter {
  public enum Container: Sendable {
    /// The `.keras` archive: configuration and weights.
    case archive
    /// One HDF5 file, which Keras reads back for models of layers alone.
    case wholeModel
  }

  /// The Keras whose classes and configurations are written.
  static let kerasVersion = "3.15.1"

  /// - Parameters:
  ///   - typed: the canonical graph.
  ///   - blocks: attention found in it.
  /// - Throws: `notExpressible` for what Keras has no layer or operation for; nothing is written then.
  public static func write(
    _ typed: TypedGraph, blocks: [AttentionBlock] = [], to path: String, as container: Container
  ) throws(Failure) {
    let protecting = files(of: typed)
    var raising = LayerRaising(typed, blocks: blocks, layersOnly: container == .wholeModel)
    let model = try raising.raise().inKerasOrder()
    switch container {
    case .archive:
      try writeArchive(model, to: path, protecting: protecting)
    case .wholeModel:
      try AtomicOutput.write(to: path, protecting: protecting) { (temporary) throws(Failure) in
        try HDF5Writer.write(to: temporary) { (file) throws(Failure) in try writeWholeModel(model, file) }
      }
    }
  }

  /// The files that weights are still read from.
  private static func files(of typed: TypedGraph) -> [String] {
    var names: Set<String> = []
    for value in typed.graph.values.handles {
      if case .mapped(let source, _)? = typed.graph.constant(value)?.storage { names.insert(source.name) }
    }
    return names.sorted()
  }

  // MARK: The archive

  private static func writeArchive(_ model: ModelDraft, to path: String, protecting inputs: [String]) throws(Failure) {
    let config: JSON = .object([
      "module": .string("keras.src.models.functional"), "class_name": .string("Functional"), "config": try model.config(),
      "registered_name": .string("Functional"), "build_config": .object(["input_shape": .null]), "compile_config": .object([:]),
    ])
    let metadata: JSON = .object(["keras_version": .string(kerasVersion)])
    let temporary = "\(path).\(getpid()).weights"
    defer { AtomicOutput.remove(temporary) }
    try HDF5Writer.write(to: temporary) { (file) throws(Failure) in try writeWeights(model, file) }
    try ZipWriter.write(to: path, protecting: inputs) { (archive) throws(Failure) in
      try archive.add("metadata.json", Array(metadata.text.utf8))
      try archive.add("config.json", Array(config.text.utf8))
      try archive.add("model.weights.h5", file: temporary)
    }
  }

  /// `layers/<class in snake case>[_n]/…/vars/<i>`, numbered in the order of layers; operations do not count.
  private static func writeWeights(_ model: ModelDraft, _ file: borrowing HDF5Writer) throws(Failure) {
    var counts: [String: Int] = [:]
    for layer in model.layers where !layer.isOperation {
      let stem = KerasLayer.snakeCase(layer.className == "GroupQueryAttention" ? "GroupedQueryAttention" : layer.className)
      let number = counts[stem, default: 0]
      counts[stem] = number + 1
      let base = "layers/" + (number == 0 ? stem : "\(stem)_\(number)")
      for group in layer.groups {
        let vars = (group.attribute.isEmpty ? base : "\(base)/\(group.attribute)") + "/vars"
        try file.group(vars)
        try file.attribute("name", group.owner.isEmpty ? layer.name : group.owner, of: vars)
        for (index, variable) in group.variables.enumerated() { try file.dataset("\(vars)/\(index)", try variable.make()) }
      }
    }
    try file.group("vars")
    try file.attribute("name", model.name, of: "vars")
  }

  // MARK: One HDF5 file

  private static func writeWholeModel(_ model: ModelDraft, _ file: borrowing HDF5Writer) throws(Failure) {
    let config: JSON = .object([
      "module": .string("keras.src.models.functional"), "class_name": .string("Functional"), "config": try model.config(),
      "registered_name": .string("Functional"),
    ])
    try file.attribute("model_config", config.text)
    try file.attribute("keras_version", kerasVersion)
    try file.attribute("backend", "tensorflow")
    let root = "model_weights"
    try file.group(root)
    try file.attribute("keras_version", kerasVersion, of: root)
    try file.attribute("backend", "tensorflow", of: root)
    try file.attribute("layer_names", model.layers.map(\.name), of: root)
    for layer in model.layers {
      let group = "\(root)/\(layer.name)"
      try file.group(group)
      var names: [String] = []
      for part in layer.groups {
        for variable in part.variables {
          let name = ([layer.name, part.owner, variable.name].filter { !$0.isEmpty }).joined(separator: "/")
          try file.dataset("\(group)/\(name)", try variable.make())
          names.append(name)
        }
      }
      try file.attribute("weight_names", names, of: group)
    }
    try file.group("\(root)/top_level_model_weights")
    try file.attribute("weight_names", [], of: "\(root)/top_level_model_weights")
  }
}
