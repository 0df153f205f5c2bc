internal import Diagnostics
internal import GraphIR
internal import Tensors

/// How a file of a given operator set says what a node of the IR does: the way back of `OperatorRules`.
struct OperatorSpelling {
  enum Attribute {
    case int(Int), float(Float), string(String), ints([Int]), tensor(Tensor)
    case bytes([UInt8]), floats([Float]), strings([[UInt8]])
    /// A body; `GraphEmission` writes it.
    case graph(Subgraph)

    var isGraph: Bool { if case .graph = self { true } else { false } }
  }
  var domain = ""
  var name: String
  var attributes: [(name: String, value: Attribute)] = []
  /// Operands, without those that became attributes.
  var operands: [ValueID?]

  init(_ name: String, domain: String = "", _ attributes: [(name: String, value: Attribute)] = [], operands: [ValueID?]) {
    self.name = name
    self.domain = domain
    self.attributes = attributes
    self.operands = operands
  }
}

/// A node of the IR on its way to a file.
struct SpellingRequest {
  let node: Node
  let graph: Graph
  /// Of ai.onnx.
  let version: Int

  static let microsoft = "com.microsoft"

  /// - Throws: `notExpressible` when the operator set has no way to say it.
  func spelling() throws(Failure) -> OperatorSpelling {
    switch node.op {
    case .unary(let op): try spelling(of: op)
    case .binary(let op): try spelling(of: op)
    case .select: try plain("Where", since: 9)
    case .clip: try clip()
    case .cast(let type): try plain("Cast", since: 6, [("to", .int(Int(type.rawValue)))])
    case .conversion(let op): try spelling(of: op)
    case .matrix(let op): try spelling(of: op)
    case .convolution(let op): try spelling(of: op)
    case .pooling(let op): try spelling(of: op)
    case .normalization(let op): try spelling(of: op)
    case .softmax(.softmax(let axis)): try softmax("Softmax", axis: axis)
    case .softmax(.logSoftmax(let axis)): try softmax("LogSoftmax", axis: axis)
    case .softmax(.hardmax(let axis)): try softmax("Hardmax", axis: axis)
    case .reduction(let op): try spelling(of: op)
    case .layout(let op): try spelling(of: op)
    case .indexing(let op): try spelling(of: op)
    case .selection(let op): try spelling(of: op)
    case .cumulative(let op): try spelling(of: op)
    case .generator(let op): try spelling(of: op)
    case .random(let op): try spelling(of: op)
    case .attention(let op): try spelling(of: op)
    case .rotary(let op): try spelling(of: op)
    case .recurrence(let op): try spelling(of: op)
    case .loss(let op): try spelling(of: op)
    case .control(let op): try spelling(of: op)
    case .sequence(let op): try spelling(of: op)
    case .call(let op):
      throw Failure(.notExpressible, "the call of '\(op.name)' is known by its record in a file only, and this node has none", at: .element(node.name))
    case .catalogued(let op): try spelling(of: op)
    case .foreign(let op):
      throw Failure(.notExpressible, "'\(op.name)' is known by its record in a file only, and this node has none", at: .element(node.name))
    }
  }

  // MARK: Pieces for the families

  /// The node's operands under one name, which the standard knows since a version.
  func plain(_ name: String, since: Int = 1, _ attributes: [(name: String, value: OperatorSpelling.Attribute)] = []) throws(Failure) -> OperatorSpelling {
    try require(since, name)
    return OperatorSpelling(name, attributes, operands: node.inputs)
  }

  func contrib(_ name: String, _ attributes: [(name: String, value: OperatorSpelling.Attribute)] = []) -> OperatorSpelling {
    OperatorSpelling(name, domain: SpellingRequest.microsoft, attributes, operands: node.inputs)
  }

  func require(_ since: Int, _ what: String) throws(Failure) {
    if version < since { throw needs(since, what) }
  }

  func needs(_ since: Int, _ what: String) -> Failure {
    Failure(
      .notExpressible, "\(what) needs operator set \(since), and the model imports \(version)", at: .element(node.name),
      advice: "export the model for operator set \(since) or newer")
  }

  /// The numbers of an operand that the file's operator set wants as an attribute; nil where it is left out.
  func constantIntegers(at index: Int, _ what: String, until version: Int) throws(Failure) -> [Int]? {
    guard let value = node.input(index) else { return nil }
    guard let numbers = graph.constant(value)?.integers() else { throw needs(version, "\(what) that is computed") }
    return numbers
  }

  func constantScalar(at index: Int, _ what: String, until version: Int) throws(Failure) -> Float? {
    guard let value = node.input(index) else { return nil }
    guard let number = graph.constant(value)?.scalar else { throw needs(version, "\(what) that is computed") }
    return Float(number)
  }

  /// The first operand's rank, where it is declared.
  var rank: Int? { node.input(0).flatMap { graph[$0].declaredType?.shape?.rank } }
}

extension Bool {
  var spelled: OperatorSpelling.Attribute { .int(self ? 1 : 0) }
}
