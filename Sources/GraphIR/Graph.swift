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

  @inlinable public subscript(_ id: NodeID) -> Node { nodes[id] }
  @inlinable public subscript(_ id: ValueID) -> Value { values[id] }

  /// Whether this is no computation: constants alone, which a file of weights without an architecture gives.
  public var isListing: Bool { inputs.isEmpty && order.isEmpty && !outputs.isEmpty }

  /// The live nodes in order.
  public var liveNodes: some Sequence<(NodeID, Node)> { order.lazy.map { ($0, nodes[$0]) } }

  /// The node that makes `value`, if one does.
  @inlinable public func producer(of value: ValueID) -> NodeID? {
    if case .node(let node, _) = values[value].definition { node } else { nil }
  }

  /// The constant that `value` is, if it is one.
  @inlinable public func constant(_ value: ValueID) -> Tensor? {
    if case .constant(let tensor) = values[value].definition { tensor } else { nil }
  }
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
