internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Recognition
internal import Tensors

/// Raises a graph of operators to layers of Keras, node by node, results first: only what an output needs is made.
///
/// Keras's layers want channels last, and most graphs from elsewhere hold channels first. A value is therefore kept as some
/// tensor and the order of its axes, transposes only change that order, and a transposition is written where a layer needs
/// the axes in another one.
struct LayerRaising {
  let typed: TypedGraph
  let layersOnly: Bool
  private(set) var model: ModelDraft
  private var placed: [ValueID: PlacedValue] = [:]
  /// What was worked out of constants.
  var evaluated: [ValueID: Tensor] = [:]
  /// Constants repeated along axes that are open, as they were before.
  private var repeated: [ValueID: Tensor] = [:]
  private var names = FreshNames()
  private var turned: [Turn: LayerTensor] = [:]
  /// Attention blocks by the canonical value that is their result.
  var attention: [ValueID: RaisedAttention] = [:]
  /// Products whose only reader adds a vector to them: the two are one layer.
  var biased: [NodeID: ValueID] = [:]
  let uses: Uses

  private struct Turn: Hashable {
    var tensor: LayerTensor
    var order: [Int]
  }

  init(_ typed: TypedGraph, blocks: [AttentionBlock], layersOnly: Bool) {
    self.typed = typed
    self.layersOnly = layersOnly
    model = ModelDraft(name: LayerRaising.cleaned(typed.graph.name, fallback: "model"))
    uses = Uses(typed.graph)
    attention = raisedAttention(blocks)
    biased = biasedProducts()
  }

  var graph: Graph { typed.graph }

  // MARK: The whole graph

  mutating func raise() throws(Failure) -> ModelDraft {
    for (index, input) in graph.inputs.enumerated() {
      guard let type = typed.type(of: input), let shape = type.shape, shape.rank > 0 else {
        throw Failure(.notExpressible, "an input of unknown shape or without axes", at: .element(graph[input].name))
      }
      guard type.element.isOfKeras else {
        throw Failure(.notExpressible, "Keras has no elements of type \(type.element.name)", at: .element(graph[input].name))
      }
      let name = names.make(LayerRaising.cleaned(graph[input].name, fallback: "input_\(index)"))
      let tensor = LayerTensor(layer: name, index: 0, element: type.element, dims: shape.dims)
      model.layers.append(
        LayerDraft(
          className: "InputLayer", name: name, config: ["batch_shape": LayerTensor.json(shape.dims), "dtype": .string(type.element.kerasName)]))
      model.inputs.append(tensor)
      placed[input] = PlacedValue(tensor)
    }
    // The names of outputs are theirs alone.
    var outputNames: [String] = []
    for (index, output) in graph.outputs.enumerated() {
      outputNames.append(names.make(LayerRaising.cleaned(graph[output].name, fallback: "output_\(index)")))
    }
    let needed = neededNodes()
    for id in graph.order where needed[id] { try raise(id) }
    for (output, name) in zip(graph.outputs, outputNames) {
      guard placed[output] != nil || constant(output) == nil else {
        throw Failure(.notExpressible, "the output does not depend on an input", at: .element(graph[output].name))
      }
      let tensor = try plain(output)
      model.outputs.append(try layer("Activation", ["activation": .string("linear")], [.tensor(tensor)], tensor.dims, tensor.element, fixed: name))
    }
    return model
  }

  /// What the outputs depend on, blocks of attention taken as one.
  private func neededNodes() -> HandleMap<NodeTag, Bool> {
    var needed = HandleMap<NodeTag, Bool>(count: graph.nodes.count, initial: false)
    var stack = graph.outputs
    var seen = HandleMap<ValueTag, Bool>(count: graph.values.count, initial: false)
    while let value = stack.popLast() {
      guard !seen[value], constant(value) == nil, let producer = graph.producer(of: value) else { continue }
      seen[value] = true
      needed[producer] = true
      if let block = attention[value] { stack += [block.query, block.value] } else { stack += LayerRaising.operands(graph[producer]) }
    }
    return needed
  }

  /// What a node reads as tensors. Shapes, axes and bounds are known beforehand, or nothing can be written.
  private static func operands(_ node: Node) -> [ValueID] {
    switch node.op {
    case .layout(.concat): node.reads
    case .layout, .reduction, .cumulative, .indexing(.resize), .indexing(.trilu): Array(node.input(0).map { [$0] } ?? [])
    case .generator: []
    default: node.reads
    }
  }

