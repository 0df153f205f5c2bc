internal import Diagnostics
internal import GraphIR
internal import Tensors

/// What an operator's rule sees of a node: attributes of checked type, operands, the operator-set version.
struct NodeView {
  let message: NodeMessage
  /// Of the node's domain.
  let version: Int
  let operands: [ValueID?]
  /// Results that somebody reads: a rule may leave others out.
  let wanted: [Bool]
  /// What the graph built so far knows of a value.
  let constant: (ValueID) -> Tensor?
  let declaredType: (ValueID) -> TensorType?
  /// Attributes inside a node are rarely tensors; the reader lends its decoder.
  let decode: (TensorMessage) throws(Failure) -> Tensor
  private(set) var unread: Set<String>

  init(
    _ message: NodeMessage, version: Int, operands: [ValueID?], wanted: [Bool],
    constant: @escaping (ValueID) -> Tensor?, declaredType: @escaping (ValueID) -> TensorType?,
    decode: @escaping (TensorMessage) throws(Failure) -> Tensor
  ) {
    self.message = message
    self.version = version
    self.operands = operands
    self.wanted = wanted
    self.constant = constant
    self.declaredType = declaredType
    self.decode = decode
    unread = Set(message.attributes.map(\.name))
  }

  var operandCount: Int { operands.count }
  var resultCount: Int { message.outputs.count }
  func operand(_ index: Int) -> ValueID? { index < operands.count ? operands[index] : nil }
  func wants(_ result: Int) -> Bool { result < wanted.count && wanted[result] }
  func constant(at index: Int) -> Tensor? { operand(index).flatMap { constant($0) } }
  func type(at index: Int) -> TensorType? { operand(index).flatMap { declaredType($0) } }

  // MARK: Attributes

  private mutating func attribute(_ name: String, _ kind: AttributeMessage.Kind) throws(Failure) -> AttributeMessage? {
    unread.remove(name)
    guard let attribute = message.attributes.first(where: { $0.name == name }) else { return nil }
    guard attribute.reference == nil else { throw bad(name, "refers to an attribute of a function, and this is none") }
    guard attribute.kind == kind && (attribute.has(kind) || attribute.isEmpty) || attribute.kind == .undefined && attribute.has(kind) else {
      throw bad(name, "is not of type \(kind)")
    }
    return attribute
  }

  func bad(_ name: String, _ problem: String) -> Failure {
    Failure(.badAttribute, "\(message.opType): attribute '\(name)' \(problem)", at: .element(message.label))
  }

  /// Leaves an attribute out of account: it does not change what the node computes.
  mutating func ignore(_ names: String...) { unread.subtract(names) }

  mutating func int(_ name: String) throws(Failure) -> Int? {
    guard let attribute = try attribute(name, .int) else { return nil }
    return Int(attribute.int ?? 0)
  }
  mutating func int(_ name: String, default value: Int) throws(Failure) -> Int { try int(name) ?? value }
  mutating func flag(_ name: String, default value: Bool = false) throws(Failure) -> Bool { try int(name).map { $0 != 0 } ?? value }
  mutating func float(_ name: String) throws(Failure) -> Float? { try attribute(name, .float).map { $0.float ?? 0 } }
  mutating func float(_ name: String, default value: Float) throws(Failure) -> Float { try float(name) ?? value }
  mutating func ints(_ name: String) throws(Failure) -> [Int]? { try attribute(name, .ints)?.ints.map { Int($0) } }
  mutating func floats(_ name: String) throws(Failure) -> [Float]? { try attribute(name, .floats)?.floats }
  mutating func strings(_ name: String) throws(Failure) -> [[UInt8]]? { try attribute(name, .strings)?.strings }
  mutating func bytes(_ name: String) throws(Failure) -> [UInt8]? { try attribute(name, .string).map { $0.string ?? [] } }
  mutating func string(_ name: String) throws(Failure) -> String? {
    guard let bytes = try bytes(name) else { return nil }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw bad(name, "is not UTF-8") }
    return text
  }
  mutating func string(_ name: String, default value: String) throws(Failure) -> String { try string(name) ?? value }
  mutating func tensor(_ name: String) throws(Failure) -> Tensor? {
    guard let message = try attribute(name, .tensor) else { return nil }
    guard let tensor = message.tensor else { throw bad(name, "holds no tensor") }
    return try decode(tensor)
  }
}

