public import Diagnostics
public import GraphIR
public import Tensors

/// Reads a graph from text (schemas/vcg.ebnf).
///
/// Text that does not follow the grammar gives `graphText` with line and column; a name that is defined twice
/// `duplicateName`, one that is read before it is defined `undefinedValue`.
public enum GraphParser {
  /// Gives the elements of a weight by the name after its '@', or by its label.
  public typealias WeightSource = @Sendable (String) -> Tensor?

  /// - Parameter weights: where the elements of weights are; without it they follow from their names.
  /// - Throws: also `missingPart` for a weight that the source does not have, `payloadMismatch` for one of another type.
  public static func parse(_ text: String, weights: WeightSource? = nil) throws(Failure) -> Graph {
    var reading = GraphReading(scanner: try Scanner(text), weights: weights)
    return try reading.graph()
  }
}

/// One parse under way: of the text's graph, or of a body in it.
private struct GraphReading {
  var scanner: Scanner
  var depth = 0
  var builder = GraphBuilder(name: "")
  var values: [String: ValueID] = [:]
  /// What the header says of outputs, by name.
  var outputTypes: [String: ValueType] = [:]

  let weights: GraphParser.WeightSource?

  init(scanner: Scanner, depth: Int = 0, weights: GraphParser.WeightSource?) {
    self.scanner = scanner
    self.depth = depth
    self.weights = weights
  }

  mutating func graph() throws(Failure) -> Graph {
    guard try scanner.word("'graph'") == "graph" else { throw scanner.failure("a text starts with 'graph'", at: 0) }
    let name = try valueName()
    let inputs = try typedNames()
    let graph = try rest(name, inputs, opsets: ["": 18])
    guard scanner.current == .end else { throw scanner.failure("expected the end of the text, found \(scanner.current.text)") }
    return graph
  }

  /// From the arrow to the closing brace.
  private mutating func rest(_ name: String, _ inputs: [TypedName], opsets usual: [String: Int]) throws(Failure) -> Graph {
    try scanner.expect("->")
    let outputs = try typedNames()
    var opsets = usual
    if case .word("opset") = scanner.current { opsets = try self.opsets() }
    builder = GraphBuilder(name: name, opsets: opsets)
    for input in inputs {
      let value = builder.input(input.name, input.type?.tensor)
      if let type = input.type, type.tensor == nil { builder.declare(value, type) }
      try define(input.name, at: input.offset, value)
    }
    for output in outputs { if let type = output.type { outputTypes[output.name] = type } }
    try scanner.expect("{")
    while try !scanner.take("}") { try statement() }
    var results: [ValueID] = []
    for output in outputs {
      guard let id = values[output.name] else {
        throw scanner.failure("the output \(ValueName.spelled(output.name)) is never made", .undefinedValue, at: output.offset)
      }
      results.append(id)
    }
    builder.outputs(results)
    return try builder.finish()
  }

  /// `body %name(formals) captures [0] (captured) -> (outputs) { … }`
  private mutating func body() throws(Failure) -> Subgraph {
    guard depth < StructuralVerifier.depthLimit else { throw scanner.failure("bodies nest more than \(StructuralVerifier.depthLimit) deep") }
    try scanner.advance()
    let name = try valueName()
    var inputs = try typedNames()
    var captures: [Int] = []
    if case .word("captures") = scanner.current {
      try scanner.advance()
      let at = scanner.start
      try scanner.expect("[")
      repeat { captures.append(try scanner.integer("an index among the node's captures")) } while try scanner.take(",")
      try scanner.expect("]")
      let captured = try typedNames()
      guard captured.count == captures.count else { throw scanner.failure("\(captures.count) captures have \(captured.count) names", at: at) }
      inputs += captured
    }
    var inner = GraphReading(scanner: scanner, depth: depth + 1, weights: weights)
    let graph = try inner.rest(name, inputs, opsets: builder.graph.opsets)
    scanner = inner.scanner
    return Subgraph(graph, captures: captures)
  }

  private mutating func valueName() throws(Failure) -> String {
    guard case .value(let name) = scanner.current else { throw scanner.failure("expected a name like '%x', found \(scanner.current.text)") }
    try scanner.advance()
    return name
  }