  private mutating func raise(_ id: NodeID) throws(Failure) {
    let node = graph[id]
    if let output = node.output(0), let block = attention[output] {
      // A block whose operands are not made where its result is stays in parts.
      placed[output] = try raised(block)
      return
    }
    let results = node.outputs.compactMap { $0 }
    if results.allSatisfy({ constant($0) != nil }) || evaluates(node) || biased[id] != nil { return }
    let site = RaisingSite(id: id, node: node)
    do throws(Failure) {
      try raise(site)
    } catch {
      throw error.located(element: node.name)
    }
  }

  private mutating func raise(_ site: RaisingSite) throws(Failure) {
    switch site.node.op {
    case .unary(let op): try unary(op, site)
    case .binary(let op): try binary(op, site)
    case .select: try select(site)
    case .clip: try clip(site)
    case .cast(let target): try cast(to: target, site)
    case .matrix(let op): try matrix(op, site)
    case .convolution(let op): try convolution(op, site)
    case .pooling(let op): try pooling(op, site)
    case .normalization(let op): try normalization(op, site)
    case .softmax(let op): try softmax(op, site)
    case .reduction(let op): try reduction(op, site)
    case .layout(let op): try layout(op, site)
    case .indexing(let op): try indexing(op, site)
    case .cumulative(let op): try cumulative(op, site)
    case .generator(let op): try generator(op, site)
    case .catalogued(let op) where op.kind == .gridSample: try gridSample(op, site)
    case .catalogued(let op) where op.kind == .col2Im: try col2Im(op, site)
    case .catalogued(let op): try recurrent(op, site)
    case .selection(.topK(let axis, let largest)): try topK(axis: axis, largest: largest, site)
    case .conversion, .selection, .random, .attention, .rotary, .recurrence, .loss, .control, .call, .sequence, .foreign:
      throw refusal(site, "Keras has no layer or operation for it")
    }
  }

  func refusal(_ site: RaisingSite, _ why: String) -> Failure {
    Failure(
      .notExpressible, "\(site.node.op.name.mnemonic) cannot be written as a Keras layer: \(why)", at: .element(site.node.name),
      advice: "use .onnx, which holds every graph")
  }

  // MARK: Values

  /// The elements of a value that does not depend on an input. One that is repeated for each sample is what is repeated.
  func constant(_ value: ValueID?) -> Tensor? { value.flatMap { typed.constant($0) ?? evaluated[$0] ?? repeated[$0] } }

  mutating func setRepeated(_ value: ValueID, _ tensor: Tensor) { repeated[value] = tensor }

  func dims(_ value: ValueID) throws(Failure) -> [Dim] {
    guard let shape = typed.shape(of: value) else { throw Failure(.notExpressible, "the shape of '\(graph[value].name)' is not known") }
    return shape.dims
  }

  func element(_ value: ValueID) throws(Failure) -> ElementType {
    guard let type = typed.type(of: value) else { throw Failure(.notExpressible, "the type of '\(graph[value].name)' is not known") }
    return type.element
  }

  mutating func place(_ value: ValueID?, _ result: PlacedValue) { if let value { placed[value] = result } }
  mutating func place(_ value: ValueID?, _ result: LayerTensor) { place(value, PlacedValue(result)) }

  /// A value as it stands, in whatever order of axes.
  mutating func standing(_ value: ValueID?) throws(Failure) -> PlacedValue {
    guard let value else { throw Failure(.notExpressible, "an operand is left out") }
    if let result = placed[value] { return result }
    guard let tensor = constant(value) else { throw Failure(.internalError, "'\(graph[value].name)' was not raised") }
    let result = try standing(constant: tensor, as: try dims(value))
    placed[value] = result
    return result
  }

  /// A value with its own order of axes.
  mutating func plain(_ value: ValueID?) throws(Failure) -> LayerTensor {
    let standing = try standing(value)
    return try turned(standing, to: Array(standing.order.indices))
  }

  /// The value with its axes in the order `axes`.
  mutating func turned(_ value: PlacedValue, to axes: [Int]) throws(Failure) -> LayerTensor {
    let order = axes.map { value.order[$0] }
    if order == Array(order.indices) { return value.tensor }
    let key = Turn(tensor: value.tensor, order: order)
    if let known = turned[key] { return known }
    let dims = order.map { value.tensor.dims[$0] }
    let result: LayerTensor
    if order[0] == 0 {
      result = try layer("Permute", ["dims": .integers(Array(order.dropFirst()))], [.tensor(value.tensor)], dims, value.tensor.element)
    } else {
      result = try operation(
        "numpy", "Transpose", ["axes": .integers(order)], [.tensor(value.tensor)], dims, value.tensor.element)
    }
    turned[key] = result
    return result
  }

