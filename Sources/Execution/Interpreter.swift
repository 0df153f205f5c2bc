internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Runs a graph node by node on values of any kind: for shapes that only the run knows, strings, elements below a byte,
/// sequences, optionals, control flow; and, with single precision widened to double, for judging the fast kernels.
///
/// Each node is given tensors whose shapes are known by then, so its shape rule is held against what really flows.
/// Heavy nodes run by the fast kernels (`NodeKernels`), all others by their reference kernels. Bodies run the same way
/// (`Interpreter+Control`).
final class Interpreter {
  private let program: Program
  let precision: Precision
  private let profiles: Bool
  private var kernels: NodeKernels?
  private let timeLimit: Double?
  /// When the run has to be over.
  private var deadline: Double = .infinity
  private var programs: [Subgraph: Program] = [:]
  private let bodyRunLimit: Int
  private var bodyRuns = 0
  /// Bytes made since memory was last looked at.
  private var unchecked = 0

  var count: Int { program.nodes.count }

  init(_ typed: TypedGraph, wanted: [ValueID], options: RunOptions) throws(Failure) {
    precision = options.precision
    profiles = options.profiles
    timeLimit = options.timeLimit
    bodyRunLimit = options.bodyRunLimit
    kernels = options.precision == .reference ? nil : NodeKernels(options)
    // What inference folded is computed again: it may rest on what the file declares, and was rounded to single precision.
    program = Program(typed.graph, wanted: wanted)
    for id in program.nodes {
      guard case .foreign = typed.graph[id].op else { continue }
      throw Interpreter.noKernel(typed.graph[id], in: typed.graph)
    }
  }

  static func noKernel(_ node: Node, in graph: Graph? = nil) -> Failure {
    let label = graph?.label(of: node) ?? node.name
    if case .foreign(let op) = node.op { return Failure(.operatorNotRunnable, op.refusal, at: .element(label)) }
    let (domain, mnemonic) = node.op.name
    return Failure(.operatorNotRunnable, "there is no kernel for \(domain.isEmpty ? mnemonic : "\(domain).\(mnemonic)")", at: .element(label))
  }

  func run(_ inputs: [ValueID: RuntimeValue]) throws(Failure) -> RunResult {
    deadline = timeLimit.map { Measurement.now + $0 } ?? .infinity
    bodyRuns = 0
    var frame = Frame(program.graph)
    for (value, given) in inputs { frame[value] = precision == .reference ? try widened(given) : given }
    var profile: [StepTime] = []
    try run(program, &frame, profile: profiles ? { profile.append($0) } : nil)
    var result = RunResult(values: [:], profile: profile)
    for value in program.wanted {
      switch try self.value(value, of: program, &frame) {
      case .tensor(let tensor): result.values[value] = tensor
      case let other: result.containers[value] = other
      }
    }
    return result
  }

  // MARK: One graph

  /// The values of one run of one graph.
  private struct Frame {
    private var values: [RuntimeValue?]
    init(_ graph: Graph) { values = [RuntimeValue?](repeating: nil, count: graph.values.count) }
    subscript(_ value: ValueID) -> RuntimeValue? {
      get { values[value.index] }
      set { values[value.index] = newValue }
    }
  }

  /// One run of a body: formal inputs, and what the node captures; gives the body's outputs.
  func run(_ body: Subgraph, _ formals: [RuntimeValue], captured: [RuntimeValue]) throws(Failure) -> [RuntimeValue] {
    bodyRuns += 1
    guard bodyRuns <= bodyRunLimit else { throw Failure(.runLimit, "bodies of loops and functions run more than \(bodyRunLimit) times") }
    let program = program(of: body)
    guard body.formals.count == formals.count else {
      throw Failure(.operandCount, "a body takes \(body.formals.count) inputs and is given \(formals.count)")
    }
    var frame = Frame(body.graph)
    for (value, given) in zip(body.formals, formals) { frame[value] = given }
    for (value, index) in zip(body.graph.inputs.suffix(body.captures.count), body.captures) { frame[value] = captured[index] }
    try run(program, &frame, profile: nil)
    var results: [RuntimeValue] = []
    for output in body.graph.outputs { results.append(try value(output, of: program, &frame)) }
    return results
  }

  private func program(of body: Subgraph) -> Program {
    if let program = programs[body] { return program }
    let program = Program(body.graph, wanted: body.graph.outputs)
    programs[body] = program
    return program
  }

