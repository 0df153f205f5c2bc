internal import Diagnostics
internal import GraphIR
internal import Tensors

extension KerasBuilder {
  /// Models in models in models, as no one nests them.
  private static let depthLimit = 32
  /// Models that call others twice at every level would double forever.
  private static let unfoldingLimit = 1 << 9

  /// A model called as a layer: its graph, once more for each call, with the same weights.
  mutating func model(_ call: LayerCall) throws(Failure) -> [ValueID] {
    let model = try KerasModel(className: call.layer.className, config: call.config)
    let arguments = try tensors(call.argument(0, "inputs"), call)
    var inputs: [ValueID] = []
    for argument in arguments { inputs.append(try value(argument, call)) }
    return try build(model, path: call.path, inputs: inputs).map(\.value)
  }

  /// The whole model: its inputs become the graph's.
  mutating func build(outermost model: KerasModel, path: LayerPath) throws(Failure) -> [(name: String, value: ValueID)] {
    if store.legacyRoot == nil, model.layers.contains(where: \.isModel) {
      var found: [String: [String]] = [:]
      try notePlaces(model, path, &found)
      places = found
    }
    return try build(model, path: path, inputs: nil)
  }

  /// Paths of the model's layers: by name and by place among layers of their class.
  private func paths(_ model: KerasModel, _ path: LayerPath, isOutermost: Bool) -> [String: LayerPath] {
    var counts: [String: Int] = [:]
    var result: [String: LayerPath] = [:]
    for layer in model.layers where !layer.isOperation {
      let word = KerasLayer.snakeCase(layer.storedClass)
      let count = counts[word, default: 0]
      counts[word] = count + 1
      let own = count == 0 ? word : "\(word)_\(count)"
      var attributes = path.attributes.map { base in base.isEmpty ? "\(store.layerRoot)/\(own)" : "\(base)/\(store.layerRoot)/\(own)" }
      // An object that the model holds twice is stored at the first place alone.
      if let others = places[KerasBuilder.key(layer)], (2...64).contains(others.count), !attributes.contains(where: { store.holds($0) }) {
        attributes += others.filter { store.holds($0) }
      }
      result[layer.name] =
        isOutermost
        ? LayerPath(name: layer.name, group: layer.name, inner: [], attributes: attributes)
        : LayerPath(name: "\(path.name)/\(layer.name)", group: path.group, inner: path.inner + [layer.name], attributes: attributes)
    }
    return result
  }

  private static func key(_ layer: KerasLayer) -> String { "\(layer.className)/\(layer.name)" }

  /// Notes where each layer of the model, and of the models in it, would be stored.
  private func notePlaces(_ model: KerasModel, _ path: LayerPath, depth: Int = 0, _ found: inout [String: [String]]) throws(Failure) {
    guard depth < KerasBuilder.depthLimit else { return }
    let paths = paths(model, path, isOutermost: depth == 0)
    for layer in model.layers {
      guard let place = paths[layer.name] else { continue }
      found[KerasBuilder.key(layer), default: []] += place.attributes
      if layer.isModel { try notePlaces(try KerasModel(className: layer.className, config: layer.config), place, depth: depth + 1, &found) }
    }
  }

