internal import Diagnostics
internal import GraphIR
internal import Tensors

// What calls are written with in `inbound_nodes`, in either version of Keras.
extension FunctionalWalk {
  private static func history(_ json: JSON) -> KerasModel.Reference? {
    guard json["class_name"]?.string == "__keras_tensor__", let history = json["config"]?["keras_history"]?.array else { return nil }
    return KerasModel.reference(history)
  }

  /// Every value that an entry of `inbound_nodes` reads, in either version's spelling.
  static func collect(_ json: JSON, into found: inout [KerasModel.Reference]) {
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