  private typealias TypedName = (name: String, type: ValueType?, offset: Int)

  private mutating func typedNames() throws(Failure) -> [TypedName] {
    try scanner.expect("(")
    var result: [TypedName] = []
    if try scanner.take(")") { return result }
    repeat {
      let offset = scanner.start
      let name = try valueName()
      result.append((name, try scanner.take(":") ? try TypeText.parseValue(&scanner) : nil, offset))
    } while try scanner.take(",")
    try scanner.expect(")")
    return result
  }

  private mutating func opsets() throws(Failure) -> [String: Int] {
    try scanner.advance()
    try scanner.expect("(")
    var result: [String: Int] = [:]
    repeat {
      guard case .string(let domain) = scanner.current else { throw scanner.failure("expected a domain, found \(scanner.current.text)") }
      try scanner.advance()
      result[domain] = try scanner.integer("a version")
    } while try scanner.take(",")
    try scanner.expect(")")
    return result
  }

  private mutating func define(_ name: String, at offset: Int, _ id: ValueID) throws(Failure) {
    guard values.updateValue(id, forKey: name) == nil else { throw scanner.failure("\(ValueName.spelled(name)) is defined twice", .duplicateName, at: offset) }
  }

  private mutating func operands() throws(Failure) -> [ValueID?] {
    try scanner.expect("(")
    var result: [ValueID?] = []
    if try scanner.take(")") { return result }
    repeat {
      if case .word("_") = scanner.current {
        try scanner.advance()
        result.append(nil)
        continue
      }
      let offset = scanner.start
      let name = try valueName()
      guard let id = values[name] else { throw scanner.failure("\(ValueName.spelled(name)) is not defined before here", .undefinedValue, at: offset) }
      result.append(id)
    } while try scanner.take(",")
    try scanner.expect(")")
    return result
  }

  /// `%y = op(%a, %b) {attributes} captures(%c) @"node name"` or `%w = constant …`.
  private mutating func statement() throws(Failure) {
    var results: [(name: String?, type: ValueType?, offset: Int)] = []
    if scanner.current != .mark("=") {
      repeat {
        let offset = scanner.start
        if case .word("_") = scanner.current {
          try scanner.advance()
          results.append((nil, nil, offset))
        } else {
          let name = try valueName()
          results.append((name, try scanner.take(":") ? try TypeText.parseValue(&scanner) : nil, offset))
        }
      } while try scanner.take(",")
    }
    try scanner.expect("=")
    let offset = scanner.start
    let mnemonic = try scanner.word("an operator")
    if ["constant", "splat", "weight"].contains(mnemonic) {
      guard results.count == 1, let label = results[0].name else { throw scanner.failure("a constant has one name", at: offset) }
      let (tensor, name) = try ConstantText.parse(mnemonic, name: label, weights, &scanner)
      try define(label, at: results[0].offset, builder.constant(name, tensor))
      return
    }
    let inputs = try operands()
    var attributes = try AttributeReader(&scanner)
    var captures: [ValueID] = []
    if case .word("captures") = scanner.current {
      try scanner.advance()
      captures = try operands().compactMap { $0 }
    }
    var name = ""
    if try scanner.take("@") {
      guard case .string(let given) = scanner.current else { throw scanner.failure("expected a name after '@'") }
      try scanner.advance()
      name = given
    }
    var bodies: [Subgraph] = []
    while case .word("body") = scanner.current { bodies.append(try body()) }
    let op: Op
    do throws(Failure) {
      guard let known = try OpReading.op(mnemonic, &attributes, bodies) else { throw Failure(.graphText, "unknown operator '\(mnemonic)'") }
      op = known
    } catch {
      throw scanner.failure(error.message, at: offset)
    }
    try attributes.finish(scanner)
    let types = results.map { result in result.type ?? result.name.flatMap { outputTypes[$0] } }
    let made = builder.node(Node(op, inputs, captures: captures, name: name), results: results.map(\.name), types: types.map { $0?.tensor })
    for (index, (result, id)) in zip(results, made).enumerated() {
      guard let name = result.name, let id else { continue }
      try define(name, at: result.offset, id)
      if let type = types[index], type.tensor == nil { builder.declare(id, type) }
    }
  }
}
