internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Which axis of each value runs over the samples of a batch, as far as it can be shown that no sample's results depend on
/// another one: then a batch may be run in parts.
///
/// An axis of `k * samples` elements runs over samples when its element `i` belongs to sample `i / k`: windows split off an
/// image, say. What is shown rests on each operator's meaning; one that is not known here ends the attempt.
struct SampleAxes {
  enum Role: Equatable {
    /// The same for every sample, and for any number of them.
    case same
    case samples(axis: Int)
    /// Shape arithmetic on the number of samples: only shapes may be made of it, which inference has seen.
    case sizes
  }
  private(set) var roles: [ValueID: Role] = [:]
  private let whole, part: TypedGraph
  private let samples, partSamples: Int

  /// - Parameters:
  ///   - whole, part: the same graph, inferred for `samples` and `partSamples` samples.
  ///   - wanted: the values that a run gives.
  /// - Returns: nil where it cannot be shown.
  init?(_ whole: TypedGraph, samples: Int, _ part: TypedGraph, partSamples: Int, wanted: [ValueID]) {
    (self.whole, self.part, self.samples, self.partSamples) = (whole, part, samples, partSamples)
    let program = Program(whole.graph, wanted: wanted)
    for input in whole.graph.inputs { roles[input] = roleByShape(input) }
    for id in program.nodes {
      let node = whole.graph[id]
      for output in node.outputs.compactMap({ $0 }) where roles[output] == nil { roles[output] = knownRole(output) }
      let open = node.outputs.compactMap { $0 }.filter { roles[$0] == nil }
      if open.isEmpty { continue }
      guard let found = results(of: node) else { return nil }
      for output in open {
        guard fits(output, found) else { return nil }
        roles[output] = found
      }
    }
    for value in wanted {
      guard let role = role(value), role != .sizes else { return nil }
      roles[value] = role
    }
  }

  // MARK: Facts

  private func dims(_ value: ValueID) -> [Int]? { whole.type(of: value)?.shape?.concrete }
  private func partDims(_ value: ValueID) -> [Int]? { part.type(of: value)?.shape?.concrete }

  /// Of a value whose elements are known before the run in both graphs.
  private func knownRole(_ value: ValueID) -> Role? {
    if case .constant = whole.graph[value].definition { return .same }
    guard let a = whole.known(value), let b = part.known(value), let dims = dims(value), let others = partDims(value) else { return nil }
    if let x = a.integers, let y = b.integers {
      return dims == others && x == y ? .same : .sizes
    }
    guard case .tensor(let x) = a, case .tensor(let y) = b, dims == others, x.count <= 1 << 16 else { return nil }
    let equal = unsafe x.withUnsafeBytes { x in unsafe y.withUnsafeBytes { y in unsafe x.elementsEqual(y) } }
    return equal ? .same : nil
  }

  private func role(_ value: ValueID?) -> Role? {
    guard let value else { return nil }
    return roles[value] ?? knownRole(value)
  }

  /// Whether the sizes in both graphs are those of the role.
  private func fits(_ value: ValueID, _ role: Role) -> Bool {
    guard let a = dims(value), let b = partDims(value) else { return false }
    guard case .samples(let axis) = role else { return a == b }
    guard axis >= 0, a.indices.contains(axis), a.count == b.count, a[axis] % samples == 0, b[axis] % partSamples == 0,
      a[axis] / samples == b[axis] / partSamples
    else { return false }
    return a.indices.allSatisfy { $0 == axis || a[$0] == b[$0] }
  }

  /// Of a value that sizes alone decide: the one axis that grows with the samples.
  private func roleByShape(_ value: ValueID) -> Role? {
    guard let a = dims(value), let b = partDims(value), a.count == b.count else { return nil }
    let grown = a.indices.filter { a[$0] != b[$0] }
    if grown.isEmpty { return .same }
    guard grown.count == 1, fits(value, .samples(axis: grown[0])) else { return nil }
    return .samples(axis: grown[0])
  }

  // MARK: Operators

