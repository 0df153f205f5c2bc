internal import Bytes
internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Puts a GraphProto together: parts of the source file as byte ranges where they still hold, messages of our own where
/// they do not.
struct GraphEmission {
  let graph: Graph
  let record: ONNXRecord?
  /// The ai.onnx operator set that new nodes are spelled for.
  let version: Int
  private let comparison: NodeComparison?
  /// For a body, whose values need no types: the names of the graphs around it, which its own must not take.
  private let outerNames: Set<String>?
  private var nodes = SegmentedMessage()
  private var sparse = SegmentedMessage()
  private var initializers: [ValueID] = []
  private var emitted: Set<ValueID> = []
  private var renamed: [ValueID: String] = [:]
  /// Domains of new nodes.
  private(set) var domains: Set<String> = []
  var external: ExternalDataFile

  init(_ graph: Graph, _ record: ONNXRecord?, version: Int, external: ExternalDataFile) {
    self.graph = graph
    self.record = record
    self.version = version
    self.external = external
    outerNames = nil
    comparison = record.map { NodeComparison(graph, $0) }
  }

  /// - Parameter captured: the names outside of what the body captures.
  private init(_ body: Subgraph, captured: [String], outerNames: Set<String>, version: Int, external: ExternalDataFile) {
    graph = body.withoutCaptures
    record = nil
    comparison = nil
    self.version = version
    self.outerNames = outerNames
    self.external = external
    for (value, name) in zip(body.graph.inputs.suffix(captured.count), captured) { renamed[value] = name }
    var names = FreshNames(taken: outerNames.union(graph.values.handles.map { graph[$0].name }))
    for value in graph.values.handles where renamed[value] == nil && outerNames.contains(graph[value].name) {
      renamed[value] = names.make(graph[value].name)
    }
  }

  // MARK: Whole graphs

  /// Whether the file says exactly what the graph says.
  var isUnchanged: Bool {
    guard let record, let comparison, graph.name == record.graphName, graph.opsets == record.opsets else { return false }
    let all = record.notes.nodes.filter { !$0.value.steps.isEmpty }.keys
    guard graph.order.allSatisfy({ graph[$0].record != nil }), comparison.nodes.count == all.count else { return false }
    guard all.allSatisfy({ comparison.state(of: $0) == .verbatim }) else { return false }
    return graph.inputs.map { graph[$0].name } == listed(GraphField.input).filter { record.notes.initializers[$0] == nil }
      && graph.outputs.map { graph[$0].name } == listed(GraphField.output)
      && (graph.inputs + graph.outputs).allSatisfy { typeHolds($0) }
  }

  /// The content of the GraphProto.
  /// - Parameter embeddedLimit: bytes beyond which constants go to the external file.
  mutating func message(embeddedLimit: Int) throws(Failure) -> SegmentedMessage {
    try emitNodes()
    for output in graph.outputs { try demand(output) }
    let spilled = spill(limit: embeddedLimit - nodes.count)
    var result = SegmentedMessage()
    var done: Set<Int> = []
    func once(_ field: Int, _ body: () throws(Failure) -> Void) throws(Failure) { if done.insert(field).inserted { try body() } }
    let lists = [
      GraphField.node, GraphField.name, GraphField.initializer, GraphField.sparseInitializer, GraphField.input, GraphField.output, GraphField.valueInfo,
    ]
    for range in record?.graph ?? [] {
      if lists.contains(range.field) {
        if done.insert(range.field).inserted { try append(range.field, to: &result, spilled: spilled) }
      } else if range.field == GraphField.quantization {
        if stillMeant(range) { result.append(try copy(range)) }
      } else {
        result.append(try copy(range))
      }
    }
    for field in lists where done.insert(field).inserted { try append(field, to: &result, spilled: spilled) }
    return result
  }

