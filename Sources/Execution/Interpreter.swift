internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Runs a graph node by node on values of any kind: for shapes that only the run knows, strings, elements below a byte,
/// sequences, optionals, control flow; and, with single precision widened to double, for judging the fast kernels.
///
/// Each node is given tensors whose shapes are known by then, so its shape rule is held against what really flows.
/// Heavy nodes run by the fast kernels (`NodeKernels`), all others by their reference kernels.
final class Interpreter {
  private let program: Program
  private let precision: Precision
  /// Elements that inference knows, beside the graph's own constants.
  private let known: (ValueID) -> Tensor?
  private let profiles: Bool
  private var kernels: NodeKernels?
  /// When the run has to be over.
  private var deadline: Double = .infinity
  private let timeLimit: Double?

  var count: Int { program.nodes.count }

  init(_ typed: TypedGraph, wanted: [ValueID], options: RunOptions) throws(Failure) {
    precision = options.precision
    profiles = options.profiles
    timeLimit = options.timeLimit
    // In double precision everything is computed again: what inference folded was rounded to single precision.
    known = options.precision == .reference ? { _ in nil } : { typed.constant($0) }
    kernels = options.precision == .reference ? nil : NodeKernels(options)
    program = Program(typed.graph, wanted: wanted, isKnown: { [known] in known($0) != nil })
    for id in program.nodes {
      guard case .foreign = typed.graph[id].op else { continue }
      throw Interpreter.noKernel(typed.graph[id])
    }
  }

  static func noKernel(_ node: Node) -> Failure {
    let (domain, mnemonic) = node.op.name
    return Failure(.operatorNotRunnable, "there is no kernel for \(domain.isEmpty ? mnemonic : "\(domain).\(mnemonic)")", at: .element(node.name))
  }

  func run(_ inputs: [ValueID: RuntimeValue]) throws(Failure) -> RunResult {
    deadline = timeLimit.map { Measurement.now + $0 } ?? .infinity
    var frame = Frame(program.graph)
    for (value, given) in inputs { frame[value] = precision == .reference ? try widened(given) : given }
    var profile: [StepTime] = []
    try run(program, &frame, known: known, profile: &profile)
    var result = RunResult(values: [:], profile: profile)
    for value in program.wanted {
      switch try self.value(value, of: program, &frame, known) {
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

  private func run(_ program: Program, _ frame: inout Frame, known: (ValueID) -> Tensor?, profile: inout [StepTime]) throws(Failure) {
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
          if let input { operands.append(try value(input, of: program, &frame, known)) } else { operands.append(nil) }
        }
        let results = try evaluate(
          node, operands, isConstant: { index in node.input(index).map { graph.constant($0) != nil } ?? false }, key: .init(program, id))
        guard results.count >= node.outputs.count else {
          throw Failure(.internalError, "\(node.op.name.mnemonic) made \(results.count) results of \(node.outputs.count)")
        }
        for (output, result) in zip(node.outputs, results) { if let output { frame[output] = result } }
      } catch {
        throw error.located(element: node.name.isEmpty ? node.outputs.compactMap { $0 }.first.map { graph[$0].name } : node.name)
      }
      if profiles { profile.append(StepTime(nodes: [id], kernel: node.op.name.mnemonic, start: start, seconds: Measurement.now - start)) }
      for value in program.freed[index] { frame[value] = nil }
    }
  }

  private func value(_ value: ValueID, of program: Program, _ frame: inout Frame, _ known: (ValueID) -> Tensor?) throws(Failure) -> RuntimeValue {
    if let value = frame[value] { return value }
    guard let constant = program.graph.constant(value) ?? known(value) else {
      throw Failure(.internalError, "'\(program.graph[value].name)' is read before it is computed")
    }
    let result = RuntimeValue.tensor(precision == .reference ? try widened(constant) : constant)
    frame[value] = result
    return result
  }

  // MARK: One node

  private func evaluate(
    _ node: Node, _ operands: [RuntimeValue?], isConstant: (Int) -> Bool, key: NodeKernels.NodeKey
  ) throws(Failure) -> [RuntimeValue] {
    if case .unary(.identity) = node.op, let first = operands.first, let value = first { return [value] }
    let op = precision == .reference ? node.op.widened : node.op
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
    return try semantics.evaluate(tensors, resultCount: node.outputs.count).map { .tensor($0) }
  }

  // MARK: Double precision

  private func widened(_ value: RuntimeValue) throws(Failure) -> RuntimeValue { try value.map { (tensor) throws(Failure) in try widened(tensor) } }

  private func widened(_ tensor: Tensor) throws(Failure) -> Tensor {
    guard tensor.elementType == .float32, let values = tensor.doubles() else { return tensor }
    return try Tensor(float64: values, dims: tensor.dims)
  }
}
