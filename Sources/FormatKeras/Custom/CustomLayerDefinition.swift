internal import Diagnostics
internal import GraphIR
internal import GraphText
internal import Operators
internal import Tensors

/// What a layer of the user's computes: names for what it is given, and a graph in the text form over them.
struct CustomLayerDefinition: Sendable {
  struct Weight: Sendable {
    /// In the graph.
    var name: String
    /// As the layer calls it, which whole-model files go by.
    var variable: String
    /// The attribute that holds the layer of the variable; empty for the layer itself.
    var layer: String
    /// Its place among that layer's variables, which newer files go by.
    var index: Int
    /// What its dimensions must be.
    var shape: [String]?
    var line: Int
  }

  var className: String
  var file: String
  /// Keys of the layer's configuration, with defaults; nil where there is none.
  var config: [(name: String, standard: JSON?)] = []
  /// Operands and the names of their axes; nil: of any rank.
  var inputs: [(name: String, axes: [String]?)] = []
  var weights: [Weight] = []
  var outputs: [String] = []
  /// Statements of the text form.
  var body: String
  /// The line of the file on which the body starts.
  var bodyLine: Int

  init(className: String, file: String, body: String, bodyLine: Int) {
    self.className = className
    self.file = file
    self.body = body
    self.bodyLine = bodyLine
  }

  // MARK: One call

  /// The values that a call of the layer gives.
  func call(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID] {
    do throws(Failure) {
      return try results(call, &builder)
    } catch {
      var described = error
      if described.advice == nil { described.advice = "the class '\(className)' is described in \(file)" }
      throw described.located(element: call.path.name)
    }
  }

  private func results(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID] {
    var names = Placeholders()
    for (name, standard) in config {
      guard let value = call.config[name] ?? standard else { throw call.wrong("its configuration has no '\(name)', which \(file) wants") }
      names.set(name, value)
    }
    var operands: [(name: String, value: ValueID)] = []
    for (value, input) in zip(try arguments(call, &builder), inputs) {
      let dims = try builder.e.shape(value)
      names.set(input.name, dims: dims)
      if let axes = input.axes { try bind(axes, to: dims, of: input.name, &names, call) }
      operands.append((input.name, value))
    }
    for weight in weights {
      let path = weight.layer.isEmpty ? call.path : weight.layer.split(separator: "/").reduce(call.path) { $0.sub(String($1), [String($1), "_\($1)"]) }
      var dims: [Int?]?
      if let shape = weight.shape {
        var sizes: [Int?] = []
        for text in shape { sizes.append(try located(weight.line) { () throws(Failure) in try names.integer(text) }) }
        dims = sizes
      }
      let value = try builder.variable(call, path, [weight.variable], weight.index, dims: dims)
      names.set(weight.name, dims: try builder.e.shape(value))
      operands.append((weight.name, value))
    }
    return try inlined(try graph(names, operands.map(\.name)), operands.map(\.value), call, &builder)
  }

  private func located<R>(_ line: Int, _ body: () throws(Failure) -> R) throws(Failure) -> R {
    do throws(Failure) { return try body() } catch { throw Failure(error.code, "\(file), line \(line): \(error.message)") }
  }

  /// The operands: positional, or one list of them, or by name.
  private func arguments(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID] {
    var positional = call.positional
    if inputs.count > 1, positional.count == 1, case .list(let entries) = positional[0] { positional = entries }
    var result: [ValueID] = []
    for (index, input) in inputs.enumerated() {
      let argument = index < positional.count ? positional[index] : call.named[input.name] ?? (index == 0 ? call.named["inputs"] : nil)
      guard let argument else { throw call.wrong("it is called without '\(input.name)'") }
      result.append(try builder.autocast(try builder.value(argument, call), call))
    }
    return result
  }

  private func bind(_ axes: [String], to dims: [Dim], of input: String, _ names: inout Placeholders, _ call: LayerCall) throws(Failure) {
    guard axes.count == dims.count else { throw call.wrong("'\(input)' is \(Shape(dims)), and \(file) describes \(axes.count) axes") }
    for (axis, dim) in zip(axes, dims) {
      if let wanted = Int(axis) {
        guard dim.value == wanted else { throw call.wrong("'\(input)' is \(Shape(dims)), and \(file) wants \(wanted)") }
      } else {
        guard try names.bind(axis, dim) else { throw call.wrong("'\(input)' is \(Shape(dims)), and '\(axis)' is another size elsewhere") }
      }
    }
  }

  /// The body as a graph whose inputs are operands and weights. Lines of the text are those of the file.
  private func graph(_ names: Placeholders, _ operands: [String]) throws(Failure) -> Graph {
    let body = try names.expanded(body, firstLine: bodyLine, file: file)
    let ports = operands.map { "%\($0): f32[*]" }.joined(separator: ", ")
    let header = "graph %custom(\(ports)) -> (\(outputs.map { "%\($0)" }.joined(separator: ", "))) {"
    let text = header + String(repeating: "\n", count: max(bodyLine - 1, 1)) + body + "\n}"
    do throws(Failure) {
      // Weights are named above, with the shapes that they must have.
      return try GraphParser.parse(text) { _ in nil }
    } catch {
      throw Failure(error.code, "\(file), \(error.message)")
    }
  }

  private func inlined(_ graph: Graph, _ operands: [ValueID], _ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID] {
    let compute = builder.policy(call.config).compute
    var made: [ValueID: ValueID] = Dictionary(uniqueKeysWithValues: zip(graph.inputs, operands))
    func value(_ id: ValueID, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
      if let known = made[id] { return known }
      guard let tensor = graph.constant(id) else { throw Failure(.internalError, "'\(graph[id].name)' was not made") }
      var constant = builder.e.constant(graph[id].name, tensor)
      // Numbers in the text are written once, for every type that the layer may compute in.
      if tensor.elementType == .float32, compute != .float32 { constant = try builder.e.cast(constant, compute) }
      made[id] = constant
      return constant
    }
    for (_, node) in graph.liveNodes {
      guard node.op.bodies.isEmpty, node.op.semantics != nil else {
        throw Failure(.notExpressible, "\(node.op.name.mnemonic) in the description of '\(className)' has no place in a layer")
      }
      var inputs: [ValueID?] = []
      for input in node.inputs { inputs.append(try input.map { (id) throws(Failure) in try value(id, &builder) }) }
      let results = try builder.e.emit(node.op, inputs, node.name.isEmpty ? node.op.name.mnemonic : node.name, count: max(node.outputs.count, 1))
      for (output, result) in zip(node.outputs, results) { if let output { made[output] = result } }
    }
    var results: [ValueID] = []
    for output in graph.outputs { results.append(try value(output, &builder)) }
    return results
  }
}
