internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Values that depend on no input, but on its sizes: a mask expanded to a batch that is not known, say. They are
/// evaluated with every symbol taken as 1.
enum BatchlessConstants {
  static let nodeLimit = 512

  /// nil where the value is too large, or depends on what cannot be evaluated.
  static func evaluate(_ value: ValueID, _ view: GraphView) -> Tensor? {
    if let tensor = view.typed.constant(value) { return tensor.count <= ScoreBiasReading.elementLimit ? tensor : nil }
    guard !view.isActivation(value) else { return nil }
    var done: [ValueID: Tensor] = [:]
    var order: [NodeID] = []
    var pending: [(id: NodeID, expanded: Bool)] = view.graph.producer(of: value).map { [($0, false)] } ?? []
    var seen = Set<NodeID>()
    // Depth first, operands before what reads them.
    while let (id, expanded) = pending.popLast() {
      if expanded {
        order.append(id)
        continue
      }
      guard seen.insert(id).inserted else { continue }
      guard seen.count <= nodeLimit else { return nil }
      pending.append((id, true))
      if size(view.graph[id], view) != nil { continue }
      for input in view.graph[id].inputs.compactMap({ $0 }) where view.typed.constant(input) == nil {
        guard let producer = view.graph.producer(of: input) else { return nil }
        pending.append((producer, false))
      }
    }
    for id in order {
      let node = view.graph[id]
      if let tensor = size(node, view) {
        if let output = node.output(0) { done[output] = tensor }
        continue
      }
      guard let semantics = node.op.semantics, fits(node, view) else { return nil }
      var operands: [Tensor?] = []
      for input in node.inputs {
        guard let input else {
          operands.append(nil)
          continue
        }
        guard let tensor = view.typed.constant(input) ?? done[input], tensor.count <= ScoreBiasReading.elementLimit else { return nil }
        operands.append(tensor)
      }
      guard let results = try? semantics.evaluate(operands, resultCount: node.outputs.count) else { return nil }
      for (output, tensor) in zip(node.outputs, results) { if let output { done[output] = tensor } }
    }
    return done[value]
  }

  /// The sizes that a Shape or Size node gives.
  private static func size(_ node: Node, _ view: GraphView) -> Tensor? {
    guard case .generator(let op) = node.op, let input = node.input(0), let shape = view.shape(input),
      let dims = shape.substituting(Dictionary(uniqueKeysWithValues: shape.dims.flatMap(\.symbols).uniqued().map { ($0, 1) }))?.concrete
    else { return nil }
    switch op {
    case .shape(let start, let end):
      let from = clamped(start, dims.count)
      let to = max(from, clamped(end ?? dims.count, dims.count))
      return try? Tensor(int64: dims[from..<to].map(Int64.init), dims: [to - from])
    case .size: return dims.checkedProduct.flatMap { try? Tensor(int64: [Int64($0)], dims: []) }
    case .constantOfShape, .range, .eyeLike: return nil
    }
  }

  private static func clamped(_ axis: Int, _ rank: Int) -> Int { min(max(axis < 0 ? axis + rank : axis, 0), rank) }

  /// Whether all results stay small with every symbol at 1.
  private static func fits(_ node: Node, _ view: GraphView) -> Bool {
    node.outputs.allSatisfy { output in
      guard let output, let shape = view.shape(output) else { return output == nil }
      let symbols = Dictionary(uniqueKeysWithValues: shape.dims.flatMap(\.symbols).uniqued().map { ($0, 1) })
      guard let count = shape.substituting(symbols)?.concrete?.checkedProduct else { return false }
      return count <= ScoreBiasReading.elementLimit
    }
  }
}

extension Array where Element: Hashable {
  fileprivate func uniqued() -> Set<Element> { Set(self) }
}
