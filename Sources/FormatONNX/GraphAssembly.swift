internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Builds the IR graph from a decoded GraphProto, node by node, and notes how each node was read.
struct GraphAssembly {
  /// How nodes were read, and the record of each name in its list: the parts of an `ONNXRecord` that arise here.
  struct Notes {
    var nodes: [Int: ONNXRecord.NodeReading] = [:]
    var inputs: [String: Int] = [:]
    var outputs: [String: Int] = [:]
    var valueInfo: [String: Int] = [:]
    var initializers: [String: Int] = [:]
    /// Declared types of inputs, outputs and inner values.
    var types: [String: TensorType] = [:]
  }

  let decoder: TensorDecoder
  let opsets: [String: Int]
  let library: FunctionLibrary
  /// The graph's fields in the file; nil for bodies, which are kept with the records of their nodes.
  let records: [RecordRange]?
  /// How many graphs this one is inside of.
  let depth: Int
  var builder: GraphBuilder
  /// Names that subgraphs define.
  private(set) var innerNames: Set<String> = []
  private var values: [String: ValueID] = [:]
  /// Names that nodes, outputs or subgraphs read.
  private var read: Set<String> = []
  /// Names that nodes of this graph make.
  private var made: Set<String> = []
  /// Declared types of values that are no tensors.
  private var containers: [String: ValueType] = [:]
  private var initializerNames: Set<String> = []
  private var notes = Notes()
  var foreign = ForeignNodes()
  private var suffixes: [String: Int] = [:]
  /// How many nodes derivatives may still stand for: each may be as large as the graph before it.
  var derivativeNodesLeft = 1 << 18

  init(decoder: TensorDecoder, opsets: [String: Int], library: FunctionLibrary, records: [RecordRange]?, depth: Int = 0) {
    self.decoder = decoder
    self.opsets = opsets
    self.library = library
    self.records = records
    self.depth = depth
    builder = GraphBuilder(name: "", opsets: opsets)
  }

  mutating func collectNames(_ graph: GraphMessage) throws(Failure) {
    for node in graph.nodes {
      read.formUnion(node.inputs)
      for output in node.outputs where !output.isEmpty {
        guard made.insert(output).inserted else { throw Failure(.duplicateName, "two nodes make '\(output)'", at: .element(output)) }
      }
      for attribute in node.attributes {
        for subgraph in attribute.graphs { read.formUnion(subgraph.freeNames(&innerNames)) }
      }
    }
    read.formUnion(graph.outputs.map(\.name))
  }

  mutating func assemble(_ graph: GraphMessage) throws(Failure) -> Notes {
    guard !graph.outputs.isEmpty else { throw Failure(.missingPart, "the graph has no outputs") }
    note(graph.valueInfo, field: GraphField.valueInfo, in: \.valueInfo)
    note(graph.outputs, field: GraphField.output, in: \.outputs)
    note(graph.inputs, field: GraphField.input, in: \.inputs)
    try addContent(of: graph, captured: [])
    return notes
  }

  /// - Parameter captured: values of the surrounding graph that this one reads; they become its last inputs.
  mutating func assembleBody(_ graph: GraphMessage, captured: [(name: String, value: Value)]) throws(Failure) -> Graph {
    try addContent(of: graph, captured: captured)
    return try builder.finish(named: graph.name)
  }

  private mutating func addContent(of graph: GraphMessage, captured: [(name: String, value: Value)]) throws(Failure) {
    for info in graph.valueInfo { try declare(info) }
    for info in graph.outputs { try declare(info) }
    for (tensor, record) in zip(graph.initializers, try recordIndices(GraphField.initializer, count: graph.initializers.count)) {
      try initializer(tensor.name, record: record) { (decoder) throws(Failure) in try decoder.tensor(tensor) }
    }
    for (tensor, record) in zip(graph.sparse, try recordIndices(GraphField.sparseInitializer, count: graph.sparse.count)) {
      try initializer(tensor.name, record: record) { (decoder) throws(Failure) in try decoder.dense(tensor, name: tensor.name) }
    }
    try inputs(graph)
    for (name, value) in captured {
      let input = builder.input(name, value.declaredType)
      try define(name, as: input)
      if let container = value.declaredContainer { builder.declare(input, container) }
    }
    for (node, record) in zip(graph.nodes, try recordIndices(GraphField.node, count: graph.nodes.count)) { try self.node(node, record: record) }
    var outputs: [ValueID] = []
    for output in graph.outputs {
      guard let value = values[output.name] else {
        throw Failure(.undefinedValue, "the output '\(output.name)' is never made", at: .element(output.name))
      }
      outputs.append(value)
      if let container = try output.containerType() { builder.declare(value, container) }
    }
    builder.outputs(outputs)
  }

