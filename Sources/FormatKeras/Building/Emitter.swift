internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// Builds a graph node by node and knows the type of every value on the way, by the operators' own shape rules.
struct Emitter {
  private(set) var builder: GraphBuilder
  private var facts: [ValueID: Fact] = [:]
  private var names = FreshNames()
  private var constants: [String: ValueID] = [:]
  /// Where new nodes belong: the module's name, with '/' between levels.
  var scope = ""

  /// Nodes of one graph at most: models that call each other twice at every level would double forever.
  private static let nodeLimit = 1 << 17
  private var nodeCount = 0

  /// The operator set that graphs made here import.
  static let opset = 18

  init(name: String) { builder = GraphBuilder(name: name, opsets: ["": Emitter.opset]) }

  /// The operator set that an operator came with, where the usual one is older.
  mutating func requireOpset(_ version: Int) { builder.requireOpset(version) }

  // MARK: Types

  func type(_ value: ValueID) throws(Failure) -> TensorType {
    guard let fact = facts[value] else {
      throw Failure(.notExpressible, "the type of '\(builder.graph[value].name)' is not known", at: .element(scope))
    }
    return fact.type
  }
  func element(_ value: ValueID) throws(Failure) -> ElementType { try type(value).element }
  func shape(_ value: ValueID) throws(Failure) -> [Dim] {
    guard let shape = try type(value).shape else {
      throw Failure(.notExpressible, "the shape of '\(builder.graph[value].name)' is not known", at: .element(scope))
    }
    return shape.dims
  }
  func rank(_ value: ValueID) throws(Failure) -> Int { try shape(value).count }
  func isKnown(_ value: ValueID) -> Bool { facts[value] != nil }

  /// A dimension that the layer needs as a number.
  func size(_ value: ValueID, _ axis: Int) throws(Failure) -> Int {
    let dims = try shape(value)
    guard dims.indices.contains(axis), let size = dims[axis].value else {
      throw Failure(
        .notExpressible, "the layer needs axis \(axis) of \(Shape(dims)) as a number", at: .element(scope),
        advice: "the model leaves it open, and there is no fixed graph for it")
    }
    return size
  }

  /// The axis counted from the front; negative ones count from the back.
  func axis(_ axis: Int, rank: Int) throws(Failure) -> Int {
    let result = axis < 0 ? axis + rank : axis
    guard axis > -1000, axis < 1000, 0..<max(rank, 1) ~= result else {
      throw Failure(.badAttribute, "axis \(axis) of a tensor of rank \(rank)", at: .element(scope))
    }
    return result
  }

  // MARK: Names

  private mutating func unique(_ name: String) -> String { names.make(name.isEmpty ? "value" : name) }

  // MARK: Inputs and constants

  mutating func input(_ name: String, _ type: TensorType) -> ValueID {
    let id = builder.input(unique(name), type)
    facts[id] = Fact(type)
    return id
  }

  /// A weight: made once for each key, however many calls read it.
  mutating func weight(_ key: String, _ make: () throws(Failure) -> Tensor) throws(Failure) -> ValueID {
    if let known = constants[key] { return known }
    let tensor = try make()
    let id = builder.constant(unique(key), tensor)
    facts[id] = Fact(tensor.type, value: .tensor(tensor))
    constants[key] = id
    return id
  }

  mutating func weight(_ key: String, _ tensor: Tensor) throws(Failure) -> ValueID { try weight(key) { () throws(Failure) in tensor } }

  /// A small constant that belongs to one node.
  mutating func constant(_ label: String, _ tensor: Tensor) -> ValueID {
    let id = builder.constant(unique(scope.isEmpty ? label : "\(scope)/\(label)"), tensor)
    facts[id] = Fact(tensor.type, value: .tensor(tensor))
    return id
  }

  mutating func integers(_ values: [Int], _ label: String = "shape") throws(Failure) -> ValueID {
    let key = "integers:" + values.map(String.init).joined(separator: ",")
    if let known = constants[key] { return known }
    let id = constant(label, try Tensor(int64: values.map { Int64($0) }, dims: [values.count]))
    constants[key] = id
    return id
  }

  /// A scalar of the value's element type.
  mutating func scalar(_ number: Double, like value: ValueID, _ label: String = "scalar") throws(Failure) -> ValueID {
    try scalar(number, try element(value), label)
  }

  mutating func scalar(_ number: Double, _ type: ElementType, _ label: String = "scalar") throws(Failure) -> ValueID {
    let key = "scalar:\(number.bitPattern):\(type.name)"
    if let known = constants[key] { return known }
    let id = constant(label, try Tensor.filled([number], dims: [], type))
    constants[key] = id
    return id
  }

  mutating func floats(_ values: [Double], dims: [Int], _ type: ElementType, _ label: String) throws(Failure) -> ValueID {
    constant(label, try Tensor.filled(values, dims: dims, type))
  }

  func tensor(_ value: ValueID) -> Tensor? { builder.graph.constant(value) }
  func known(_ value: ValueID) -> KnownValue? { facts[value]?.value }

  // MARK: Nodes

  mutating func emit(_ op: Op, _ inputs: [ValueID?], _ label: String) throws(Failure) -> ValueID {
    let results = try emit(op, inputs, label, count: 1)
    guard let first = results.first else { throw Failure(.internalError, "an operator without a result", at: .element(scope)) }
    return first
  }

