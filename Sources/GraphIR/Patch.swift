public import Diagnostics
public import Tensors

/// The only way to edit a graph: new constants and nodes, and values that take the place of others.
///
/// A patch is a value; nothing happens to the graph until `commit`, which puts the nodes in order, sweeps what nobody
/// reads any more, and verifies the laws. New nodes may read any value of the graph and of the patch.
public struct Patch: Sendable {
  public let base: Graph
  private var graph: Graph
  private var added: [NodeID] = []
  private var replacements: [ValueID: ValueID] = [:]
  private var names: FreshNames

  public init(_ graph: Graph) {
    base = graph
    self.graph = graph
    names = FreshNames(graph)
  }

  public var isEmpty: Bool { added.isEmpty && replacements.isEmpty }
  /// Values replaced and what takes their place.
  public var replaced: [(old: ValueID, new: ValueID)] { replacements.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 } }

  /// Adds a graph input.
  public mutating func addInput(_ name: String, _ type: TensorType) throws(Failure) -> ValueID {
    guard names.take(name) else { throw Failure(.duplicateName, "the graph already has a value '\(name)'", at: .element(name)) }
    let id = graph.values.append(Value(name: name, definition: .input(graph.inputs.count), declaredType: type))
    graph.inputs.append(id)
    return id
  }

  /// Gives an input another type: a new value takes its name and its place. The old one must be replaced by something
  /// that is made of the new one.
  public mutating func retypeInput(_ old: ValueID, _ type: TensorType) throws(Failure) -> ValueID {
    guard let index = graph.inputs.firstIndex(of: old) else {
      throw Failure(.brokenInvariant, "'\(graph.values[old].name)' is no input", at: .element(graph.values[old].name))
    }
    let name = graph.values[old].name
    graph.values[old].name = names.make("\(name).retyped")
    let new = graph.values.append(Value(name: name, definition: .input(index), declaredType: type))
    graph.inputs[index] = new
    return new
  }

  /// Declares the type of a value of this patch, which formats want of outputs.
  public mutating func declare(_ value: ValueID, _ type: TensorType) { if value.index >= base.values.count { graph.values[value].declaredType = type } }

  public mutating func addOutput(_ value: ValueID) { graph.outputs.append(value) }

  /// Lets the outputs that were `old` be `new`, under the same name; readers inside the graph keep `old`, which a node makes.
  public mutating func replaceOutput(_ old: ValueID, with new: ValueID) {
    let name = graph.values[old].name
    graph.values[old].name = names.make("\(name).inner")
    graph.values[new].name = name
    for index in graph.outputs.indices where graph.outputs[index] == old { graph.outputs[index] = new }
  }

  public mutating func addConstant(_ stem: String, _ tensor: Tensor) -> ValueID {
    graph.values.append(Value(name: names.make(stem), definition: .constant(tensor), declaredType: tensor.type))
  }

  /// Adds a node with `results` results; gives them.
  public mutating func addNode(_ op: Op, _ inputs: [ValueID?], results: Int = 1, name stem: String, origins: OriginSet = []) -> [ValueID] {
    let id = NodeID(raw: UInt32(graph.nodes.count))
    var outputs: [ValueID] = []
    for index in 0..<results {
      outputs.append(graph.values.append(Value(name: names.make(results == 1 ? stem : "\(stem).\(index)"), definition: .node(id, result: index))))
    }
    _ = graph.nodes.append(Node(op, inputs, outputs: outputs, name: outputs.first.map { graph.values[$0].name } ?? stem, origins: origins))
    added.append(id)
    return outputs
  }

  /// Adds a node with one result.
  public mutating func add(_ op: Op, _ inputs: [ValueID?], name: String, origins: OriginSet = []) -> ValueID {
    addNode(op, inputs, results: 1, name: name, origins: origins)[0]
  }

  /// Lets every reader of `old` that was in the graph before the patch (and the outputs) read `new` instead.
  /// Nodes added by this patch keep reading what they were given, so a new node may wrap the value it replaces.
  public mutating func replace(_ old: ValueID, with new: ValueID) {
    replacements[old] = new
    if new.index >= base.values.count, graph.values[new].origin == nil { graph.values[new].origin = old }
  }

  /// The edited graph.
  public func commit() throws(Failure) -> Graph {
    var result = graph
    let fresh = Set(added)
    func resolved(_ value: ValueID) throws(Failure) -> ValueID {
      var value = value
      var steps = 0
      while let next = replacements[value] {
        value = next
        steps += 1
        if steps > replacements.count { throw Failure(.cyclicGraph, "values replace each other in a circle", at: .element(graph.values[value].name)) }
      }
      return value
    }
    if !replacements.isEmpty {
      for id in result.order {
        for index in result.nodes[id].inputs.indices {
          if let value = result.nodes[id].inputs[index], replacements[value] != nil { result.nodes[id].inputs[index] = try resolved(value) }
        }
        let hasBodies = !result.nodes[id].op.bodies.isEmpty
        for index in result.nodes[id].captures.indices {
          let value = result.nodes[id].captures[index]
          guard replacements[value] != nil else { continue }
          if hasBodies {
            result.nodes[id].captures[index] = try resolved(value)
            continue
          }
          throw Failure(.notExpressible, "'\(graph.values[value].name)' is read inside a subgraph and cannot be replaced", at: .element(result.nodes[id].name))
        }
      }
    }
    let bearers = try Patch.renameOutputs(of: &result, fresh: fresh, resolved)
    let live = Patch.liveNodes(of: result)
    result.order = try Patch.sorted(result.order.filter { live[$0] } + (added + bearers).filter { live[$0] }, in: result)
    try StructuralVerifier.verify(result)
    return result
  }

  /// An output keeps its public name: a result of the patch takes it over from the value it replaces. Any other value
  /// has a name of its own to keep (an input's, another output's), so an identity bears the output's; gives those nodes.
  private static func renameOutputs(
    of graph: inout Graph, fresh: Set<NodeID>, _ resolved: (ValueID) throws(Failure) -> ValueID
  ) throws(Failure) -> [NodeID] {
    var bearers: [NodeID] = []
    var renamed: [ValueID: ValueID] = [:]
    for index in graph.outputs.indices {
      let old = graph.outputs[index]
      if let bearer = renamed[old] {
        graph.outputs[index] = bearer
        continue
      }
      let new = try resolved(old)
      guard new != old else { continue }
      let name = graph.values[old].name
      graph.values[old].name = "\(name).replaced.\(old.raw)"
      var bearer = new
      if let producer = graph.producer(of: new), fresh.contains(producer), !graph.outputs.contains(new) {
        graph.values[new].name = name
      } else {
        let id = NodeID(raw: UInt32(graph.nodes.count))
        bearer = graph.values.append(
          Value(name: name, definition: .node(id, result: 0), declaredType: graph.values[new].declaredType ?? graph.values[old].declaredType))
        bearers.append(graph.nodes.append(Node(.unary(.identity), [new], outputs: [bearer], name: name)))
      }
      renamed[old] = bearer
      graph.outputs[index] = bearer
    }
    return bearers
  }

  /// Nodes that an output depends on.
  private static func liveNodes(of graph: Graph) -> HandleMap<NodeTag, Bool> {
    var live = HandleMap<NodeTag, Bool>(count: graph.nodes.count, initial: false)
    var stack = graph.outputs.compactMap { graph.producer(of: $0) }
    while let id = stack.popLast() {
      if live[id] { continue }
      live[id] = true
      for value in graph.nodes[id].reads {
        if let producer = graph.producer(of: value), !live[producer] { stack.append(producer) }
      }
    }
    return live
  }

  /// A topological order that keeps the given one where it can: depth first from each node in turn.
  private static func sorted(_ nodes: [NodeID], in graph: Graph) throws(Failure) -> [NodeID] {
    enum Mark { case new, open, done }
    var marks = HandleMap<NodeTag, Mark>(count: graph.nodes.count, initial: .new)
    var order: [NodeID] = []
    order.reserveCapacity(nodes.count)
    for root in nodes where marks[root] == .new {
      var stack: [(node: NodeID, reads: [ValueID], next: Int)] = [(root, graph.nodes[root].reads, 0)]
      marks[root] = .open
      while var top = stack.popLast() {
        var descended = false
        while top.next < top.reads.count {
          let value = top.reads[top.next]
          top.next += 1
          guard let producer = graph.producer(of: value) else { continue }
          if marks[producer] == .open { throw Failure(.cyclicGraph, "an edit made a cycle", at: .element(graph.nodes[producer].name)) }
          if marks[producer] == .new {
            marks[producer] = .open
            stack.append(top)
            stack.append((producer, graph.nodes[producer].reads, 0))
            descended = true
            break
          }
        }
        if !descended {
          marks[top.node] = .done
          order.append(top.node)
        }
      }
    }
    return order
  }
}