  /// The one role of a node's results; nil where samples might meet, or nothing is known.
  private func results(of node: Node) -> Role? {
    guard let output = node.outputs.compactMap({ $0 }).first else { return nil }
    let operands = node.inputs.map { $0 == nil ? nil : role($0) }
    guard zip(node.inputs, operands).allSatisfy({ $0 == nil || $1 != nil }) else { return nil }
    if operands.allSatisfy({ $0 == nil || $0 == .same }), dims(output) == partDims(output), node.op.isPure { return .same }
    switch node.op {
    case .unary, .clip, .cast, .conversion(.narrowing), .binary, .select: return broadcast(node, operands, output)
    case .matrix(let op): return matrix(node, operands, output, op)
    case .convolution(.conv), .pooling:
      // Places of maxima count through the whole batch.
      guard operands.first == .samples(axis: 0), rest(operands, 1), node.outputs.dropFirst().allSatisfy({ $0 == nil }) else { return nil }
      if case .pooling(.unpool) = node.op { return nil }
      return .samples(axis: 0)
    case .normalization(let op): return normalization(node, operands, op)
    case .softmax(.softmax(let axis)), .softmax(.logSoftmax(let axis)), .softmax(.hardmax(let axis)):
      guard let p = axisOf(operands.first), rest(operands, 1), p != from(axis, node.input(0)) else { return nil }
      return .samples(axis: p)
    case .reduction(let op): return reduction(node, operands, op)
    case .layout(let op): return layout(node, operands, op)
    case .indexing(.gather(let axis)):
      guard let data = node.input(0), let rank = dims(data)?.count, let places = node.input(1).flatMap({ dims($0) }) else { return nil }
      let axis = axis < 0 ? axis + rank : axis
      if let p = axisOf(operands[0]), operands[1] == .same, p != axis { return .samples(axis: p < axis ? p : p + places.count - 1) }
      if operands[0] == .same, let p = axisOf(operands[1]) { return .samples(axis: axis + p) }
      return nil
    case .attention(let op): return attention(node, operands, op)
    case .generator(.constantOfShape): return roleByShape(output)
    default: return nil
    }
  }

  private func axisOf(_ role: Role??) -> Int? {
    if case .samples(let axis)?? = role { axis } else { nil }
  }
  private func from(_ axis: Int, _ value: ValueID?) -> Int? {
    guard let value, let rank = dims(value)?.count else { return nil }
    return axis < 0 ? axis + rank : axis
  }
  /// Whether the operands from `start` on are the same for all samples.
  private func rest(_ operands: [Role?], _ start: Int) -> Bool { operands.dropFirst(start).allSatisfy { $0 == nil || $0 == .same } }

  /// Element by element: the samples' axes lie above each other, and what has none does not reach there.
  private func broadcast(_ node: Node, _ operands: [Role?], _ output: ValueID) -> Role? {
    guard let target = dims(output) else { return nil }
    return aligned(node.inputs, operands, rank: target.count)
  }

  private func aligned(_ inputs: [ValueID?], _ operands: [Role?], rank: Int) -> Role? {
    var axis: Int?
    for (value, operand) in zip(inputs, operands) {
      guard let value, let operand else { continue }
      guard operand != .sizes, let size = dims(value)?.count, size <= rank else { return nil }
      guard let p = axisOf(operand) else { continue }
      guard axis == nil || axis == p + rank - size else { return nil }
      axis = p + rank - size
    }
    guard let axis else { return nil }
    for (value, operand) in zip(inputs, operands) where operand == .same {
      guard let value, let dims = dims(value) else { return nil }
      let own = axis - (rank - dims.count)
      guard own < 0 || dims[own] == 1 else { return nil }
    }
    return .samples(axis: axis)
  }

  private func matrix(_ node: Node, _ operands: [Role?], _ output: ValueID, _ op: MatrixOp) -> Role? {
    guard let a = node.input(0), let b = node.input(1), let x = dims(a), let y = dims(b), let z = dims(output) else { return nil }
    switch op {
    case .gemm(_, _, let transposeA, _):
      guard !transposeA, operands[0] == .samples(axis: 0), operands[1] == .same else { return nil }
      guard let c = node.input(2) else { return .samples(axis: 0) }
      guard operands[2] == .same, let addend = dims(c), addend.count < 2 || addend[0] == 1 else { return nil }
      return .samples(axis: 0)
    case .fusedMatMul(let fused):
      guard !fused.transposeBatchA, !fused.transposeBatchB, !fused.transposeA || axisOf(operands[0]).map({ $0 < x.count - 2 }) ?? true else { return nil }
    case .matMul: break
    case .determinant, .einsum: return nil
    }
    guard x.count >= 2, y.count >= 2 else { return nil }
    // Rows of the left operand.
    if axisOf(operands[0]) == x.count - 2 {
      guard operands[1] == .same, y.dropLast(2).allSatisfy({ $0 == 1 }), z.count == x.count else { return nil }
      return .samples(axis: z.count - 2)
    }
    guard case .samples(let axis)? = aligned([a, b], Array(operands.prefix(2)), rank: z.count), axis < z.count - 2 else { return nil }
    return .samples(axis: axis)
  }

  private func normalization(_ node: Node, _ operands: [Role?], _ op: NormalizationOp) -> Role? {
    guard let input = node.input(0), let shape = dims(input), let p = axisOf(operands.first) else { return nil }
    switch op {
    case .layer(let axis, _), .rms(let axis, _):
      guard rest(operands, 1), p < (axis < 0 ? axis + shape.count : axis) else { return nil }
    case .batch, .localResponse:
      guard rest(operands, 1), p == 0, node.outputs.dropFirst().allSatisfy({ $0 == nil }) else { return nil }
    case .instance, .group: guard rest(operands, 1), p == 0 else { return nil }
    case .meanVariance(let axes): guard !axes.contains(where: { ($0 < 0 ? $0 + shape.count : $0) == p }) else { return nil }
    case .lp(let axis, _): guard p != (axis < 0 ? axis + shape.count : axis) else { return nil }
    case .skipLayer, .skipRMS:
      guard operands.count > 1, operands[1] == operands[0], node.input(1).flatMap({ dims($0) }) == shape, rest(operands, 2), p < shape.count - 1 else {
        return nil
      }
    case .batchTraining: return nil
    }
    return .samples(axis: p)
  }

