internal import Diagnostics
internal import Tensors

/// A tensor between the layers of a Keras model: the result of the one call of a layer.
struct LayerTensor: Hashable, Sendable {
  var layer: String
  var index: Int
  var element: ElementType
  /// Dimensions that are no numbers are open in Keras.
  var dims: [Dim]

  /// As configurations refer to it.
  var json: JSON {
    .object([
      "class_name": .string("__keras_tensor__"),
      "config": .object([
        "shape": LayerTensor.json(dims), "dtype": .string(element.kerasName),
        "keras_history": .array([.string(layer), .integer(0), .integer(index)]),
      ]),
    ])
  }

  static func json(_ dims: [Dim]) -> JSON { .array(dims.map { $0.value.map { .integer($0) } ?? .null }) }
}

/// What a layer or an operation is called with.
indirect enum CallArgument: Sendable {
  case tensor(LayerTensor)
  case list([CallArgument])
  /// An array in the configuration itself.
  case literal(Tensor)
  case integer(Int)
  case number(Double)
  case bool(Bool)
  case slice(start: Int?, stop: Int?, step: Int?)
  case none

  /// - Throws: `notExpressible` for elements that JSON has no numbers for.
  func json() throws(Failure) -> JSON {
    switch self {
    case .tensor(let tensor): return tensor.json
    case .list(let entries):
      var result: [JSON] = []
      for entry in entries { result.append(try entry.json()) }
      return .array(result)
    case .literal(let tensor):
      return .object([
        "class_name": .string("__numpy__"),
        "config": .object(["value": try tensor.nestedJSON(), "dtype": .string(tensor.elementType.kerasName)]),
      ])
    case .integer(let value): return .integer(value)
    case .number(let value): return .number(value)
    case .bool(let value): return .bool(value)
    case .slice(let start, let stop, let step):
      func json(_ value: Int?) -> JSON { value.map { .integer($0) } ?? .null }
      return .object(["class_name": .string("__slice__"), "config": .object(["start": json(start), "stop": json(stop), "step": json(step)])])
    case .none: return .null
    }
  }
}

/// A variable of a layer, made when it is written.
struct VariableDraft: Sendable {
  /// As Keras calls it: `kernel`.
  var name: String
  var make: @Sendable () throws(Failure) -> Tensor
  init(_ name: String, _ make: @escaping @Sendable () throws(Failure) -> Tensor) {
    self.name = name
    self.make = make
  }
}

/// The variables of a layer, or of a layer inside it.
struct VariableGroup: Sendable {
  /// The attribute of the outer layer that holds the inner one, empty for the layer itself.
  var attribute = ""
  /// The inner layer's name.
  var owner = ""
  var variables: [VariableDraft]
}

/// A layer or operation with its one call.
struct LayerDraft: Sendable {
  var module = "keras.layers"
  var className: String
  var name: String
  var config: [String: JSON]
  var arguments: [CallArgument] = []
  var keywords: [String: CallArgument] = [:]
  var groups: [VariableGroup] = []

  /// Operations have no place in the store of weights, and no type policy.
  var isOperation: Bool { module != "keras.layers" }

  func json() throws(Failure) -> JSON {
    var config = config
    config["name"] = .string(name)
    var inbound: [JSON] = []
    if className != "InputLayer" {
      var args: [JSON] = []
      for argument in arguments { args.append(try argument.json()) }
      var kwargs: [String: JSON] = [:]
      for (key, argument) in keywords { kwargs[key] = try argument.json() }
      inbound = [.object(["args": .array(args), "kwargs": .object(kwargs)])]
    }
    return .object([
      "module": .string(module), "class_name": .string(className), "config": .object(config), "name": .string(name),
      "registered_name": isOperation ? .string(className) : .null, "inbound_nodes": .array(inbound),
    ])
  }
}

/// A Functional model of Keras 3, before it is written.
struct ModelDraft: Sendable {
  var name: String
  var layers: [LayerDraft] = []
  var inputs: [LayerTensor] = []
  var outputs: [LayerTensor] = []

  /// The configuration of the class Functional.
  func config() throws(Failure) -> JSON {
    var all: [JSON] = []
    for layer in layers { all.append(try layer.json()) }
    func references(_ tensors: [LayerTensor]) -> JSON {
      let list: [JSON] = tensors.map { .array([.string($0.layer), .integer(0), .integer($0.index)]) }
      return list.count == 1 ? list[0] : .array(list)
    }
    return .object([
      "name": .string(name), "trainable": .bool(true), "layers": .array(all), "input_layers": references(inputs), "output_layers": references(outputs),
    ])
  }
}

extension ElementType {
  /// Keras's and NumPy's name for it.
  var kerasName: String { name }
}

extension Tensor {
  /// Numbers in nested lists. Elements of 32 bits and fewer read back exactly.
  fileprivate func nestedJSON() throws(Failure) -> JSON {
    var flat: [JSON]
    if elementType == .bool {
      flat = elements(as: UInt8.self).map { .bool($0 != 0) }
    } else if elementType.isInteger, let values = integers() {
      flat = values.map { .integer($0) }
    } else if elementType == .float32 {
      // The shortest text of the float, which is that of no double.
      flat = elements(as: Float.self).map { $0.isFinite ? .number(Double("\($0)") ?? Double($0)) : .number(Double($0)) }
    } else if let values = doubles() {
      flat = values.map { .number($0) }
    } else {
      throw Failure(.notExpressible, "a constant of type \(elementType.name) has no place in a configuration")
    }
    for size in dims.dropFirst().reversed() {
      guard size > 0 else { throw Failure(.notExpressible, "a constant without elements has no place in a configuration") }
      flat = stride(from: 0, to: flat.count, by: size).map { .array(Array(flat[$0..<($0 + size)])) }
    }
    return dims.isEmpty ? flat[0] : .array(flat)
  }
}
