public import GraphIR
public import Inference
public import Recognition
public import Tensors

/// Finds the first place at which two models part: values that both have are compared in the reference's order.
///
/// Values are the same when they bear the same name and type, or play the same role in the block of the same number (its
/// input, map, merged heads, output, residual sum), or are the graph's input or output of the same number. So two
/// exports of one network, whose names have nothing in common, can be held against each other too.
public struct Bisect: Sendable {
  /// A value of the reference and of the model, in the reference's order.
  public struct Pair: Sendable, Hashable {
    public var reference: ValueID
    public var model: ValueID
  }

  /// One of two models, with what was recognized in it.
  public struct Side: Sendable {
    public var graph: TypedGraph
    public var blocks: [AttentionBlock]
    public init(graph: TypedGraph, blocks: [AttentionBlock]) {
      self.graph = graph
      self.blocks = blocks
    }
  }

  public let reference, model: Side
  public let pairs: [Pair]

  public init(reference: Side, model: Side) {
    self.reference = reference
    self.model = model
    pairs = Bisect.matched(reference, model)
  }

  /// The first pair whose values differ by more than rounding explains, named after the model's node that makes it; nil
  /// when no pair does.
  ///
  /// - Parameters:
  ///   - referenceValues: activations of the pairs' values, from ordinary runs of both on the same samples.
  ///   - exactValues: of the reference in float64, where it was run so; tolerances are measured from it, else bounded.
  ///   - arithmetic: the narrowest type that the models compute in.
  public func firstDifference(
    referenceValues: [ValueID: Tensor], modelValues: [ValueID: Tensor], exactValues: [ValueID: Tensor], arithmetic: ElementType = .float32,
    samples: Int
  ) -> FirstDifference? {
    let depths = exactValues.isEmpty ? reference.graph.roundingDepths() : nil
    for pair in pairs {
      guard let wanted = referenceValues[pair.reference], let got = modelValues[pair.model], let r = wanted.doubles(), let m = got.doubles() else { continue }
      guard
        let tolerance = exactValues[pair.reference].flatMap({ Tolerance.measured(wanted, exact: $0, arithmetic: arithmetic, samples: samples) })
          ?? depths.flatMap({ Tolerance.bounded($0[pair.reference], reference: wanted, arithmetic: arithmetic) })
      else { continue }
      var maxAbs = wanted.dims == got.dims ? 0 : Double.infinity
      for (a, b) in zip(r, m) where a != b { maxAbs = largest(maxAbs, abs(a - b)) }
      if maxAbs > tolerance.limit { return difference(at: pair, maxAbs, tolerance.limit) }
    }
    return nil
  }

  private func difference(at pair: Pair, _ maxAbs: Double, _ limit: Double) -> FirstDifference {
    let graph = model.graph.graph
    let producer = graph.producer(of: pair.model)
    let name = producer.map { graph[$0].name }.flatMap { $0.isEmpty ? nil : $0 } ?? graph[pair.model].name
    let block = reference.blocks.first { block in
      reference.graph.graph.producer(of: pair.reference).map { block.nodes.contains($0) || block.residualAdd == $0 } ?? false
    }
    return FirstDifference(block: block?.name, node: name, maxAbs: maxAbs, tolerance: limit)
  }

  private static func matched(_ reference: Side, _ model: Side) -> [Pair] {
    let (a, b) = (reference.graph.graph, model.graph.graph)
    var partner = sameNames(reference, model)
    if reference.blocks.count == model.blocks.count {
      for (x, y) in zip(reference.blocks, model.blocks) {
        let roles: [(ValueID?, ValueID?)] = [
          (x.projected?.normInput, y.projected?.normInput), (x.input, y.input), (map(x.projected), map(y.projected)),
          (x.projected?.merged, y.projected?.merged), (x.output, y.output), (x.residualSum, y.residualSum),
        ]
        for case let (value?, other?) in roles where partner[value] == nil && agree(reference.graph.type(of: value), model.graph.type(of: other)) {
          partner[value] = other
        }
      }
    }
    for (value, other) in zip(a.outputs, b.outputs) where partner[value] == nil { partner[value] = other }
    var pairs: [Pair] = []
    for (_, node) in a.liveNodes {
      for case let output? in node.outputs {
        guard let other = partner[output], reference.graph.type(of: output)?.element.isFloatingPoint ?? false, reference.graph.constant(output) == nil else {
          continue
        }
        pairs.append(Pair(reference: output, model: other))
      }
    }
    return pairs
  }

  /// Values of the same name, where the two graphs are relatives: made by the same operator, from operands that are not
  /// known to be others. Exports number their values, so names that two strangers share mean nothing: fewer than half of
  /// all are not believed.
  private static func sameNames(_ reference: Side, _ model: Side) -> [ValueID: ValueID] {
    let (a, b) = (reference.graph.graph, model.graph.graph)
    var byName: [String: (value: ValueID, node: Node)] = [:]
    for (_, node) in b.liveNodes {
      for case let output? in node.outputs { byName[b[output].name] = (output, node) }
    }
    var partner: [ValueID: ValueID] = [:]
    for (x, y) in zip(a.inputs, b.inputs) { partner[x] = y }
    var count = 0
    for (_, node) in a.liveNodes {
      for case let output? in node.outputs {
        count += 1
        guard let other = byName[a[output].name], other.node.op == node.op, agree(reference.graph.type(of: output), model.graph.type(of: other.value)),
          zip(node.inputs, other.node.inputs).allSatisfy({ x, y in x.flatMap { partner[$0] }.map { $0 == y } ?? true })
        else { continue }
        partner[output] = other.value
      }
    }
    return partner.count - a.inputs.count >= (count + 1) / 2 ? partner : [:]
  }

  private static func map(_ block: ProjectedAttention?) -> ValueID? {
    guard let block else { return nil }
    return if case .softmax(_, _, let probabilities, .separate) = block.core { probabilities } else { nil }
  }

  /// The same element type, and dimensions that are the same numbers where both are known.
  private static func agree(_ a: TensorType?, _ b: TensorType?) -> Bool {
    guard let a, let b, a.element == b.element else { return false }
    guard let x = a.shape, let y = b.shape else { return true }
    return x.rank == y.rank && zip(x.dims, y.dims).allSatisfy { $0.value == nil || $1.value == nil || $0 == $1 }
  }
}
