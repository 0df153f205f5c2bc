internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// The patch embedding (Dosovitskiy et al. 2021): a convolution whose stride is its kernel, its positions laid out as
/// tokens, other tokens joined before or behind them.
enum PatchEmbedding {
  static func geometry(_ view: GraphView) -> TokenGeometry? {
    for (_, node) in view.graph.liveNodes {
      guard case .convolution(.conv(let window, groups: 1)) = node.op, let weight = node.input(1), let kernel = view.shape(weight)?.concrete, kernel.count == 4,
        window.strides == Array(kernel[2...]), kernel[2] > 1 || kernel[3] > 1, let output = node.output(0), let shape = view.shape(output), shape.rank == 4,
        let height = shape[2].value, let width = shape[3].value
      else { continue }
      return joined(view, from: output, shape: shape, height: height, width: width)
    }
    return nil
  }

  /// Follows the patches to where other tokens join them.
  private static func joined(_ view: GraphView, from start: ValueID, shape: Shape, height: Int, width: Int) -> TokenGeometry? {
    var value = start
    guard var layout = Optional(AxisLayout(identity: shape)) else { return nil }
    let rows = AxisFactor(.base(2), size: Dim(height))
    let columns = AxisFactor(.base(3), size: Dim(width))
    let patches = AxisLayout.normalized([rows, columns])
    var result: TokenGeometry?
    for _ in 0..<32 {
      if result == nil, layout.axes.contains(patches) { result = TokenGeometry(prefixTokens: 0, gridHeight: height, gridWidth: width) }
      var next: ValueID?
      for id in view.uses.readers(of: value) {
        let node = view.graph[id]
        guard let output = node.output(0) else { continue }
        if Rearrangement.isRearrangement(node), node.input(0) == value, let moved = Rearrangement.apply(node, to: layout, in: view.typed), moved.offsets.isEmpty {
          layout = moved
          next = output
        } else if case .layout(.concat(let axis)) = node.op, let rank = view.shape(output)?.rank, let geometry = result {
          let position = axis < 0 ? axis + rank : axis
          guard layout.axes.indices.contains(position), layout.axes[position] == patches || position == layout.axes.count - 2,
            let index = node.inputs.firstIndex(of: value)
          else { continue }
          let sizes = node.inputs.map { $0.flatMap { view.shape($0)?[position].value } }
          guard sizes.allSatisfy({ $0 != nil }) else { return nil }
          let before = sizes[..<index].reduce(0) { $0 + ($1 ?? 0) }
          let after = sizes[(index + 1)...].reduce(0) { $0 + ($1 ?? 0) }
          result = TokenGeometry(
            prefixTokens: geometry.prefixTokens + before, gridHeight: height, gridWidth: width, suffixTokens: geometry.suffixTokens + after)
          if let grown = view.shape(output)?[position] { layout.axes[position] = [AxisFactor(.channel, size: grown)] }
          next = output
        } else if keepsTokens(node, value, view) {
          next = output
        }
        if next != nil { break }
      }
      guard let found = next else { return result }
      value = found
    }
    return result
  }

  /// Position embeddings, norms and casts leave tokens where they are.
  private static func keepsTokens(_ node: Node, _ value: ValueID, _ view: GraphView) -> Bool {
    guard let output = node.output(0), view.shape(output) == view.shape(value) else { return false }
    switch node.op {
    case .binary(.add), .binary(.multiply): return node.inputs.contains { $0.map { $0 != value && !view.isActivation($0) } ?? false }
    case .normalization, .unary(.identity), .cast: return node.input(0) == value
    default: return false
    }
  }
}