  private mutating func append(_ field: Int, to result: inout SegmentedMessage, spilled: Set<ValueID>) throws(Failure) {
    switch field {
    case GraphField.node: result.append(nodes)
    case GraphField.sparseInitializer: result.append(sparse)
    case GraphField.name:
      var name = WireEncoder()
      name.field(field, string: graph.name.isEmpty ? "graph" : graph.name)
      result.append(name)
    case GraphField.initializer:
      for value in inFileOrder(initializers) { try appendInitializer(value, to: &result, spilled: spilled) }
    case GraphField.input: try appendInputs(to: &result)
    case GraphField.output:
      for value in graph.outputs { try appendInfo(value, field: field, known: record?.notes.outputs, to: &result) }
    case GraphField.valueInfo: try appendValueInfo(to: &result)
    default: break
    }
  }

  /// A field of the source file; tensors in it whose elements lie elsewhere are led to the new external file.
  private mutating func copy(_ range: RecordRange, _ kind: MessageKind? = nil) throws(Failure) -> SegmentedMessage {
    var result = SegmentedMessage()
    guard let record else { return result }
    if record.hasExternalData, let kind {
      result.field(range.field, try ExternalRelocation(record: record).message(kind, range.content, to: &external))
    } else {
      result.append(record.source, range.whole)
    }
    return result
  }

  private func name(_ value: ValueID) -> String { renamed[value] ?? graph[value].name }
  private func names(_ values: [ValueID?]) -> [String] { values.map { $0.map(name) ?? "" } }

  // MARK: Nodes

  private mutating func emitNodes() throws(Failure) {
    avoidInnerNames()
    for id in graph.order {
      let node = graph[id]
      guard let record, let comparison, let index = node.record, let reading = record.notes.nodes[index] else {
        try spell(node)
        continue
      }
      let state = comparison.state(of: index)
      let all = comparison.nodes[index] ?? []
      guard state != .rebuilt, state == .verbatim || record.graph[index].field == GraphField.node else {
        try spell(node)
        continue
      }
      // Several nodes of one record go out with the last: by then all that any of them reads is there.
      let members = reading.steps.count > 1 ? all : [id]
      guard members.last == id else { continue }
      for (member, step) in zip(members, reading.steps) { try demandOperands(of: graph[member], step) }
      for value in comparison.extras(of: reading) ?? [] { try demand(value) }
      if state == .renamed, let renaming = comparison.renaming(of: members, reading) {
        nodes.field(GraphField.node, try rename(renaming, reading, record.graph[index].content))
      } else {
        nodes.append(try copy(record.graph[index], .node))
      }
    }
  }

  /// New values must not take names that subgraphs use for their own.
  private mutating func avoidInnerNames() {
    guard let inner = record?.innerNames, !inner.isEmpty else { return }
    var names = FreshNames(taken: inner.union(graph.values.handles.map { graph[$0].name }))
    let fixed = Set(graph.outputs)
    for (_, node) in graph.liveNodes where node.record == nil {
      for value in node.outputs.compactMap({ $0 }) where inner.contains(graph[value].name) && !fixed.contains(value) {
        renamed[value] = names.make(graph[value].name)
      }
    }
  }

  private mutating func spell(_ node: Node) throws(Failure) {
    let spelling = try SpellingRequest(node: node, graph: graph, version: version).spelling()
    for operand in spelling.operands { if let operand { try demand(operand) } }
    domains.insert(spelling.domain)
    var message = SegmentedMessage()
    for value in node.captures { try demand(value) }
    message.append(WireEncoder.node(spelling, name: node.name, inputs: names(spelling.operands), outputs: names(node.outputs)))
    for case (let name, .graph(let body)) in spelling.attributes { message.field(5, try attribute(name, body, of: node)) }
    nodes.field(GraphField.node, message)
  }

  /// AttributeProto that holds a body.
  private mutating func attribute(_ name: String, _ body: Subgraph, of node: Node) throws(Failure) -> SegmentedMessage {
    let names = (outerNames ?? []).union(graph.values.handles.map { self.name($0) })
    var inner = GraphEmission(body, captured: body.captures.map { self.name(node.captures[$0]) }, outerNames: names, version: version, external: external)
    var content = SegmentedMessage()
    content.append(WireEncoder.attributeHead(name))
    content.field(6, try inner.message(embeddedLimit: .max))
    content.append(WireEncoder.attributeTail(.graph))
    domains.formUnion(inner.domains)
    external = inner.external
    return content
  }