  private func reduction(_ node: Node, _ operands: [Role?], _ op: ReductionOp) -> Role? {
    guard let input = node.input(0), let output = node.output(0), let shape = dims(input), let target = dims(output), let p = axisOf(operands.first),
      rest(operands, 1)
    else { return nil }
    guard let list = node.input(1).flatMap({ whole.constant($0)?.integers() }), !list.isEmpty else { return nil }
    let axes = list.map { $0 < 0 ? $0 + shape.count : $0 }
    guard !axes.contains(p) else { return nil }
    return .samples(axis: target.count == shape.count ? p : p - axes.count { $0 < p })
  }

  private func layout(_ node: Node, _ operands: [Role?], _ op: LayoutOp) -> Role? {
    guard let input = node.input(0), let output = node.output(0), let shape = dims(input), let target = dims(output) else { return nil }
    if case .expand = op, operands[0] == .same {
      // Repeated along an axis that the operand does not have.
      guard case .samples(let axis)? = roleByShape(output) else { return nil }
      let own = axis - (target.count - shape.count)
      return own < 0 || shape[own] == 1 ? .samples(axis: axis) : nil
    }
    if case .concat(let axis) = op {
      guard let p = axisOf(operands[0]), operands.allSatisfy({ $0 == operands[0] }), p != (axis < 0 ? axis + shape.count : axis) else { return nil }
      return .samples(axis: p)
    }
    guard let p = axisOf(operands[0]) else { return nil }
    switch op {
    case .reshape, .squeeze, .unsqueeze, .flatten:
      // As many elements before the samples as there were: what follows stays with its sample.
      let outer = shape[..<p].reduce(1, *)
      var product = 1
      for axis in target.indices {
        if product == outer, fits(output, .samples(axis: axis)) { return .samples(axis: axis) }
        product *= target[axis]
      }
      return nil
    case .transpose(let permutation):
      let axes = permutation.isEmpty ? Array(shape.indices.reversed()) : permutation.map { $0 < 0 ? $0 + shape.count : $0 }
      return axes.firstIndex(of: p).map { .samples(axis: $0) }
    case .expand:
      let axis = p + target.count - shape.count
      return axis >= 0 && target[axis] == shape[p] ? .samples(axis: axis) : nil
    case .split(let axis): return p != (axis < 0 ? axis + shape.count : axis) ? .samples(axis: p) : nil
    case .slice:
      guard rest(operands, 1), let starts = node.input(1).flatMap({ whole.known($0)?.integers }) else { return nil }
      let axes = node.input(3).flatMap { whole.known($0)?.integers } ?? Array(starts.indices)
      return axes.contains { ($0 < 0 ? $0 + shape.count : $0) == p } ? nil : .samples(axis: p)
    case .pad:
      guard rest(operands, 1), let pads = node.input(1).flatMap({ whole.known($0)?.integers }) else { return nil }
      let axes = node.input(3).flatMap { whole.known($0)?.integers } ?? Array(shape.indices)
      for (index, axis) in axes.enumerated() where (axis < 0 ? axis + shape.count : axis) == p {
        guard index + axes.count < pads.count, pads[index] == 0, pads[index + axes.count] == 0 else { return nil }
      }
      return .samples(axis: p)
    case .depthToSpace, .spaceToDepth: return p == 0 ? .samples(axis: 0) : nil
    case .concat, .tile, .centerCropPad, .reverseSequence: return nil
    }
  }

  private func attention(_ node: Node, _ operands: [Role?], _ op: AttentionOp) -> Role? {
    guard operands.first == .samples(axis: 0), node.outputs.dropFirst().allSatisfy({ $0 == nil }) else { return nil }
    switch op {
    case .standard, .multiHead:
      guard operands.count >= 3, operands[1] == operands[0], operands[2] == operands[0], (4..<16).allSatisfy({ node.input($0) == nil }) else { return nil }
      guard let extra = node.input(3) else { return .samples(axis: 0) }
      // A mask over queries and keys alone, or a bias of channels.
      guard operands[3] == .same, let shape = dims(extra), shape.count <= 2 || shape[0] == 1 else { return nil }
    case .packedProjection: guard rest(operands, 1), (3..<16).allSatisfy({ node.input($0) == nil }) else { return nil }
    }
    return .samples(axis: 0)
  }
}

extension Op {
  /// Whether its results are decided by its operands.
  fileprivate var isPure: Bool {
    switch self {
    case .random, .control, .call, .sequence, .foreign: false
    default: true
    }
  }
}
