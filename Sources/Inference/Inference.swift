public import Diagnostics
public import GraphIR
internal import Operators
internal import Tensors

/// Tells the type of every value: nodes are walked once, in order, each by its operator's shape rule; small constants
/// are folded on the way, by the reference kernels.
public enum Inference {
  /// Results up to this many elements are folded, from operands up to as many: weights are never read.
  public static let foldingLimit = 1 << 16
  /// Arithmetic that folding may take for one node and for a whole graph: a file cannot make reading it slow.
  static let nodeBudget = 1 << 22
  static let graphBudget = 1 << 24

  /// - Parameters:
  ///   - inputShapes: dimensions of graph inputs by name; they bind the symbols that the inputs declare.
  ///   - symbols: values of symbolic dimensions.
  ///   - sink: takes warnings where the file declares another type than the operators give.
  /// - Throws: `badRunInput` where shapes or symbols do not fit what the graph declares; `operandCount`, `shapeMismatch`,
  ///   `typeMismatch` or `sizeOverflow` at the node where the graph is wrong.
  public static func infer(
    _ graph: Graph, inputShapes: [String: [Int]] = [:], symbols: [String: Int] = [:], sink: inout DiagnosticSink
  ) throws(Failure) -> TypedGraph {
    let bindings = try Bindings(graph, inputShapes: inputShapes, symbols: symbols)
    var walk = Walk(graph: graph, bindings: bindings)
    try walk.seed()
    for id in graph.order { try walk.visit(id, sink: &sink) }
    return TypedGraph(graph: graph, facts: walk.facts, bindings: bindings, reliesOnDeclarations: walk.reliesOnDeclarations)
  }
}

/// The state of one walk: of a graph, or of a body in it (`Inference+Bodies`).
struct Walk {
  let graph: Graph
  let bindings: Bindings
  var facts: HandleMap<ValueTag, Fact?>
  /// Arithmetic that folding may still take.
  var budget: Int
  /// Bodies around this graph, and nodes of bodies that may still be walked: calls could multiply them without end.
  let depth: Int
  var bodyNodes: Int
  /// Whether anything is known because the file says so and no rule tells it.
  var reliesOnDeclarations = false

  init(graph: Graph, bindings: Bindings, depth: Int = 0, bodyNodes: Int = 1 << 20, budget: Int = Inference.graphBudget) {
    self.graph = graph
    self.bindings = bindings
    self.depth = depth
    self.bodyNodes = bodyNodes
    self.budget = budget
    facts = HandleMap(count: graph.values.count, initial: nil)
  }

  mutating func seedConstants() {
    for index in 0..<graph.values.count {
      let id = ValueID(raw: UInt32(index))
      if case .constant(let tensor) = graph[id].definition { facts[id] = Fact(tensor.type, value: .tensor(tensor)) }
    }
  }

  mutating func seed() throws(Failure) {
    seedConstants()
    for id in graph.inputs {
      guard let type = try bindings.type(ofInput: graph[id]) else { continue }
      facts[id] = Fact(named(type, graph[id].name))
    }
  }

  mutating func visit(_ id: NodeID, sink: inout DiagnosticSink) throws(Failure) {
    let node = graph[id]
    guard let op = node.op.semantics else {
      let results = factsOfBodies(node)
      for (index, output) in node.outputs.enumerated() {
        guard let output else { continue }
        if index < results.count, let fact = results[index] {
          facts[output] = try reconciled(output, fact, sink: &sink)
        } else {
          facts[output] = try declaredFact(output)
        }
      }
      return
    }
    var operands: [Fact?] = []
    operands.reserveCapacity(node.inputs.count)
    var known = true
    for input in node.inputs {
      let fact = input.flatMap { facts[$0] }
      if input != nil, fact == nil { known = false }
      operands.append(fact)
    }
    do throws(Failure) {
      try op.checkArity(node)
      guard known else {
        for output in node.outputs { if let output { facts[output] = try declaredFact(output) } }
        return
      }
      var results = try op.inferred(operands, resultCount: node.outputs.count)
      guard results.count >= node.outputs.count else {
        throw Failure(.internalError, "\(op.mnemonic) infers \(results.count) results of \(node.outputs.count)")
      }
      fold(node, op, operands, &results)
      for (output, fact) in zip(node.outputs, results) {
        guard let output else { continue }
        facts[output] = try reconciled(output, fact, sink: &sink)
      }
    } catch {
      throw error.located(element: graph.label(of: node))
    }
  }