  // MARK: Layers

  /// Letters, digits and `_ . -`, and a letter or digit first: what every backend takes for a name.
  static func cleaned(_ name: String, fallback: String) -> String {
    var result = ""
    for scalar in name.unicodeScalars {
      let isPlain = scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil || "_.-".unicodeScalars.contains(scalar))
      if isPlain { result.unicodeScalars.append(scalar) } else if !result.isEmpty, result.last != "_" { result.append("_") }
    }
    while let first = result.first, "_.-".contains(first) { result.removeFirst() }
    while let last = result.last, "_.-".contains(last) { result.removeLast() }
    return result.isEmpty ? fallback : result
  }

  /// Appends a layer with one result; `stem` names it, else its class does.
  mutating func layer(
    _ className: String, _ config: [String: JSON], _ arguments: [CallArgument], _ dims: [Dim], _ element: ElementType, stem: String? = nil,
    fixed: String? = nil, keywords: [String: CallArgument] = [:], groups: [VariableGroup] = []
  ) throws(Failure) -> LayerTensor {
    guard element.isOfKeras else { throw Failure(.notExpressible, "Keras has no elements of type \(element.name)") }
    var config = config
    config["trainable"] = .bool(true)
    config["dtype"] = try LayerRaising.policy(element)
    let name = fixed ?? names.make(stem.map { LayerRaising.cleaned($0, fallback: KerasLayer.snakeCase(className)) } ?? KerasLayer.snakeCase(className))
    model.layers.append(LayerDraft(className: className, name: name, config: config, arguments: arguments, keywords: keywords, groups: groups))
    return LayerTensor(layer: name, index: 0, element: element, dims: dims)
  }

  /// The policy of a layer that computes in this type. Layers on integers and truth values cast nothing.
  static func policy(_ element: ElementType) throws(Failure) -> JSON {
    let name = [.float32, .float16, .bfloat16, .float64].contains(element) ? element.kerasName : "float32"
    return .object([
      "module": .string("keras"), "class_name": .string("DTypePolicy"), "config": .object(["name": .string(name)]), "registered_name": .null,
    ])
  }

  /// Appends an operation of `keras.ops` with one result.
  mutating func operation(
    _ module: String, _ className: String, _ config: [String: JSON], _ arguments: [CallArgument], _ dims: [Dim], _ element: ElementType,
    keywords: [String: CallArgument] = [:]
  ) throws(Failure) -> LayerTensor {
    guard element.isOfKeras else { throw Failure(.notExpressible, "Keras has no elements of type \(element.name)") }
    guard !layersOnly else {
      throw Failure(
        .notExpressible, "only the operation keras.ops.\(KerasLayer.snakeCase(className)) says it, which Keras does not read back from one HDF5 file",
        advice: "write a .keras archive")
    }
    let name = names.make(KerasLayer.snakeCase(className))
    model.layers.append(
      LayerDraft(module: "keras.src.ops.\(module)", className: className, name: name, config: config, arguments: arguments, keywords: keywords))
    return LayerTensor(layer: name, index: 0, element: element, dims: dims)
  }
}

/// A node while it is raised.
struct RaisingSite {
  var id: NodeID
  var node: Node

  var result: ValueID? { node.output(0) }
  /// The module that a node with weights belongs to: its name without the operator's own part.
  var module: String? {
    var parts = node.name.split(separator: "/")
    if parts.count > 1 { parts.removeLast() }
    return parts.isEmpty ? nil : parts.joined(separator: "_")
  }
}

/// A value as a tensor of the model whose axes may stand in another order: axis `i` of the value is axis `order[i]` of the
/// tensor.
struct PlacedValue {
  var tensor: LayerTensor
  var order: [Int]

  init(_ tensor: LayerTensor) {
    self.tensor = tensor
    order = Array(tensor.dims.indices)
  }
  init(_ tensor: LayerTensor, order: [Int]) {
    self.tensor = tensor
    self.order = order
  }

  var isPlain: Bool { order == Array(order.indices) }
  /// Which axis of the value stands at each axis of the tensor.
  var axes: [Int] {
    var result = [Int](repeating: 0, count: order.count)
    for (axis, place) in order.enumerated() { result[place] = axis }
    return result
  }
  var dims: [Dim] { order.map { tensor.dims[$0] } }
}