extension AttributeMessage {
  /// Whether nothing is filled in: some writers leave out zeros and empty lists.
  fileprivate var isEmpty: Bool {
    float == nil && int == nil && string == nil && tensor == nil && ints.isEmpty && floats.isEmpty && strings.isEmpty && graphs.isEmpty
  }

  /// Whether a field of that kind is filled in: files before IR version 2 leave the type out.
  fileprivate func has(_ kind: Kind) -> Bool {
    switch kind {
    case .float: float != nil
    case .int: int != nil
    case .string: string != nil
    case .tensor: tensor != nil
    case .ints: !ints.isEmpty
    case .floats: !floats.isEmpty
    case .strings: !strings.isEmpty
    default: false
    }
  }
}

/// What a node means in the IR.
enum Translation {
  /// One or more operations; the node's results are the last one's, or where `results` says they are made. A result
  /// that is nil there is made by none, which a rule may leave out only where nobody reads it.
  case steps([Step], results: [Step.Operand?]? = nil)
  /// The operator is known, this use of it is not; the node stays verbatim.
  case unsupported(String)

  struct Step {
    enum Operand {
      /// The node's operand of that index.
      case operand(Int)
      /// An optional operand left out.
      case absent
      /// An attribute that became an input.
      case constant(Tensor)
      /// The first result of an earlier step.
      case step(Int)
      /// Another result of an earlier step.
      case result(Int, of: Int)

      /// Which result of which step it is, if it is one.
      var made: (step: Int, result: Int)? {
        switch self {
        case .step(let step): (step, 0)
        case .result(let result, let step): (step, result)
        case .operand, .absent, .constant: nil
        }
      }
    }
    var op: Op
    var operands: [Operand]
    init(_ op: Op, _ operands: [Operand]) {
      self.op = op
      self.operands = operands
    }
  }

  /// The node's own operands under one operation.
  static func op(_ op: Op, of view: NodeView) -> Translation { .steps([Step(op, view.operands.indices.map { .operand($0) })]) }
  /// The first operands of the node, then constants.
  static func op(_ op: Op, of view: NodeView, first count: Int, then constants: [Tensor?]) -> Translation {
    .steps([Step(op, (0..<count).map { .operand($0) } + constants.map { $0.map { .constant($0) } ?? .absent })])
  }
}

/// How one operator of a file is read.
typealias ReadingRule = @Sendable (inout NodeView) throws(Failure) -> Translation

extension Tensor {
  /// A vector of 64-bit integers, as shape arguments are.
  static func vector(_ values: [Int]) throws(Failure) -> Tensor { try Tensor(int64: values.map { Int64($0) }, dims: [values.count]) }

  /// One number as a scalar of a type; nil where the type cannot hold it.
  static func scalar(_ value: Double, _ type: ElementType) -> Tensor? {
    func integer<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) -> Tensor? {
      T(exactly: value).flatMap { try? Tensor(type, dims: [], values: [$0]) }
    }
    return switch type {
    case .float32: try? Tensor(float32: [Float(value)], dims: [])
    case .float64: try? Tensor(float64: [value], dims: [])
    case .float16: try? Tensor(type, dims: [], values: [Float16(value)])
    case .int64: integer(Int64.self)
    case .int32: integer(Int32.self)
    case .int16: integer(Int16.self)
    case .int8: integer(Int8.self)
    case .uint64: integer(UInt64.self)
    case .uint32: integer(UInt32.self)
    case .uint16: integer(UInt16.self)
    case .uint8: integer(UInt8.self)
    case .bool: try? Tensor(type, dims: [], values: [UInt8(value == 0 ? 0 : 1)])
    case .bfloat16: try? Tensor(bfloat16: [value], dims: [])
    case .int4: Int8(exactly: value).flatMap { -8...7 ~= $0 ? try? Tensor(type, dims: [], codes: [UInt8(bitPattern: $0)]) : nil }
    case .int2: Int8(exactly: value).flatMap { -2...1 ~= $0 ? try? Tensor(type, dims: [], codes: [UInt8(bitPattern: $0)]) : nil }
    case .uint4, .uint2: UInt8(exactly: value).flatMap { $0 < 1 << type.bitWidth ? try? Tensor(type, dims: [], codes: [$0]) : nil }
    case .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float4e2m1, .float6e2m3, .float6e3m2, .float8e8m0:
      try? Tensor(type, dims: [], narrowing: [value], saturates: false)
    case .string, .complex64, .complex128: nil
    }
  }
}