  /// Where the elements of one list stand in the file; nothing for bodies.
  private func recordIndices(_ field: Int, count: Int) throws(Failure) -> [Int?] {
    guard let records else { return [Int?](repeating: nil, count: count) }
    let indices = records.indices.filter { records[$0].field == field }
    guard indices.count == count else { throw Failure(.malformed, "the structure was decoded in part only") }
    return indices
  }

  private mutating func note(_ infos: [ValueInfoMessage], field: Int, in list: WritableKeyPath<Notes, [String: Int]>) {
    guard let records else { return }
    for (info, record) in zip(infos, records.indices.filter { records[$0].field == field }) { notes[keyPath: list][info.name] = record }
  }

  // MARK: Values

  private mutating func declare(_ info: ValueInfoMessage) throws(Failure) {
    if let type = try info.tensorType() { notes.types[info.name] = type }
    if let type = try info.containerType() { containers[info.name] = type }
  }

  private mutating func define(_ name: String, as value: ValueID) throws(Failure) {
    guard values.updateValue(value, forKey: name) == nil else {
      throw Failure(.duplicateName, "the value '\(name)' is defined twice", at: .element(name))
    }
  }

  /// A sparse one is a constant with its zeros filled in; it goes back to the file as it came.
  private mutating func initializer(_ name: String, record: Int?, _ decode: (TensorDecoder) throws(Failure) -> Tensor) throws(Failure) {
    guard !name.isEmpty else { throw Failure(.malformed, "an initializer has no name") }
    guard !made.contains(name) else { throw Failure(.duplicateName, "'\(name)' is an initializer and made by a node", at: .element(name)) }
    try define(name, as: builder.constant(name, try decode(decoder), record: record))
    initializerNames.insert(name)
    notes.initializers[name] = record
  }

  private mutating func inputs(_ graph: GraphMessage) throws(Failure) {
    var seen = Set<String>()
    for input in graph.inputs {
      guard !input.name.isEmpty else { throw Failure(.malformed, "a graph input has no name") }
      guard seen.insert(input.name).inserted, !made.contains(input.name) else {
        throw Failure(.duplicateName, "the value '\(input.name)' is defined twice", at: .element(input.name))
      }
      let type = try input.tensorType()
      if initializerNames.contains(input.name) { continue }
      let value = builder.input(input.name, type)
      try define(input.name, as: value)
      notes.types[input.name] = type
      if let container = try input.containerType() { builder.declare(value, container) }
    }
  }

  func lookUp(_ name: String, by node: NodeMessage) throws(Failure) -> ValueID {
    if let value = values[name] { return value }
    let place = ModelLocation.element(node.label)
    if made.contains(name) { throw Failure(.cyclicGraph, "\(node.opType) reads '\(name)' before it is made", at: place) }
    throw Failure(.undefinedValue, "\(node.opType) reads '\(name)', which nothing makes", at: place)
  }

  // MARK: Nodes

