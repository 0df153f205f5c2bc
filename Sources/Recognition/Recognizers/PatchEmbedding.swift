internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// The patch embedding (Dosovitskiy et al. 2021): a convolution whose stride is its kernel, its positions laid out as
/// tokens, other tokens joined before or behind them.
enum PatchEmbedding {
  static func geometry(_ view: GraphView) -> TokenGeometry? {
    guard let stem = stem(view), let output = view.graph[stem.convolution].output(0), let shape = view.shape(output), stem.grid.count == 2 else { return nil }
    return joined(view, from: output, shape: shape, height: stem.grid[0], width: stem.grid[1])
  }

  /// The convolution that cuts the image into patches: the first one whose stride is its kernel, when it reads the image
  /// itself.
  static func stem(_ view: GraphView) -> (convolution: NodeID, patch: [Int], grid: [Int])? {
    for (id, node) in view.graph.liveNodes {
      guard case .convolution(.conv(let window, groups: 1)) = node.op, let weight = node.input(1), let kernel = view.shape(weight)?.concrete, kernel.count == 4,
        window.strides == Array(kernel[2...]), kernel[2] > 1 || kernel[3] > 1, let image = node.input(0), readsImage(image, view), let output = node.output(0),
        let shape = view.shape(output), shape.rank == 4
      else { continue }
      let grid = [shape[2].value, shape[3].value].compactMap { $0 }
      return (id, Array(kernel[2...]), grid.count == 2 ? grid : [])
    }
    return nil
  }

  /// Whether nothing but scaling, casts and rearrangements stands between an input of the graph and a value.
  private static func readsImage(_ value: ValueID, _ view: GraphView) -> Bool {
    var value = value
    for _ in 0..<16 {
      guard let (_, node) = view.producer(value) else { return view.graph.inputs.contains(value) }
      let activations = node.inputs.compactMap { $0 }.filter { view.isActivation($0) }
      guard activations.count == 1 else { return false }
      switch node.op {
      case .binary, .cast, .clip, .unary, .layout, .indexing(.resize), .normalization(.batch): value = activations[0]
      default: return false
      }
    }
    return false
  }

  /// Follows the patches to where other tokens join them. Slices that part the tokens again (registers are set in behind
  /// the class token that way) are followed while they keep all patches.
  private static func joined(_ view: GraphView, from start: ValueID, shape: Shape, height: Int, width: Int) -> TokenGeometry? {
    let patches = AxisLayout.normalized([AxisFactor(.base(2), size: Dim(height)), AxisFactor(.base(3), size: Dim(width))])
    var value = start
    var layout = AxisLayout(identity: shape)
    // Once patches are tokens: their axis, and how many tokens lie before and behind them.
    var tokens: (axis: Int, before: Int, after: Int)?
    var steps = 0
    follow: while steps < 64 {
      steps += 1
      if tokens == nil, let axis = layout.axes.firstIndex(of: patches) { tokens = (axis, 0, 0) }
      for id in view.uses.readers(of: value) {
        let node = view.graph[id]
        guard let output = node.output(0), let result = view.shape(output) else { continue }
        if keepsTokens(node, value, view) {
          value = output
          continue follow
        }
        guard let (axis, before, after) = tokens else {
          guard Rearrangement.isRearrangement(node), node.input(0) == value, let moved = Rearrangement.apply(node, to: layout, in: view.typed),
            moved.offsets.isEmpty
          else { continue }
          layout = moved
          value = output
          continue follow
        }
        if case .layout(.concat(let joint)) = node.op, (joint < 0 ? joint + result.rank : joint) == axis, let index = node.inputs.firstIndex(of: value) {
          let sizes = node.inputs.compactMap { $0.flatMap { view.shape($0)?[axis].value } }
          guard sizes.count == node.inputs.count else { return nil }
          tokens = (axis, before + sizes[..<index].reduce(0, +), after + sizes[(index + 1)...].reduce(0, +))
          value = output
          continue follow
        }
        guard Rearrangement.isRearrangement(node), node.input(0) == value, let whole = view.shape(value),
          let part = Rearrangement.apply(node, to: AxisLayout(identity: whole), in: view.typed), part.offsets.allSatisfy({ $0.key == .base(axis) }),
          let moved = part.axes.firstIndex(where: { $0.count == 1 && $0[0].source == .base(axis) && $0[0].stride == 1 }),
          let kept = result[moved].value, let all = whole[axis].value
        else { continue }
        let first = part.offsets[.base(axis)] ?? 0
        guard first <= before, first + kept >= all - after else { continue }
        tokens = (moved, before - first, first + kept - (all - after))
        value = output
        continue follow
      }
      break
    }
    return tokens.map { TokenGeometry(prefixTokens: $0.before, gridHeight: height, gridWidth: width, suffixTokens: $0.after) }
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