  /// The node's record with other names of operands and results.
  private mutating func rename(
    _ renaming: (inputs: [Int: ValueID?], outputs: [ValueID?]), _ reading: ONNXRecord.NodeReading, _ content: Range<Int>
  ) throws(Failure) -> SegmentedMessage {
    var result = SegmentedMessage()
    guard let record else { return result }
    var inputs = reading.inputs
    for (slot, value) in renaming.inputs where slot < inputs.count { inputs[slot] = value.map(name) ?? "" }
    var outputs = reading.outputs
    for (index, value) in renaming.outputs.enumerated() where index < outputs.count { outputs[index] = value.map(name) ?? "" }
    var head = WireEncoder()
    for input in inputs { head.field(1, string: input) }
    for output in outputs { head.field(2, string: output) }
    result.append(head)
    result.append(try ExternalRelocation(record: record).message(.node, content, to: &external, leavingOut: [1, 2]))
    return result
  }

  /// Constants among what the file's node itself reads; those that were attributes stay attributes.
  private mutating func demandOperands(of node: Node, _ step: ONNXRecord.NodeReading.Step) throws(Failure) {
    for value in node.captures { try demand(value) }
    for (index, value) in node.inputs.enumerated() where index < step.slots.count && step.slots[index] != nil {
      if let value { try demand(value) }
    }
  }

  // MARK: Constants

  /// Sees to it that a constant is in the output: as the initializer or Constant node it was, or as a new initializer.
  private mutating func demand(_ value: ValueID) throws(Failure) {
    guard let tensor = graph.constant(value), emitted.insert(value).inserted else { return }
    let isOfFile = record.map { NodeComparison.isFileConstant(graph[value], $0) } ?? false
    if isOfFile, let record, let index = graph[value].record, record.graph[index].field == GraphField.node {
      return nodes.append(try copy(record.graph[index], .node))
    }
    if isOfFile, let record, let index = graph[value].record, record.graph[index].field == GraphField.sparseInitializer {
      return sparse.append(try copy(record.graph[index], .sparseTensor))
    }
    // Before IR version 4 an initializer had to be an input as well, which callers could set.
    if !isOfFile, let record, record.irVersion < 4 {
      let spelling = OperatorSpelling("Constant", [("value", .tensor(tensor))], operands: [])
      var message = SegmentedMessage()
      message.append(WireEncoder.node(spelling, name: "", inputs: [], outputs: [name(value)]))
      return nodes.field(GraphField.node, message)
    }
    initializers.append(value)
  }

  private func inFileOrder(_ values: [ValueID]) -> [ValueID] {
    func place(_ value: ValueID) -> Int { record?.notes.initializers[graph[value].name] ?? .max }
    return values.enumerated().sorted { (place($0.element), $0.offset) < (place($1.element), $1.offset) }.map(\.element)
  }

  private mutating func appendInitializer(_ value: ValueID, to result: inout SegmentedMessage, spilled: Set<ValueID>) throws(Failure) {
    guard let tensor = graph.constant(value) else { return }
    if spilled.contains(value) {
      result.field(GraphField.initializer, .tensor(name(value), tensor, in: &external))
    } else if let record, NodeComparison.isFileConstant(graph[value], record), let index = graph[value].record {
      result.append(try copy(record.graph[index], .tensor))
    } else {
      result.field(GraphField.initializer, .tensor(name(value), tensor))
    }
  }

  /// Which constants must leave the main file so that it stays below the limit: new ones first, large ones first.
  private func spill(limit: Int) -> Set<ValueID> {
    struct Candidate {
      var value: ValueID
      var byteCount: Int
      var isNew: Bool
    }
    let candidates = initializers.compactMap { value -> Candidate? in
      guard let tensor = graph.constant(value), tensor.elementType != .string else { return nil }
      if case .mapped(let source, _) = tensor.storage, let record, source !== record.source, graph[value].record != nil { return nil }
      return Candidate(value: value, byteCount: tensor.byteCount, isNew: graph[value].record == nil)
    }
    var total = candidates.reduce(0) { $0 + $1.byteCount }
    var result: Set<ValueID> = []
    for candidate in candidates.sorted(by: { ($0.isNew ? 1 : 0, $0.byteCount) > ($1.isNew ? 1 : 0, $1.byteCount) }) {
      if total <= limit { break }
      result.insert(candidate.value)
      total -= candidate.byteCount
    }
    return result
  }