  /// Runs the reference kernel where every operand is a small known tensor. Operators that only rename the axes of what
  /// they are given pass constants of any size, since they read nothing.
  private mutating func fold(_ node: Node, _ op: any Operator, _ operands: [Fact?], _ results: inout [Fact]) {
    let views = node.op.isView
    var tensors: [Tensor?] = []
    tensors.reserveCapacity(operands.count)
    for operand in operands {
      guard let operand else {
        tensors.append(nil)
        continue
      }
      guard case .tensor(let tensor)? = operand.value, views || tensor.count <= Inference.foldingLimit else { return }
      tensors.append(tensor)
    }
    if !views {
      for result in results {
        guard let count = result.type.shape?.concrete?.checkedProduct, count <= Inference.foldingLimit else { return }
      }
    }
    if !views {
      let cost = op.cost(operands: tensors.map { $0?.type }, results: results.map(\.type))
      let moved = tensors.reduce(0) { $0 + ($1?.count ?? 0) } + results.reduce(0) { $0 + ($1.type.shape?.concrete?.checkedProduct ?? 0) }
      let (work, overflow) = cost.macs.addingReportingOverflow(cost.elementwise)
      guard !overflow, work >= 0, work <= Inference.nodeBudget, work + moved <= budget else { return }
      budget -= work + moved
    }
    // A kernel that is missing, or an index out of range, shows when the node is run.
    guard let folded = try? op.evaluate(tensors, resultCount: results.count), folded.count == results.count else { return }
    for (index, tensor) in folded.enumerated() { results[index] = Fact(tensor.type, value: .tensor(tensor)) }
  }

  /// The type that the file declares, for values that no rule tells of.
  private mutating func declaredFact(_ value: ValueID) throws(Failure) -> Fact? {
    guard let type = try bindings.declaredType(of: graph[value]) else { return nil }
    reliesOnDeclarations = true
    return Fact(named(type, graph[value].name))
  }

  /// The inferred fact, with unknown sizes taken from the file's declaration where it has them.
  private mutating func reconciled(_ id: ValueID, _ fact: Fact, sink: inout DiagnosticSink) throws(Failure) -> Fact {
    let value = graph[id]
    var fact = fact
    if value.declaredType != nil, let declared = try bindings.declaredType(of: value) {
      if declared.element != fact.type.element || !Inference.agree(declared.shape, fact.type.shape) {
        sink.report(
          Diagnostic(
            .shapeMismatch, "'\(value.name)' is declared as \(declared) and computed as \(fact.type)", at: .element(value.name), level: .warning))
      } else if let shape = fact.type.shape, let own = declared.shape {
        if fact.value == nil, shape.dims.contains(where: { $0.symbols.contains(Dim.unknown.description) }) {
          fact.type.shape = Shape(zip(shape.dims, own.dims).map { $0.symbols.contains(Dim.unknown.description) ? $1 : $0 })
          reliesOnDeclarations = true
        }
      } else if fact.type.shape == nil {
        fact.type.shape = declared.shape
        reliesOnDeclarations = true
      }
    }
    fact.type = named(fact.type, value.name)
    return fact
  }

  /// Gives unknown sizes a symbol of their own, so that two of them are not taken to be equal.
  private func named(_ type: TensorType, _ name: String) -> TensorType {
    guard let shape = type.shape, shape.dims.contains(where: { $0.value == nil && $0.symbols.contains(Dim.unknown.description) }) else { return type }
    let dims = shape.dims.enumerated().map { axis, dim in
      dim.symbols.contains(Dim.unknown.description) ? Dim(symbol: "\(name).\(axis)") : dim
    }
    return TensorType(type.element, Shape(dims))
  }
}

extension Inference {
  /// Whether two shapes may be those of one value.
  static func agree(_ a: Shape?, _ b: Shape?) -> Bool {
    guard let a, let b else { return true }
    return a.rank == b.rank && zip(a.dims, b.dims).allSatisfy { $0.value == nil || $1.value == nil || $0 == $1 }
  }
}

extension Op {
  /// Whether the result is the first operand's elements as they lie.
  var isView: Bool {
    switch self {
    case .unary(.identity), .layout(.reshape), .layout(.squeeze), .layout(.unsqueeze), .layout(.flatten): true
    default: false
    }
  }
}