  mutating func emit(_ op: Op, _ inputs: [ValueID?], _ label: String, count: Int) throws(Failure) -> [ValueID] {
    let path = scope.isEmpty ? label : "\(scope)/\(label)"
    switch op {
    // They came to bfloat16 later than the other operators.
    case .convolution, .pooling: if let first = inputs.first, let first, facts[first]?.type.element == .bfloat16 { requireOpset(22) }
    default: break
    }
    nodeCount += 1
    guard nodeCount <= Emitter.nodeLimit else { throw Failure(.limitExceeded, "the model unfolds to more than \(Emitter.nodeLimit) nodes", at: .element(path)) }
    guard let meaning = op.semantics else { throw Failure(.internalError, "an operator without a meaning", at: .element(path)) }
    var operands: [Fact?] = []
    for input in inputs {
      guard let input else {
        operands.append(nil)
        continue
      }
      guard let fact = facts[input] else {
        throw Failure(.notExpressible, "reads '\(builder.graph[input].name)', whose type is not known", at: .element(path))
      }
      operands.append(fact)
    }
    let inferred: [Fact]
    do throws(Failure) { inferred = try meaning.infer(operands, resultCount: count) } catch { throw error.located(element: path) }
    guard inferred.count >= count else { throw Failure(.internalError, "\(meaning.mnemonic) infers too few results", at: .element(path)) }
    let node = unique(path)
    var outputs: [String?] = [unique("\(node):0")]
    for index in 1..<max(count, 1) { outputs.append(unique("\(node):\(index)")) }
    let made = builder.node(Node(op, inputs, name: node), results: outputs).compactMap { $0 }
    for (id, fact) in zip(made, inferred) { facts[id] = fact }
    return made
  }

  /// A node kept without a meaning, whose results have the given types where they are known.
  mutating func foreign(_ op: ForeignOp, _ inputs: [ValueID], _ label: String, types: [TensorType?]) -> [ValueID] {
    nodeCount += 1
    let path = unique(scope.isEmpty ? label : "\(scope)/\(label)")
    let outputs = types.indices.map { unique("\(path):\($0)") }
    let made = builder.node(Node(.foreign(op), inputs.map { $0 }, name: path), results: outputs, types: types).compactMap { $0 }
    for (id, type) in zip(made, types) { if let type { facts[id] = Fact(type) } }
    return made
  }

  /// Takes a type from the file, for a value that no rule tells of.
  mutating func declare(_ value: ValueID, _ type: TensorType) {
    builder.declare(value, type)
    facts[value] = Fact(type)
  }

  /// Ends the graph: results under their names.
  mutating func finish(outputs: [(name: String, value: ValueID)]) throws(Failure) -> Graph {
    var values: [ValueID] = []
    for (name, value) in outputs {
      guard facts[value] != nil else {
        // The end of a part without a meaning.
        values.append(value)
        continue
      }
      // A renamed copy: a value may be several outputs, and outputs bear the layers' names.
      let id = builder.node(.unary(.identity), [value], result: unique(name), name: unique("output/\(name)"))
      if let type = facts[value]?.type { builder.declare(id, type) }
      values.append(id)
    }
    builder.outputs(values)
    return try builder.finish()
  }

  /// Ends a graph of constants only.
  mutating func finish(constants: [ValueID]) throws(Failure) -> Graph {
    builder.outputs(constants)
    return try builder.finish()
  }
}

extension Tensor {
  /// The same numbers as elements of another floating-point type.
  func converted(to type: ElementType) throws(Failure) -> Tensor {
    if elementType == type { return self }
    guard let values = doubles() else { throw Failure(.typeMismatch, "\(elementType.name) holds no numbers") }
    return try Tensor.filled(values, dims: dims, type)
  }

  /// Numbers as elements of a type; integers and bool are truncated.
  static func filled(_ values: [Double], dims: [Int], _ type: ElementType) throws(Failure) -> Tensor {
    switch type {
    case .float32: try Tensor(float32: values.map { Float($0) }, dims: dims)
    case .float64: try Tensor(float64: values, dims: dims)
    case .float16: try Tensor(.float16, dims: dims, values: values.map { Float16($0) })
    case .bfloat16: try Tensor(.bfloat16, dims: dims, values: values.map { Float($0).bfloat16Bits })
    case .int64: try Tensor(.int64, dims: dims, values: try values.map { (value) throws(Failure) in try value.whole(Int64.self) })
    case .int32: try Tensor(.int32, dims: dims, values: try values.map { (value) throws(Failure) in try value.whole(Int32.self) })
    case .int8: try Tensor(.int8, dims: dims, values: try values.map { (value) throws(Failure) in try value.whole(Int8.self) })
    case .uint8: try Tensor(.uint8, dims: dims, values: try values.map { (value) throws(Failure) in try value.whole(UInt8.self) })
    case .bool: try Tensor(.bool, dims: dims, values: values.map { UInt8($0 != 0 ? 1 : 0) })
    default: throw Failure(.notExpressible, "constants of type \(type.name) are not made here")
    }
  }
}

extension Double {
  fileprivate func whole<T: FixedWidthInteger>(_ type: T.Type) throws(Failure) -> T {
    guard let value = T(exactly: rounded(.towardZero)) else { throw Failure(.badAttribute, "\(self) does not fit \(type)") }
    return value
  }
}

extension Float {
  /// Rounded to nearest, ties to even.
  var bfloat16Bits: UInt16 {
    if isNaN { return 0x7FC0 }
    let bits = bitPattern
    return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
  }
}