  // MARK: Inputs, outputs, types

  private func listed(_ field: Int) -> [String] {
    guard let record else { return [] }
    let names = field == GraphField.input ? record.notes.inputs : record.notes.outputs
    return names.sorted { $0.value < $1.value }.map(\.key)
  }

  /// Whether what the file declares of a value is what the graph declares.
  private func typeHolds(_ value: ValueID) -> Bool {
    graph[value].declaredType == nil || graph[value].declaredType == record?.notes.types[graph[value].name] || graph.constant(value) != nil
  }

  private mutating func appendInputs(to result: inout SegmentedMessage) throws(Failure) {
    let constants = Set(initializers.map { graph[$0].name })
    let current = Dictionary(graph.inputs.map { (graph[$0].name, $0) }) { first, _ in first }
    for name in listed(GraphField.input) {
      if let value = current[name] {
        try appendInfo(value, field: GraphField.input, known: record?.notes.inputs, to: &result)
      } else if constants.contains(name), let record, let index = record.notes.inputs[name] {
        result.append(record.source, record.graph[index].whole)
      }
    }
    for value in graph.inputs where record?.notes.inputs[graph[value].name] == nil {
      try appendInfo(value, field: GraphField.input, known: nil, to: &result)
    }
  }

  private mutating func appendInfo(_ value: ValueID, field: Int, known: [String: Int]?, to result: inout SegmentedMessage) throws(Failure) {
    if let record, let index = known?[graph[value].name], typeHolds(value) { return result.append(record.source, record.graph[index].whole) }
    if outerNames != nil {
      var info = WireEncoder()
      if let type = graph[value].declaredType { info = .valueInfo(name(value), type) } else { info.field(1, string: name(value)) }
      var message = WireEncoder()
      message.field(field, message: info)
      return result.append(message)
    }
    guard let type = graph[value].declaredType ?? record?.notes.types[graph[value].name] else {
      throw Failure(.notExpressible, "the type of '\(graph[value].name)' is not known, and an input or output must declare it", at: .element(graph[value].name))
    }
    var info = WireEncoder()
    info.field(field, message: .valueInfo(graph[value].name, type))
    result.append(info)
  }

  /// Declared types of inner values that are still made, and still of that type.
  private func appendValueInfo(to result: inout SegmentedMessage) throws(Failure) {
    guard let record else { return }
    var alive: [String: ValueID] = [:]
    for (_, node) in graph.liveNodes { for value in node.outputs.compactMap({ $0 }) { alive[graph[value].name] = value } }
    for value in emitted { alive[graph[value].name] = value }
    for (name, index) in record.notes.valueInfo.sorted(by: { $0.value < $1.value }) {
      if let value = alive[name], graph[value].declaredType != nil, typeHolds(value) { result.append(record.source, record.graph[index].whole) }
    }
  }

  /// Whether a quantization annotation is about a value that is still there.
  private func stillMeant(_ range: RecordRange) -> Bool {
    guard let record else { return false }
    let name = record.source.withBytes { bytes -> String? in
      let view = unsafe bytes._unsafeView(as: UInt8.self)
      var cursor = WireCursor(range.content)
      while let field = try? cursor.next(view) {
        if field.number == 1, field.type == .lengthDelimited { return String(decoding: field.content.map { view[$0] }, as: UTF8.self) }
      }
      return nil
    }
    guard let name else { return false }
    return emitted.contains { graph[$0].name == name } || graph.inputs.contains { graph[$0].name == name }
      || graph.liveNodes.contains { _, node in node.outputs.contains { $0.map { graph[$0].name } == name } }
  }
}
