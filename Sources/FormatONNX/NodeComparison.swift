internal import GraphIR

/// Tells for each record of a node in the source file whether the graph still says the same.
struct NodeComparison {
  enum State {
    /// Nothing changed: the bytes of the file stand for these nodes.
    case verbatim
    /// The same operation reads or makes values of other names: its record with the names replaced.
    case renamed
    /// The nodes are spelled anew, one by one.
    case rebuilt
  }

  let graph: Graph
  let record: ONNXRecord
  private(set) var nodes: [Int: [NodeID]] = [:]
  /// Constants that came from the file under the name they have now.
  private let fileConstants: [String: ValueID]
  private var readers: Uses

  init(_ graph: Graph, _ record: ONNXRecord) {
    self.graph = graph
    self.record = record
    readers = Uses(graph)
    for (id, node) in graph.liveNodes {
      if let index = node.record, record.notes.nodes[index] != nil { nodes[index, default: []].append(id) }
    }
    var constants: [String: ValueID] = [:]
    for id in graph.values.handles where NodeComparison.isFileConstant(graph[id], record) { constants[graph[id].name] = id }
    fileConstants = constants
  }

  /// Whether a value is a constant of the file that still has its name.
  static func isFileConstant(_ value: Value, _ record: ONNXRecord) -> Bool {
    guard case .constant = value.definition, let index = value.record else { return false }
    return record.notes.initializers[value.name] == index || record.notes.nodes[index]?.outputs.first == value.name
  }

  func state(of index: Int) -> State {
    guard let reading = record.notes.nodes[index], let ids = nodes[index], extras(of: reading) != nil else { return .rebuilt }
    if ids.count == reading.steps.count, zip(ids, reading.steps).allSatisfy({ matches(graph[$0], $1, reading) }), !leaks(ids, reading) { return .verbatim }
    if reading.steps.count == 1 { return ids.allSatisfy { renaming(of: [$0], reading) != nil } ? .renamed : .rebuilt }
    return renaming(of: ids, reading) != nil && !leaks(ids, reading) ? .renamed : .rebuilt
  }

  /// What the record's node reads and makes when these nodes stand for it under other names; nil when more than names
  /// changed.
  func renaming(of ids: [NodeID], _ reading: ONNXRecord.NodeReading) -> (inputs: [Int: ValueID?], outputs: [ValueID?])? {
    guard ids.count == reading.steps.count, let last = ids.last, !reading.hasEarlyResults else { return nil }
    var inputs: [Int: ValueID?] = [:]
    for (id, step) in zip(ids, reading.steps) {
      let node = graph[id]
      guard node.op == step.op, node.captures.map({ graph[$0].name }) == reading.captures, node.inputs.count <= step.inputs.count,
        node.outputs.count == step.outputs.count, id == last || names(node.outputs) == step.outputs
      else { return nil }
      for index in step.inputs.indices {
        let value = node.input(index)
        if let slot = step.slots[index] {
          if let known = inputs.updateValue(value, forKey: slot), known != value { return nil }
        } else if value.map({ graph[$0].name }) != step.inputs[index] {
          // An operand that the file's node does not have must be what the reader put there.
          return nil
        }
      }
    }
    return (inputs, graph[last].outputs)
  }

  /// Constants that the record names and the IR left out (a Dropout's ratio); nil when such an operand is none.
  func extras(of reading: ONNXRecord.NodeReading) -> [ValueID]? {
    let known = Set(reading.steps.flatMap { $0.slots.compactMap { $0 } })
    var result: [ValueID] = []
    for (slot, name) in reading.inputs.enumerated() where !known.contains(slot) && !name.isEmpty {
      guard let value = fileConstants[name] else { return nil }
      result.append(value)
    }
    return result
  }

  private func matches(_ node: Node, _ step: ONNXRecord.NodeReading.Step, _ reading: ONNXRecord.NodeReading) -> Bool {
    node.op == step.op && names(node.inputs) == step.inputs && names(node.outputs) == step.outputs
      && node.captures.map { graph[$0].name } == reading.captures
  }

  /// Whether somebody outside reads what passes between the nodes of one record and is no result of the record's node.
  private func leaks(_ ids: [NodeID], _ reading: ONNXRecord.NodeReading) -> Bool {
    ids.dropLast().contains { id in
      graph[id].outputs.compactMap { $0 }.contains { value in
        !reading.outputs.contains(graph[value].name) && (readers.isOutput(value) || !readers.readers(of: value).allSatisfy(ids.contains))
      }
    }
  }

  private func names(_ values: [ValueID?]) -> [String?] { values.map { $0.map { graph[$0].name } } }
}