  private mutating func build(_ model: KerasModel, path: LayerPath, inputs: [ValueID]?) throws(Failure) -> [(name: String, value: ValueID)] {
    guard depth < KerasBuilder.depthLimit else {
      throw Failure(.limitExceeded, "models nested deeper than \(KerasBuilder.depthLimit)", at: .element(model.name))
    }
    unfoldings += 1
    guard unfoldings <= KerasBuilder.unfoldingLimit else {
      throw Failure(.limitExceeded, "the model calls models in it more than \(KerasBuilder.unfoldingLimit) times", at: .element(model.name))
    }
    depth += 1
    defer { depth -= 1 }
    let paths = paths(model, path, isOutermost: inputs == nil)
    func place(_ layer: KerasLayer) -> LayerPath {
      paths[layer.name] ?? LayerPath(name: inputs == nil ? layer.name : "\(path.name)/\(layer.name)", group: layer.name, inner: [], attributes: [])
    }
    if model.isSequential { return try sequence(model, inputs: inputs, place) }

    var walk = FunctionalWalk(model: model, version: version)
    var order = 0
    // Inputs in the order of the model's list; any InputLayer that it leaves out is one all the same.
    var open = model.inputs.map(\.layer)
    for layer in model.layers where layer.className == "InputLayer" && !open.contains(layer.name) { open.append(layer.name) }
    for name in open {
      guard let layer = walk.layer(named: name), layer.className == "InputLayer" else {
        throw Failure(.undefinedValue, "the input layer '\(name)' does not exist", at: .element(name))
      }
      if let inputs {
        guard order < inputs.count else {
          throw Failure(.operandCount, "the model '\(model.name)' is called with \(inputs.count) inputs", at: .element(path.name))
        }
        walk.results[name] = [[inputs[order]]]
      } else {
        walk.results[name] = [[e.input(name, try inputType(layer))]]
      }
      order += 1
    }
    try walk.sort()
    for step in walk.order {
      let layer = model.layers[step.layer]
      var call = LayerCall(layer: layer, path: place(layer), positional: [], named: [:])
      (call.positional, call.named) = try walk.arguments(step)
      // Keras 3 notes the types of values beside each reference.
      for (id, type) in walk.noted(step) where !e.isKnown(id) { e.declare(id, type) }
      do throws(Failure) {
        let values = try self.call(call)
        walk.store(values, step)
      } catch {
        throw error.located(element: call.path.name)
      }
    }
    var result: [(name: String, value: ValueID)] = []
    var names: [String: Int] = [:]
    let references = model.outputs
    for (key, reference) in references {
      let value = try walk.value(reference, isOutput: true)
      var name = key ?? reference.layer
      let count = names[name, default: 0]
      names[name] = count + 1
      if count > 0 { name += "_\(count)" }
      result.append((name, value))
    }
    guard !result.isEmpty else { throw Failure(.missingPart, "the model '\(model.name)' has no outputs", at: .element(model.name)) }
    return result
  }

  /// The type that an InputLayer, or a layer with a batch shape, gives.
  private func inputType(_ layer: KerasLayer) throws(Failure) -> TensorType {
    guard let shape = (layer.config["batch_shape"] ?? layer.config["batch_input_shape"])?.array else {
      throw Failure(.missingPart, "the input '\(layer.name)' tells no shape", at: .element(layer.name))
    }
    return TensorType(try elementType(layer), try KerasBuilder.shape(shape.map(\.int), layer.name))
  }

  private func elementType(_ layer: KerasLayer) throws(Failure) -> ElementType {
    guard let word = layer.config["dtype"]?.string else { return policy(layer.config).compute }
    guard let type = ElementType(name: word) else { throw Failure(.unknownElementType, "the input is of type '\(word)'", at: .element(layer.name)) }
    return type
  }

  static func shape(_ dims: [Int?], _ name: String) throws(Failure) -> Shape {
    var result: [Dim] = []
    for (axis, dim) in dims.enumerated() {
      if let dim {
        guard dim >= 0 else { throw Failure(.badAttribute, "the shape of '\(name)' holds \(dim)", at: .element(name)) }
        result.append(Dim(dim))
      } else {
        result.append(Dim(symbol: axis == 0 ? "batch" : "\(name).\(axis)"))
      }
    }
    return Shape(result)
  }

  /// A chain of layers.
  private mutating func sequence(
    _ model: KerasModel, inputs: [ValueID]?, _ place: (KerasLayer) -> LayerPath
  ) throws(Failure) -> [(name: String, value: ValueID)] {
    var current: ValueID?
    if let inputs {
      guard inputs.count == 1 else { throw Failure(.operandCount, "the model '\(model.name)' is called with \(inputs.count) inputs", at: .element(model.name)) }
      current = inputs[0]
    }
    var last = model.name
    for layer in model.layers {
      if layer.className == "InputLayer" {
        if current == nil { current = e.input(layer.name, try inputType(layer)) }
        continue
      }
      if current == nil {
        if layer.config["batch_input_shape"] != nil || layer.config["batch_shape"] != nil {
          current = e.input("\(layer.name)_input", try inputType(layer))
        } else if let shape = model.buildShape ?? layer.buildConfig?["input_shape"]?.array?.map(\.int) {
          let compute = layer.className == "Embedding" ? ElementType.int32 : policy(layer.config).compute
          current = e.input("input", TensorType(compute, try KerasBuilder.shape(shape, "input")))
        } else {
          throw Failure(
            .missingPart, "the model '\(model.name)' does not tell the shape of its input", at: .element(model.name),
            advice: "build the model before it is saved")
        }
      }
      guard let value = current else { break }
      let call = LayerCall(layer: layer, path: place(layer), positional: [.tensor(value)], named: [:])
      do throws(Failure) {
        let results = try self.call(call)
        guard let first = results.first else { throw call.wrong("it gives nothing") }
        current = first
      } catch {
        throw error.located(element: call.path.name)
      }
      last = layer.name
    }
    guard let current else { throw Failure(.missingPart, "the model '\(model.name)' has no layers", at: .element(model.name)) }
    return [(last, current)]
  }
}
