internal import Diagnostics
internal import GraphIR
internal import Tensors

extension KerasBuilder {
  /// Models in models in models, as no one nests them.
  private static let depthLimit = 32

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
    try build(model, path: path, inputs: nil)
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
      let attributes = path.attributes.flatMap { base in
        ["layers", "_layer_checkpoint_dependencies"].map { base.isEmpty ? "\($0)/\(own)" : "\(base)/\($0)/\(own)" }
      }
      result[layer.name] =
        isOutermost
        ? LayerPath(name: layer.name, group: layer.name, inner: [], attributes: attributes)
        : LayerPath(name: "\(path.name)/\(layer.name)", group: path.group, inner: path.inner + [layer.name], attributes: attributes)
    }
    return result
  }

  private mutating func build(_ model: KerasModel, path: LayerPath, inputs: [ValueID]?) throws(Failure) -> [(name: String, value: ValueID)] {
    guard depth < KerasBuilder.depthLimit else {
      throw Failure(.limitExceeded, "models nested deeper than \(KerasBuilder.depthLimit)", at: .element(model.name))
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

/// Puts the calls of a functional model in order and finds what each is called with.
struct FunctionalWalk {
  struct Step {
    var layer: Int
    var call: Int
  }
  let model: KerasModel
  let version: Int
  private let index: [String: Int]
  private(set) var order: [Step] = []
  /// Results of each call, by layer.
  var results: [String: [[ValueID]?]] = [:]

  init(model: KerasModel, version: Int) {
    self.model = model
    self.version = version
    index = Dictionary(model.layers.enumerated().map { ($1.name, $0) }) { first, _ in first }
  }

  func layer(named name: String) -> KerasLayer? { index[name].map { model.layers[$0] } }

  mutating func store(_ values: [ValueID], _ step: Step) {
    let layer = model.layers[step.layer]
    var all = results[layer.name] ?? [[ValueID]?](repeating: nil, count: layer.inbound.count)
    if step.call < all.count { all[step.call] = values }
    results[layer.name] = all
  }

  /// Which call a node number means. A model as a layer has a node of its own from being built, so that its calls count
  /// from 1: everywhere in Keras 2, and for functional models in Keras 3's list of outputs.
  private func call(_ reference: KerasModel.Reference, isOutput: Bool) throws(Failure) -> Step {
    guard let position = index[reference.layer] else {
      throw Failure(.undefinedValue, "the layer '\(reference.layer)' does not exist", at: .element(reference.layer))
    }
    let layer = model.layers[position]
    let count = max(layer.inbound.count, 1)
    var node = reference.node
    if layer.isModel, version == 2 || (isOutput && !layer.isSequential) { node = max(node - 1, 0) }
    // A layer that is called once has no other call to mean.
    if count == 1, layer.isModel { node = 0 }
    guard 0..<count ~= node else {
      throw Failure(.undefinedValue, "the layer '\(reference.layer)' has no call \(reference.node)", at: .element(reference.layer))
    }
    return Step(layer: position, call: node)
  }

  func value(_ reference: KerasModel.Reference, isOutput: Bool) throws(Failure) -> ValueID {
    let step = try call(reference, isOutput: isOutput)
    guard let all = results[reference.layer], step.call < all.count, let values = all[step.call] else {
      throw Failure(.undefinedValue, "the result of '\(reference.layer)' is not made", at: .element(reference.layer))
    }
    guard values.indices.contains(reference.tensor) else {
      throw Failure(.undefinedValue, "'\(reference.layer)' has no result \(reference.tensor)", at: .element(reference.layer))
    }
    return values[reference.tensor]
  }

  /// Depth first from each call in the order of layers, so that the order given is kept where it can be.
  mutating func sort() throws(Failure) {
    enum Mark { case new, open, done }
    var marks = model.layers.map { [Mark](repeating: .new, count: $0.inbound.count) }
    for (position, layer) in model.layers.enumerated() where layer.className != "InputLayer" {
      for call in layer.inbound.indices where marks[position][call] == .new {
        var stack: [(step: Step, references: [KerasModel.Reference], next: Int)] = []
        func references(_ step: Step) throws(Failure) -> [KerasModel.Reference] {
          var found: [KerasModel.Reference] = []
          FunctionalWalk.collect(model.layers[step.layer].inbound[step.call], into: &found)
          return found
        }
        let first = Step(layer: position, call: call)
        stack.append((first, try references(first), 0))
        marks[position][call] = .open
        while var top = stack.popLast() {
          var descended = false
          while top.next < top.references.count {
            let reference = top.references[top.next]
            top.next += 1
            let step = try self.call(reference, isOutput: false)
            let target = model.layers[step.layer]
            if target.className == "InputLayer" { continue }
            guard step.call < target.inbound.count else {
              throw Failure(.undefinedValue, "the layer '\(target.name)' is read and never called", at: .element(target.name))
            }
            if marks[step.layer][step.call] == .open {
              throw Failure(.cyclicGraph, "the layer '\(target.name)' takes its own result: the model has a cycle", at: .element(target.name))
            }
            if marks[step.layer][step.call] == .new {
              marks[step.layer][step.call] = .open
              stack.append(top)
              stack.append((step, try references(step), 0))
              descended = true
              break
            }
          }
          if !descended {
            marks[top.step.layer][top.step.call] = .done
            order.append(top.step)
          }
        }
      }
    }
  }

  // MARK: Arguments

  private static func history(_ json: JSON) -> KerasModel.Reference? {
    guard json["class_name"]?.string == "__keras_tensor__", let history = json["config"]?["keras_history"]?.array else { return nil }
    return KerasModel.reference(history)
  }

  /// Every value that an entry of `inbound_nodes` reads, in either version's spelling.
  private static func collect(_ json: JSON, into found: inout [KerasModel.Reference]) {
    if let reference = history(json) { return found.append(reference) }
    switch json {
    case .object(let entries): for key in entries.keys.sorted() { if let entry = entries[key] { collect(entry, into: &found) } }
    case .array(let entries):
      if let reference = KerasModel.reference(entries) {
        found.append(reference)
        for entry in entries.dropFirst(3) { collect(entry, into: &found) }
      } else {
        for entry in entries { collect(entry, into: &found) }
      }
    default: break
    }
  }

  func arguments(_ step: Step) throws(Failure) -> ([Argument], [String: Argument]) {
    let layer = model.layers[step.layer]
    let entry = layer.inbound[step.call]
    if entry["args"] != nil || entry["kwargs"] != nil || entry.object != nil {
      var positional: [Argument] = []
      for argument in entry["args"]?.array ?? [] { positional.append(try keras3(argument)) }
      var named: [String: Argument] = [:]
      for (name, argument) in entry["kwargs"]?.object ?? [:] { named[name] = try keras3(argument) }
      return (positional, named)
    }
    return try keras2(entry, layer)
  }

  /// Values that the call reads with the types noted beside them.
  func noted(_ step: Step) -> [(ValueID, TensorType)] {
    var result: [(ValueID, TensorType)] = []
    func collect(_ json: JSON) {
      if let reference = FunctionalWalk.history(json) {
        guard let id = try? value(reference, isOutput: false), let dims = json["config"]?["shape"]?.array, let word = json["config"]?["dtype"]?.string,
          let element = ElementType(name: word), let shape = try? KerasBuilder.shape(dims.map(\.int), reference.layer)
        else { return }
        return result.append((id, TensorType(element, shape)))
      }
      switch json {
      case .array(let entries): entries.forEach(collect)
      case .object(let entries): entries.values.forEach(collect)
      default: break
      }
    }
    collect(model.layers[step.layer].inbound[step.call])
    return result
  }

  private func keras3(_ json: JSON) throws(Failure) -> Argument {
    if let reference = FunctionalWalk.history(json) { return .tensor(try value(reference, isOutput: false)) }
    switch json {
    case .array(let entries):
      var result: [Argument] = []
      for entry in entries { result.append(try keras3(entry)) }
      return .list(result)
    case .object(let entries):
      switch json["class_name"]?.string {
      case "__slice__"?:
        let config = json["config"]
        return .slice(config?["start"]?.int, config?["stop"]?.int, config?["step"]?.int)
      case "__ellipsis__"?: return .ellipsis
      case "__numpy__"?, "__tensor__"?:
        guard let config = json["config"], let array = KerasBuilder.nested(config["value"]) else {
          throw Failure(.malformed, "a constant is no array")
        }
        let word = config["dtype"]?.string ?? "float32"
        guard let type = ElementType(name: word) else { throw Failure(.unknownElementType, "a constant is of type '\(word)'") }
        return .constant(try Tensor.filled(array.values, dims: array.dims, type))
      default:
        var result: [String: Argument] = [:]
        for (key, entry) in entries { result[key] = try keras3(entry) }
        return .dictionary(result)
      }
    default: return Argument(json)
    }
  }

  /// A list of `[layer, node, tensor, keywords]`, one for each element of the first argument; operators of TensorFlow leave
  /// the outer list out for a single one.
  private func keras2(_ json: JSON, _ layer: KerasLayer) throws(Failure) -> ([Argument], [String: Argument]) {
    guard let entries = json.array, let first = entries.first else {
      throw Failure(.malformed, "a call of '\(layer.name)' cannot be read", at: .element(layer.name))
    }
    if first.string != nil {
      let (argument, named) = try keras2Entry(entries, layer)
      return ([argument], named)
    }
    var arguments: [Argument] = []
    var named: [String: Argument] = [:]
    for entry in entries {
      guard let list = entry.array else { throw Failure(.malformed, "a call of '\(layer.name)' cannot be read", at: .element(layer.name)) }
      let (argument, own) = try keras2Entry(list, layer)
      arguments.append(argument)
      named.merge(own) { first, _ in first }
    }
    return ([arguments.count == 1 ? arguments[0] : .list(arguments)], named)
  }

  private func keras2Entry(_ entry: [JSON], _ layer: KerasLayer) throws(Failure) -> (Argument, [String: Argument]) {
    var named: [String: Argument] = [:]
    for (name, value) in (entry.count > 3 ? entry[3].object : nil) ?? [:] { named[name] = try keyword(value) }
    if entry.first?.string == "_CONSTANT_VALUE", entry.count > 2 { return (Argument(entry[2]), named) }
    guard let reference = KerasModel.reference(entry) else { throw Failure(.malformed, "a call of '\(layer.name)' cannot be read", at: .element(layer.name)) }
    return (.tensor(try value(reference, isOutput: false)), named)
  }

  private func keyword(_ json: JSON) throws(Failure) -> Argument {
    guard let entries = json.array else {
      if json["class_name"]?.string == "__ellipsis__" { return .ellipsis }
      if case .object(let all) = json {
        var result: [String: Argument] = [:]
        for (key, entry) in all { result[key] = try keyword(entry) }
        return .dictionary(result)
      }
      return Argument(json)
    }
    if let reference = KerasModel.reference(entries), entries.count == 3, index[reference.layer] != nil {
      return .tensor(try value(reference, isOutput: false))
    }
    var result: [Argument] = []
    for entry in entries { result.append(try keyword(entry)) }
    return .list(result)
  }
}
