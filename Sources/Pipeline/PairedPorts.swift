internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Which input and output of a model is which of its reference: by name where all names are the same, else by place. Images
/// may have their channels first in the one and last in the other.
struct PairedPorts {
  struct Pair {
    var reference: ValueID
    var model: ValueID
    /// The order of the reference's axes in which the model has them; nil: the same.
    var order: [Int]?
  }

  let inputs: [Pair]
  /// In the order of the reference.
  let outputs: [Pair]
  private let reference: Graph
  private let model: Graph

  /// - Throws: `badRunInput` where the numbers of inputs or outputs differ, or the shapes of a pair cannot be those of one tensor.
  init(reference: TypedGraph, model: TypedGraph, file: String) throws(Failure) {
    self.reference = reference.graph
    self.model = model.graph
    inputs = try PairedPorts.pairs(reference, reference.graph.inputs, model, model.graph.inputs, "inputs", file)
    outputs = try PairedPorts.pairs(reference, reference.graph.outputs, model, model.graph.outputs, "outputs", file)
  }

  private static func pairs(
    _ reference: TypedGraph, _ wanted: [ValueID], _ model: TypedGraph, _ given: [ValueID], _ kind: String, _ file: String
  ) throws(Failure) -> [Pair] {
    guard wanted.count == given.count else {
      throw Failure(.badRunInput, "the model has \(given.count) \(kind), its reference \(wanted.count)", at: .init(file: file))
    }
    let byName = Dictionary(given.map { (model.graph[$0].name, $0) }) { first, _ in first }
    let named = wanted.compactMap { byName[reference.graph[$0].name] }
    let partners = named.count == wanted.count ? named : given
    var result: [Pair] = []
    for (a, b) in zip(wanted, partners) {
      var pair = Pair(reference: a, model: b)
      if let x = reference.shape(of: a)?.dims, let y = model.shape(of: b)?.dims, !agree(x, y) {
        guard let order = [[0, 3, 1, 2], [0, 2, 3, 1]].first(where: { x.count == 4 && agree($0.map { x[$0] }, y) }) else {
          throw Failure(
            .badRunInput, "'\(model.graph[b].name)' is of shape \(Shape(y)), and '\(reference.graph[a].name)' of the reference of \(Shape(x))",
            at: .init(file: file))
        }
        pair.order = order
      }
      result.append(pair)
    }
    return result
  }

  /// Whether both can be the shape of one tensor. The first axis may be a batch, which each model fixes as it likes.
  private static func agree(_ a: [Dim], _ b: [Dim]) -> Bool {
    a.count == b.count && zip(a, b).dropFirst().allSatisfy { x, y in x.value == nil || y.value == nil || x.value == y.value }
  }

  /// Samples of the reference as the model takes them.
  func inputs(_ samples: SampleSet) throws(Failure) -> SampleSet {
    var result = samples
    result.inputs = [:]
    result.shared = []
    for pair in inputs {
      let (old, new) = (reference[pair.reference].name, model[pair.model].name)
      guard let tensor = samples.inputs[old] else { continue }
      result.inputs[new] = try pair.order.map { (order) throws(Failure) in try PairedPorts.turned(tensor, order) } ?? tensor
      if samples.shared.contains(old) { result.shared.insert(new) }
    }
    return try result.typed(for: model)
  }

  /// Outputs of the model in the order, and with the axes, of the reference's.
  func outputs(_ tensors: [Tensor]) throws(Failure) -> [Tensor] {
    var result: [Tensor] = []
    for pair in outputs {
      guard let index = model.outputs.firstIndex(of: pair.model), index < tensors.count else { continue }
      result.append(try pair.order.map { (order) throws(Failure) in try PairedPorts.turned(tensors[index], PairedPorts.inverse(order)) } ?? tensors[index])
    }
    return result
  }

  private static func inverse(_ order: [Int]) -> [Int] { order.indices.map { axis in order.firstIndex(of: axis) ?? axis } }

  private static func turned(_ tensor: Tensor, _ order: [Int]) throws(Failure) -> Tensor {
    guard let semantics = Op.layout(.transpose(order)).semantics, let result = try semantics.evaluate([tensor], resultCount: 1).first else {
      throw Failure(.internalError, "axes cannot be turned")
    }
    return result
  }
}
