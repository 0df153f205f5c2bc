/// One operation.
///
/// A value type whose copies share their content: passes look at every node many times, and a copy costs one count.
public struct Node: Sendable {
  @usableFromInline var content: Content

  @usableFromInline final class Content: Sendable {
    @usableFromInline let op: Op
    @usableFromInline let inputs: [ValueID?]
    @usableFromInline let outputs: [ValueID?]
    @usableFromInline let captures: [ValueID]
    @usableFromInline let name: String
    @usableFromInline let origins: OriginSet
    @usableFromInline let record: Int?

    init(op: Op, inputs: [ValueID?], outputs: [ValueID?], captures: [ValueID], name: String, origins: OriginSet, record: Int?) {
      self.op = op
      self.inputs = inputs
      self.outputs = outputs
      self.captures = captures
      self.name = name
      self.origins = origins
      self.record = record
    }
  }

  public init(
    _ op: Op, _ inputs: [ValueID?], outputs: [ValueID?] = [], captures: [ValueID] = [], name: String = "", origins: OriginSet = [], record: Int? = nil
  ) {
    content = Content(op: op, inputs: inputs, outputs: outputs, captures: captures, name: name, origins: origins, record: record)
  }

  @inlinable public var op: Op { content.op }
  /// nil where an optional operand is left out.
  @inlinable public var inputs: [ValueID?] {
    get { content.inputs }
    set { content = content.with(inputs: newValue) }
  }
  /// nil where an optional result is not wanted.
  @inlinable public var outputs: [ValueID?] {
    get { content.outputs }
    set { content = content.with(outputs: newValue) }
  }
  /// Values of this graph that the node's bodies read (`Subgraph.captures`), or the subgraphs of a foreign node by name.
  @inlinable public var captures: [ValueID] {
    get { content.captures }
    set { content = content.with(captures: newValue) }
  }
  /// As the model spells it; may be empty.
  @inlinable public var name: String {
    get { content.name }
    set { content = content.with(name: newValue) }
  }
  /// The nodes of the graph as it was read that this one stands for.
  @inlinable public var origins: OriginSet {
    get { content.origins }
    set { content = content.with(origins: newValue) }
  }
  /// Where the format keeps this node's record; nil for nodes made here.
  @inlinable public var record: Int? {
    get { content.record }
    set { content = content.with(record: newValue) }
  }

  @inlinable public func input(_ index: Int) -> ValueID? { index < content.inputs.count ? content.inputs[index] : nil }
  @inlinable public func output(_ index: Int) -> ValueID? { index < content.outputs.count ? content.outputs[index] : nil }
  /// Everything read: operands and captures.
  public var reads: [ValueID] {
    var result: [ValueID] = []
    result.reserveCapacity(content.inputs.count + content.captures.count)
    for case let value? in content.inputs { result.append(value) }
    result += content.captures
    return result
  }
}

extension Node.Content {
  @usableFromInline func with(
    inputs: [ValueID?]? = nil, outputs: [ValueID?]? = nil, captures: [ValueID]? = nil, name: String? = nil, origins: OriginSet? = nil, record: Int?? = nil
  ) -> Node.Content {
    Node.Content(
      op: op, inputs: inputs ?? self.inputs, outputs: outputs ?? self.outputs, captures: captures ?? self.captures, name: name ?? self.name,
      origins: origins ?? self.origins, record: record ?? self.record)
  }
}
