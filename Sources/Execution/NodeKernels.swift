internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Kernels
internal import Operators
internal import Tensors

/// Fast kernels for single nodes: plans of one node, kept by the node and the types of its operands.
struct NodeKernels {
  struct NodeKey: Hashable {
    private let program: ObjectIdentifier
    private let node: NodeID
    init(_ program: Program, _ node: NodeID) {
      self.program = ObjectIdentifier(program)
      self.node = node
    }
  }
  private struct Key: Hashable {
    var node: NodeKey
    var types: [TensorType?]
  }
  /// A plan and the values that its operands go to; constants went into the plan.
  private struct Prepared {
    var plan: ExecutionPlan
    var inputs: [ValueID?]
    var outputs: [ValueID?]
  }

  /// Below this much arithmetic, preparing a kernel costs more than the reference kernel takes.
  private static let worthwhile = 1 << 14
  /// Shapes may change with every run of a loop's body, so that plans are not kept without end.
  private static let capacity = 256

  private let options: RunOptions
  private var prepared: [Key: Prepared?] = [:]
  private var weights = WeightCache()

  init(_ options: RunOptions) {
    var options = options
    options.profiles = false
    options.timeLimit = nil
    self.options = options
  }

  /// The results, or nil where the reference kernel is as good or the only one.
  mutating func run(
    _ node: Node, _ semantics: any Operator, _ operands: [Tensor?], isConstant: (Int) -> Bool, key node_: NodeKey
  ) throws(Failure) -> [Tensor]? {
    guard NodeKernels.hasFastKernels(node.op), operands.allSatisfy({ $0.map { $0.elementType == .float32 || $0.count <= 64 } ?? true }) else { return nil }
    let key = Key(node: node_, types: operands.map { $0?.type })
    let entry: Prepared?
    if let known = prepared[key] {
      entry = known
    } else {
      entry = try prepare(node, semantics, operands, isConstant)
      if prepared.count >= NodeKernels.capacity {
        prepared.removeAll()
        // Packed weights are known by where they lay, which ends with the plans that held them.
        weights = WeightCache()
      }
      prepared[key] = .some(entry)
    }
    guard let entry else { return nil }
    var inputs: [ValueID: Tensor] = [:]
    for (value, tensor) in zip(entry.inputs, operands) { if let value, let tensor { inputs[value] = tensor } }
    let result = try entry.plan.run(inputs)
    var tensors: [Tensor] = []
    for output in entry.outputs {
      guard let output else {
        // Nobody reads a result that is left out; something has to stand in its place.
        tensors.append(try Tensor(float32: [], dims: [0]))
        continue
      }
      guard let tensor = result.values[output] else { throw Failure(.internalError, "a plan of \(semantics.mnemonic) left a result out") }
      tensors.append(tensor)
    }
    return tensors
  }

  private static func hasFastKernels(_ op: Op) -> Bool {
    switch op {
    case .matrix, .convolution, .pooling, .normalization, .softmax, .attention, .reduction, .unary, .binary: true
    default: false
    }
  }

  private func prepare(_ node: Node, _ semantics: any Operator, _ operands: [Tensor?], _ isConstant: (Int) -> Bool) throws(Failure) -> Prepared? {
    let facts = operands.map { $0.map { Fact($0.type, value: .tensor($0)) } }
    let results = try semantics.infer(facts, resultCount: node.outputs.count)
    let cost = semantics.cost(operands: operands.map { $0?.type }, results: results.map(\.type))
    guard cost.macs >= NodeKernels.worthwhile || cost.elementwise >= NodeKernels.worthwhile, results.allSatisfy({ $0.type.shape?.concrete != nil }) else {
      return nil
    }
    var builder = GraphBuilder(name: "node")
    var inputs: [ValueID?] = []
    var reads: [ValueID?] = []
    for (index, operand) in operands.enumerated() {
      guard let operand else {
        inputs.append(nil)
        reads.append(nil)
        continue
      }
      // Small operands may steer the operator (axes, pads), and their elements are not part of the key.
      if isConstant(index) {
        inputs.append(nil)
        reads.append(builder.constant("operand\(index)", operand))
      } else {
        let value = builder.input("operand\(index)", operand.type)
        inputs.append(value)
        reads.append(value)
      }
    }
    guard inputs.contains(where: { $0 != nil }) else { return nil }
    let outputs = builder.node(
      Node(node.op, reads, name: node.name), results: node.outputs.indices.map { node.outputs[$0] == nil ? nil : "result\($0)" })
    builder.outputs(outputs.compactMap { $0 })
    var sink = DiagnosticSink()
    let typed = try Inference.infer(try builder.finish(), sink: &sink)
    guard outputs.allSatisfy({ $0.map { typed.shape(of: $0)?.concrete != nil } ?? true }) else { return nil }
    return Prepared(plan: try ExecutionPlan(typed, keeping: [], options: options, weights: weights), inputs: inputs, outputs: outputs)
  }
}
