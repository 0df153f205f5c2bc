internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Runs every operator by its reference kernel, single precision widened to double, and frees values behind their last
/// reader.
struct ReferencePlan {
  private let typed: TypedGraph
  private let wanted: [ValueID]
  private let nodes: [NodeID]
  /// For each node, the values that nobody reads afterwards.
  private let freed: [[ValueID]]

  var count: Int { nodes.count }

  init(_ typed: TypedGraph, wanted: [ValueID]) throws(Failure) {
    self.typed = typed
    self.wanted = wanted
    let graph = typed.graph
    var (needed, pending) = (Set<NodeID>(), wanted)
    while let value = pending.popLast() {
      guard graph.constant(value) == nil, let node = graph.producer(of: value), needed.insert(node).inserted else { continue }
      pending += graph[node].reads
    }
    nodes = graph.order.filter { needed.contains($0) }
    for id in nodes where graph[id].op.semantics == nil {
      throw Failure(.operatorNotRunnable, "there is no kernel for \(graph[id].op.name.mnemonic)", at: .element(graph[id].name))
    }
    var lastReader: [ValueID: Int] = [:]
    for (index, id) in nodes.enumerated() { for value in graph[id].reads { lastReader[value] = index } }
    var freed = [[ValueID]](repeating: [], count: nodes.count)
    for (value, index) in lastReader where !wanted.contains(value) { freed[index].append(value) }
    self.freed = freed
  }

  func run(_ inputs: [ValueID: Tensor]) throws(Failure) -> RunResult {
    let graph = typed.graph
    var values: [ValueID: Tensor] = [:]
    for (value, tensor) in inputs { values[value] = try widened(tensor) }
    func tensor(_ value: ValueID) throws(Failure) -> Tensor {
      if let known = values[value] { return known }
      guard let constant = graph.constant(value) else { throw Failure(.internalError, "'\(graph[value].name)' is read before it is computed") }
      let wide = try widened(constant)
      values[value] = wide
      return wide
    }
    for (index, id) in nodes.enumerated() {
      let node = graph[id]
      do throws(Failure) {
        guard let op = node.op.widened.semantics else { throw Failure(.operatorNotRunnable, "there is no kernel for \(node.op.name.mnemonic)") }
        var operands: [Tensor?] = []
        for input in node.inputs { if let input { operands.append(try tensor(input)) } else { operands.append(nil) } }
        let results = try op.evaluate(operands, resultCount: node.outputs.count)
        for (output, result) in zip(node.outputs, results) { if let output { values[output] = result } }
      } catch {
        throw error.located(element: node.name.isEmpty ? node.outputs.compactMap { $0 }.first.map { graph[$0].name } : node.name)
      }
      for value in freed[index] { values[value] = nil }
    }
    var result: [ValueID: Tensor] = [:]
    for value in wanted { result[value] = try tensor(value) }
    return RunResult(values: result)
  }

  private func widened(_ tensor: Tensor) throws(Failure) -> Tensor {
    guard tensor.elementType == .float32, let values = tensor.doubles() else { return tensor }
    return try Tensor(float64: values, dims: tensor.dims)
  }
}

extension Op {
  /// The operator with single precision replaced by double where it names a type.
  fileprivate var widened: Op {
    switch self {
    case .cast(to: .float32): .cast(to: .float64)
    case .generator(.constantOfShape(let fill)) where fill.elementType == .float32: .generator(.constantOfShape(FillValue(.float64, fill.value)))
    default: self
    }
  }
}
