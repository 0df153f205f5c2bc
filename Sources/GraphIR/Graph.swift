public import Tensors

/// What a format keeps of a file so that it can write untouched parts back verbatim; opaque to the IR.
public protocol SourceRecordKeeper: AnyObject, Sendable {
  /// What the file notes beside a node, by key: the module it was exported from, for one. Empty where it notes nothing.
  func metadata(ofRecord record: Int) -> [String: String]
}

extension SourceRecordKeeper {
  public func metadata(ofRecord record: Int) -> [String: String] { [:] }
}

/// A computation: nodes in topological order over values. A value type: a copy is a snapshot, and a pass takes a
/// graph and returns one.
///
/// Laws (checked by `StructuralVerifier`): every value has one definition; a node comes after the nodes whose values it
/// reads; handles belong to this graph. Facts that can be derived (uses, types, blocks) are not stored here.
public struct Graph: Sendable {
  public var name: String
  public internal(set) var nodes = Arena<NodeTag, Node>()
  public internal(set) var values = Arena<ValueTag, Value>()
  /// The live nodes, each after those it reads from. Nodes not in it were replaced or swept.
  public internal(set) var order: [NodeID] = []
  public internal(set) var inputs: [ValueID] = []
  public internal(set) var outputs: [ValueID] = []
  /// Operator-set version by domain, "" being ai.onnx: which spellings a writer may use.
  public var opsets: [String: Int]
  /// The file this graph came from, for writing untouched parts back.
  public var source: (any SourceRecordKeeper)?

  public init(name: String, opsets: [String: Int] = ["": 18], source: (any SourceRecordKeeper)? = nil) {
    self.name = name
    self.opsets = opsets
    self.source = source
  }

  public subscript(_ id: NodeID) -> Node { nodes[id] }
  public subscript(_ id: ValueID) -> Value { values[id] }

  /// The live nodes in order.
  public var liveNodes: some Sequence<(NodeID, Node)> { order.lazy.map { ($0, nodes[$0]) } }

  /// The node that makes `value`, if one does.
  public func producer(of value: ValueID) -> NodeID? {
    if case .node(let node, _) = values[value].definition { node } else { nil }
  }

  /// The constant that `value` is, if it is one.
  public func constant(_ value: ValueID) -> Tensor? {
    if case .constant(let tensor) = values[value].definition { tensor } else { nil }
  }
}

/// One operation.
public struct Node: Sendable {
  public var op: Op
  /// nil where an optional operand is left out.
  public var inputs: [ValueID?]
  /// nil where an optional result is not wanted.
  public var outputs: [ValueID?]
  /// Values of this graph that the node's bodies read (`Subgraph.captures`), or the subgraphs of a foreign node by name.
  public var captures: [ValueID]
  /// As the model spells it; may be empty.
  public var name: String
  /// The nodes of the graph as it was read that this one stands for.
  public var origins: OriginSet
  /// Where the format keeps this node's record; nil for nodes made here.
  public var record: Int?

  public init(
    _ op: Op, _ inputs: [ValueID?], outputs: [ValueID?] = [], captures: [ValueID] = [], name: String = "", origins: OriginSet = [], record: Int? = nil
  ) {
    self.op = op
    self.inputs = inputs
    self.outputs = outputs
    self.captures = captures
    self.name = name
    self.origins = origins
    self.record = record
  }

  public func input(_ index: Int) -> ValueID? { index < inputs.count ? inputs[index] : nil }
  public func output(_ index: Int) -> ValueID? { index < outputs.count ? outputs[index] : nil }
  /// Everything read: operands and captures.
  public var reads: [ValueID] { inputs.compactMap { $0 } + captures }
}

/// Something that flows: a graph input, a constant, or a node's result.
public struct Value: Sendable {
  public enum Definition: Sendable {
    /// The graph's input of that index.
    case input(Int)
    case constant(Tensor)
    case node(NodeID, result: Int)
  }
  public var name: String
  public var definition: Definition
  /// What the file declares of it; inputs have one, others may.
  public var declaredType: TensorType?
  /// What the file declares of a value that is no tensor.
  public var declaredContainer: ValueType?
  /// Where the format keeps a constant's record (initializer or constant node).
  public var record: Int?
  /// The value whose place this one took in a patch, of the graph before it.
  public var origin: ValueID?

  public init(name: String, definition: Definition, declaredType: TensorType? = nil, record: Int? = nil) {
    self.name = name
    self.definition = definition
    self.declaredType = declaredType
    self.record = record
  }
}

/// A small sorted set of node ids of the graph as read.
public struct OriginSet: Hashable, Sendable, ExpressibleByArrayLiteral, Sequence {
  public private(set) var ids: [NodeID]
  public init(arrayLiteral elements: NodeID...) { ids = elements.sorted() }
  public init(_ ids: some Sequence<NodeID>) { self.ids = Array(Set(ids)).sorted() }
  public func union(_ other: OriginSet) -> OriginSet {
    if other.ids.isEmpty || ids == other.ids { return self }
    if ids.isEmpty { return other }
    return OriginSet(ids + other.ids)
  }
  public func makeIterator() -> IndexingIterator<[NodeID]> { ids.makeIterator() }
  public var isEmpty: Bool { ids.isEmpty }
}