  private func run(_ program: Program, _ frame: inout Frame, profile: ((StepTime) -> Void)?) throws(Failure) {
    let graph = program.graph
    for (index, id) in program.nodes.enumerated() {
      let node = graph[id]
      let start = profiles || deadline < .infinity ? Measurement.now : 0
      do throws(Failure) {
        guard start <= deadline else {
          throw Failure(.runLimit, "the run takes longer than \(timeLimit ?? 0) s, and stops before \(node.op.name.mnemonic)")
        }
        var operands: [RuntimeValue?] = []
        operands.reserveCapacity(node.inputs.count)
        for input in node.inputs {
          if let input { operands.append(try value(input, of: program, &frame)) } else { operands.append(nil) }
        }
        var captured: [RuntimeValue] = []
        for value in node.captures { captured.append(try self.value(value, of: program, &frame)) }
        let isConstant = { (index: Int) in node.input(index).map { graph.constant($0) != nil } ?? false }
        let results = try evaluate(node, operands, captured, isConstant: isConstant, key: .init(program, id))
        guard results.count >= node.outputs.count else {
          throw Failure(.internalError, "\(node.op.name.mnemonic) made \(results.count) results of \(node.outputs.count)")
        }
        for (output, result) in zip(node.outputs, results) { if let output { frame[output] = result } }
        try checkMemory(results)
      } catch {
        throw error.located(element: graph.label(of: node))
      }
      profile?(StepTime(nodes: [id], kernel: node.op.name.mnemonic, start: start, seconds: Measurement.now - start))
      for value in program.freed[index] { frame[value] = nil }
    }
  }

  private func value(_ value: ValueID, of program: Program, _ frame: inout Frame) throws(Failure) -> RuntimeValue {
    if let value = frame[value] { return value }
    guard let constant = program.graph.constant(value) else {
      throw Failure(.internalError, "'\(program.graph[value].name)' is read before it is computed")
    }
    guard precision == .reference else { return .tensor(constant) }
    if let wide = program.widenedConstants[value] { return .tensor(wide) }
    let wide = try widened(constant)
    program.widenedConstants[value] = wide
    return .tensor(wide)
  }

  /// Sequences and nested loops may hold ever more, and no plan knows how much: the process is looked at now and then.
  private func checkMemory(_ results: [RuntimeValue]) throws(Failure) {
    for case .tensor(let tensor) in results { unchecked += tensor.byteCount }
    guard unchecked > 64 << 20 else { return }
    unchecked = 0
    guard Measurement.residentBytes <= Measurement.physicalBytes / 10 * 8 else {
      throw Failure(.outOfMemory, "the run holds \(Measurement.residentBytes >> 20) MiB of the machine's \(Measurement.physicalBytes >> 20)")
    }
  }

  // MARK: One node

  private func evaluate(
    _ node: Node, _ operands: [RuntimeValue?], _ captured: [RuntimeValue], isConstant: (Int) -> Bool, key: NodeKernels.NodeKey
  ) throws(Failure) -> [RuntimeValue] {
    let op = precision == .reference ? node.op.widened : node.op
    switch op {
    case .unary(.identity): if let first = operands.first, let value = first { return [value] }
    case .control(let control): return try run(control, node, operands, captured)
    case .call(let call): return try run(call.body, operands.compactMap { $0 }, captured: captured)
    case .sequence(let sequence):
      try sequence.arity.check(node, sequence.mnemonic)
      return try sequence.evaluate(operands, resultCount: node.outputs.count)
    case .catalogued(let row):
      guard let container = row.containerSemantics else { break }
      try container.arity.check(node, container.mnemonic)
      return try container.evaluate(operands, resultCount: node.outputs.count)
    default: break
    }
    guard let semantics = op.semantics else { throw Interpreter.noKernel(node) }
    try semantics.checkArity(node)
    var tensors: [Tensor?] = []
    tensors.reserveCapacity(operands.count)
    for (index, operand) in operands.enumerated() {
      switch operand {
      case nil: tensors.append(nil)
      case .tensor(let tensor)?: tensors.append(tensor)
      case .optional(.tensor(let tensor)?)?: tensors.append(tensor)
      case let other?: throw Failure(.typeMismatch, "\(semantics.mnemonic) takes tensors, and operand \(index) is \(other.kind)")
      }
    }
    if let results = try kernels?.run(node, semantics, tensors, isConstant: isConstant, key: key) { return results.map { .tensor($0) } }
    // Bits are those of the stored type.
    if precision == .reference, case .conversion(.bits(let target)) = op, target.bitWidth == 32 { tensors = try tensors.map(narrowed) }
    // Some operators make single precision whatever they are given: scales, statistics, scores.
    let made = try semantics.evaluate(tensors, resultCount: node.outputs.count)
    return try made.map { (tensor) throws(Failure) in .tensor(precision == .reference ? try widened(tensor) : tensor) }
  }

  // MARK: Double precision

  private func widened(_ value: RuntimeValue) throws(Failure) -> RuntimeValue { try value.map { (tensor) throws(Failure) in try widened(tensor) } }

  private func narrowed(_ tensor: Tensor?) throws(Failure) -> Tensor? {
    guard let tensor, tensor.elementType == .float64, let values = tensor.floats() else { return tensor }
    return try Tensor(float32: values, dims: tensor.dims)
  }

  private func widened(_ tensor: Tensor) throws(Failure) -> Tensor {
    guard tensor.elementType == .float32, let values = tensor.doubles() else { return tensor }
    return try Tensor(float64: values, dims: tensor.dims)
  }
}