  private mutating func node(_ message: NodeMessage, record: Int?) throws(Failure) {
    guard !message.opType.isEmpty else { throw Failure(.malformed, "a node has no operator", at: .element(message.label)) }
    var operands: [ValueID?] = []
    for input in message.inputs { operands.append(input.isEmpty ? nil : try lookUp(input, by: message)) }
    var free = Set<String>()
    for attribute in message.attributes {
      for subgraph in attribute.graphs { free.formUnion(subgraph.freeNames(&innerNames)) }
    }
    var captures: [(name: String, value: ValueID)] = []
    for name in free.sorted() { captures.append((name, try lookUp(name, by: message))) }
    func passThrough(_ reason: String) throws(Failure) {
      foreign.note(message, reason: reason)
      try verbatim(
        .foreign(ForeignOp(domain: message.domain, name: message.opType, reason: reason)), message, operands: operands, captures: captures, record: record)
    }

    let domain = message.domain == "ai.onnx" ? "" : message.domain
    if library.defines(message) {
      let op: Op
      do throws(Failure) { op = try call(message) } catch { return try passThrough("a function of the model that cannot be read: \(error.message)") }
      return try verbatim(op, message, operands: operands, captures: [], record: record)
    }
    guard let version = opsets[domain] else {
      throw Failure(.missingPart, "\(message.opType) is of domain '\(domain)', whose operator set the model does not import", at: .element(message.label))
    }
    if domain.isEmpty, message.opType == "Constant" {
      let tensor = try constant(message)
      guard let name = message.outputs.first, !name.isEmpty else { return }
      try define(name, as: builder.constant(name, tensor, record: record))
      if let record { notes.nodes[record] = .init(inputs: message.inputs, outputs: message.outputs, steps: [], captures: []) }
      return
    }
    if domain == GradientRule.domain, message.opType == GradientRule.opType {
      let reading: (op: Op, captures: [ValueID])
      do throws(Failure) { reading = try gradient(message, version: version) } catch { return try passThrough(error.message) }
      let named = reading.captures.map { (builder.graph[$0].name, $0) }
      return try verbatim(reading.op, message, operands: operands, captures: named, record: record)
    }
    if ControlRules.reads(domain: domain, opType: message.opType) {
      switch try control(message, version: version, captures: captures) {
      case .unsupported(let reason): return try passThrough(reason)
      case .steps(let steps, _):
        guard let op = steps.first?.op else { return try passThrough("it does nothing") }
        return try verbatim(op, message, operands: operands, captures: captures, record: record)
      }
    }
    if message.attributes.contains(where: { !$0.graphs.isEmpty }) { return try passThrough("it carries subgraphs") }
    switch try translation(of: message, domain: domain, version: version, operands: operands) {
    case .unsupported(let reason): try passThrough(reason)
    case .steps(let steps, let made): try add(steps, results: made, of: message, operands: operands, record: record)
    }
  }

  /// What the operator's rule makes of the node. The view of the graph ends here, so that growing the graph afterwards
  /// does not copy it.
  private func translation(of message: NodeMessage, domain: String, version: Int, operands: [ValueID?]) throws(Failure) -> Translation {
    guard let rule = OperatorRules.rule(domain: domain, opType: message.opType) else {
      return .unsupported(RefusedOperators.reason(domain: domain, opType: message.opType) ?? "no meaning is known for it")
    }
    let graph = builder.graph
    var view = NodeView(
      message, version: version, operands: operands, wanted: message.outputs.map { !$0.isEmpty && read.contains($0) },
      constant: { graph.constant($0) }, declaredType: { graph[$0].declaredType }, decode: { [decoder] (tensor) throws(Failure) in try decoder.tensor(tensor) })
    let translation = try rule(&view)
    if case .steps = translation, let unknown = view.unread.min() { return .unsupported("attribute '\(unknown)' is not known") }
    return translation
  }

