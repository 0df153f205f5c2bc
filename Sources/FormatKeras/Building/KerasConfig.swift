internal import Diagnostics

/// One layer as a model's configuration tells it.
struct KerasLayer {
  var className: String
  var module: String
  var name: String
  var config: JSON
  /// One entry for each call.
  var inbound: [JSON]
  var buildConfig: JSON?

  /// An operation of `keras.ops` in the graph: no layer, without weights or a place in the store. Legacy files lose the
  /// module; what tells them then is that layers always carry `dtype` or `trainable`.
  var isOperation: Bool {
    if !module.isEmpty { return module.hasPrefix("keras.src.ops") || module.hasPrefix("keras.ops") }
    return config["dtype"] == nil && config["trainable"] == nil && config["layers"] == nil && config["batch_input_shape"] == nil
      && config["batch_shape"] == nil && className != "TFOpLambda" && className != "SlicingOpLambda"
  }

  init(_ json: JSON, isNested: Bool = true) throws(Failure) {
    guard let className = json["class_name"]?.string else { throw Failure(.malformed, "a layer's configuration has no class_name") }
    guard let config = json["config"], config.object != nil else { throw Failure(.malformed, "a layer of class \(className) has no configuration") }
    // Registered classes of legacy files bear their package: `zoo>Patches`.
    self.className = className.split(separator: ">").last.map(String.init) ?? className
    module = json["module"]?.string ?? ""
    self.config = config
    name = json["name"]?.string ?? config["name"]?.string ?? className
    inbound = json["inbound_nodes"]?.array ?? []
    buildConfig = json["build_config"]
    guard !name.isEmpty, !name.contains("\0") else { throw Failure(.malformed, "a layer of class \(className) has no name") }
  }

  var isModel: Bool { config["layers"]?.array != nil && className != "Bidirectional" }
  var isSequential: Bool { isModel && config["input_layers"] == nil && config["output_layers"] == nil }

  /// Keras's snake case of a class: `MultiHeadAttention` is `multi_head_attention`.
  static func snakeCase(_ name: String) -> String {
    let characters = Array(name.filter { $0.isLetter || $0.isNumber || $0 == "_" })
    // (.)([A-Z][a-z]+) becomes \1_\2, from left to right without overlaps.
    var first: [Character] = []
    var index = 0
    while index < characters.count {
      if index + 2 < characters.count, characters[index + 1].isUppercase, characters[index + 2].isLowercase {
        first.append(contentsOf: [characters[index], "_", characters[index + 1]])
        index += 2
        while index < characters.count, characters[index].isLowercase {
          first.append(characters[index])
          index += 1
        }
      } else {
        first.append(characters[index])
        index += 1
      }
    }
    // ([a-z])([A-Z]) becomes \1_\2.
    var result = ""
    for (index, character) in first.enumerated() {
      result.append(contentsOf: character.lowercased())
      if character.isLowercase, index + 1 < first.count, first[index + 1].isUppercase { result.append("_") }
    }
    return result
  }

  /// The class under which Keras stores it, where that is not the exported one.
  var storedClass: String {
    switch className {
    case "GroupQueryAttention": "GroupedQueryAttention"
    case "Model": "Functional"
    default: className
    }
  }
}

/// A model's configuration: layers, and which values go in and come out.
struct KerasModel {
  struct Reference: Hashable {
    var layer: String
    var node: Int
    var tensor: Int
  }

  var className: String
  var name: String
  var layers: [KerasLayer]
  var inputs: [Reference]
  /// In the order in which Keras flattens them; the key where outputs are a dictionary.
  var outputs: [(key: String?, reference: Reference)]
  var isSequential: Bool
  var buildShape: [Int?]?

  init(className: String, config: JSON) throws(Failure) {
    self.className = className
    name = config["name"]?.string ?? "model"
    guard let all = config["layers"]?.array else { throw Failure(.missingPart, "the configuration of '\(name)' has no layers", at: .element(name)) }
    layers = []
    var names: Set<String> = []
    for json in all {
      let layer = try KerasLayer(json)
      guard names.insert(layer.name).inserted else { throw Failure(.duplicateName, "two layers are called '\(layer.name)'", at: .element(layer.name)) }
      layers.append(layer)
    }
    isSequential = config["input_layers"] == nil && config["output_layers"] == nil
    inputs = []
    outputs = []
    if let shape = config["build_input_shape"]?.array { buildShape = shape.map(\.int) }
    if !isSequential {
      inputs = try KerasModel.references(config["input_layers"]).map(\.reference)
      outputs = try KerasModel.references(config["output_layers"])
    }
  }

  /// A list of triples, a single triple, or a dictionary of either, flattened in the order of keys.
  private static func references(_ json: JSON?, key: String? = nil) throws(Failure) -> [(key: String?, reference: Reference)] {
    guard let json else { return [] }
    if let entries = json.object {
      var result: [(key: String?, reference: Reference)] = []
      for name in entries.keys.sorted() { result += try references(entries[name], key: name) }
      return result
    }
    guard let list = json.array else { throw Failure(.malformed, "the model's inputs or outputs are no list") }
    if let reference = reference(list) { return [(key, reference)] }
    var result: [(key: String?, reference: Reference)] = []
    for entry in list { result += try references(entry, key: key) }
    return result
  }

  /// `[layer, node, tensor]`, as in Keras 2's keyword arguments and in both versions' outputs.
  static func reference(_ list: [JSON]) -> Reference? {
    guard list.count >= 3, let layer = list[0].string, layer != "_CONSTANT_VALUE", let node = list[1].int, let tensor = list[2].int else { return nil }
    return Reference(layer: layer, node: node, tensor: tensor)
  }
}