  private mutating func add(
    _ steps: [Translation.Step], results wanted: [Translation.Step.Operand?]?, of message: NodeMessage, operands: [ValueID?], record: Int?
  ) throws(Failure) {
    let stem = message.outputs.first { !$0.isEmpty } ?? message.opType
    var reading = ONNXRecord.NodeReading(inputs: message.inputs, outputs: message.outputs, steps: [], captures: [])
    var made: [[ValueID?]] = []
    var constants = 0
    let bound = bindings(wanted, of: message)
    // Which results of each step later ones read: gathered once, since one node may stand for thousands of steps.
    var read: [Int: Set<Int>] = [:]
    for made in steps.lazy.flatMap(\.operands).compactMap(\.made) { read[made.step, default: []].insert(made.result) }
    for (index, step) in steps.enumerated() {
      var inputs: [ValueID?] = []
      var slots: [Int?] = []
      for operand in step.operands {
        switch operand {
        case .operand(let slot):
          inputs.append(slot < operands.count ? operands[slot] : nil)
          slots.append(slot)
        case .absent:
          inputs.append(nil)
          slots.append(nil)
        case .constant(let tensor):
          let name = freshName("\(stem):attribute\(constants)")
          constants += 1
          let value = builder.constant(name, tensor)
          try define(name, as: value)
          inputs.append(value)
          slots.append(nil)
        case .step, .result:
          inputs.append(operand.made.flatMap { made[$0.step].indices.contains($0.result) ? made[$0.step][$0.result] : nil })
          slots.append(nil)
        }
      }
      while inputs.last == .some(nil) {
        inputs.removeLast()
        slots.removeLast()
      }
      var results: [String?]
      if wanted == nil, index == steps.count - 1 {
        results = self.results(of: message, op: step.op)
      } else {
        // What later steps read, and what the node itself gives.
        let read = read[index] ?? []
        let given = bound[index] ?? [:]
        results = (0...max(read.max() ?? 0, given.keys.max() ?? 0)).map { result in
          if let name = given[result] { return name }
          if result > 0, !read.contains(result) { return nil }
          return freshName(result == 0 ? "\(stem):step\(index)" : "\(stem):step\(index):\(result)")
        }
      }
      let name = message.name
      let outputs = builder.node(Node(step.op, inputs, name: name, record: record), results: results, types: results.map { $0.flatMap { notes.types[$0] } })
      for (name, value) in zip(results, outputs) {
        guard let name, let value else { continue }
        try define(name, as: value)
        if let container = containers[name] { builder.declare(value, container) }
      }
      made.append(outputs)
      reading.steps.append(.init(op: step.op, inputs: inputs.map { $0.map { builder.graph[$0].name } }, slots: slots, outputs: results))
    }
    if let record { notes.nodes[record] = reading }
  }

  /// The node's results by the step that makes them and which of its results they are.
  private func bindings(_ wanted: [Translation.Step.Operand?]?, of message: NodeMessage) -> [Int: [Int: String]] {
    var bound: [Int: [Int: String]] = [:]
    for (operand, name) in zip(wanted ?? [], message.outputs) where !name.isEmpty {
      if let made = operand?.made { bound[made.step, default: [:]][made.result] = name }
    }
    return bound
  }

  /// The node's results; the identity that Dropout became has one.
  private func results(of message: NodeMessage, op: Op) -> [String?] {
    let names = message.outputs.map { $0.isEmpty ? nil : $0 }
    if case .unary = op { return Array(names.prefix(1)) }
    return names
  }

  /// A name that nothing in the file has. Counting goes on where it stopped, since a file may use a stem many times.
  private mutating func freshName(_ stem: String) -> String {
    var name = stem
    while values[name] != nil || made.contains(name) || innerNames.contains(name) {
      let count = suffixes[stem, default: 0] + 1
      suffixes[stem] = count
      name = "\(stem)_\(count)"
    }
    return name
  }

  /// A node that stands for the file's node as it is: same operands, same results.
  private mutating func verbatim(
    _ op: Op, _ message: NodeMessage, operands: [ValueID?], captures: [(name: String, value: ValueID)], record: Int?
  ) throws(Failure) {
    let results: [String?] = message.outputs.map { $0.isEmpty ? nil : $0 }
    let outputs = builder.node(
      Node(op, operands, captures: captures.map(\.value), name: message.name, record: record), results: results,
      types: results.map { $0.flatMap { notes.types[$0] } })
    for (name, value) in zip(results, outputs) {
      guard let name, let value else { continue }
      try define(name, as: value)
      if let container = containers[name] { builder.declare(value, container) }
    }
    guard let record else { return }
    notes.nodes[record] = .init(
      inputs: message.inputs, outputs: message.outputs,
      steps: [.init(op: op, inputs: message.inputs.map { $0.isEmpty ? nil : $0 }, slots: message.inputs.indices.map { $0 }, outputs: results)],
      captures: captures.map(\.name))
  }
}
