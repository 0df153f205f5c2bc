internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// Seeded inputs for a model without samples: numbers of mean 0 and variance 1, small non-negative integers.
enum RandomInputs {
  struct Made {
    var values: [ValueID: Tensor] = [:]
    /// By input name.
    var shapes: [String: [Int]] = [:]

    func arrays(_ graph: Graph) -> [String: Tensor] { Dictionary(values.map { (graph[$0.key].name, $0.value) }) { first, _ in first } }
  }

  /// `count` random samples, as many as fill whole batches where the graph fixes the batch.
  static func samples(for graph: Graph, count: Int, request: CommonRequest) throws(Failure) -> SampleSet {
    let first = try make(for: graph, shapes: request.shapes, batch: 1, seed: request.seed).arrays(graph)
    let shared = SampleAxis.shared(first, in: graph)
    let fixed = graph.inputs.lazy.map { graph[$0].name }.first { !shared.contains($0) }.flatMap { first[$0]?.dims.first } ?? 1
    let batches = fixed > 0 && shared.count < first.count ? (count + fixed - 1) / fixed : 1
    var parts = first.mapValues { [$0] }
    for batch in 1..<max(1, batches) {
      let made = try make(for: graph, shapes: request.shapes, batch: 1, seed: request.seed &+ UInt64(batch)).arrays(graph)
      for (name, tensor) in made where !shared.contains(name) { parts[name]?.append(tensor) }
    }
    var inputs: [String: Tensor] = [:]
    for (name, tensors) in parts { inputs[name] = tensors.count == 1 ? tensors[0] : try Tensor.concatenating(tensors) }
    return try SampleSet(inputs: inputs, shared: shared)
  }

  /// Whether there are made-up values of the input's type.
  static func canMake(_ input: Value) -> Bool {
    switch input.declaredType?.element {
    case .float32, .float64, .float16, .bfloat16, .int64, .int32, .uint8, .bool: true
    default: false
    }
  }

  /// Symbolic dimensions become `batch` on the first axis; any other must be in `shapes`.
  static func make(for graph: Graph, shapes: [String: [Int]], batch: Int, seed: UInt64) throws(Failure) -> Made {
    var random = SplitMix64(state: seed)
    var made = Made()
    for id in graph.inputs {
      let name = graph[id].name
      guard let type = graph[id].declaredType else { throw Failure(.badRunInput, "the input '\(name)' declares no type", at: .element(name)) }
      var dims = shapes[name] ?? []
      if shapes[name] == nil { dims = try concrete(type, batch: batch, name: name) }
      guard let count = dims.checkedProduct, count <= 1 << 30 else {
        throw Failure(.sizeOverflow, "the input '\(name)' would hold too many numbers", at: .element(name))
      }
      made.shapes[name] = dims
      made.values[id] = try tensor(type.element, dims: dims, count: count, random: &random, name: name)
    }
    return made
  }

  private static func concrete(_ type: TensorType, batch: Int, name: String) throws(Failure) -> [Int] {
    guard let shape = type.shape else {
      throw Failure(.badRunInput, "the input '\(name)' declares no shape", at: .element(name), advice: "fix it with --shape \(name)=…")
    }
    var dims: [Int] = []
    for (axis, dim) in shape.dims.enumerated() {
      if let value = dim.value {
        guard axis > 0 || value == batch || batch == 1 else {
          throw Failure(.badRunInput, "the input '\(name)' fixes its first axis at \(value), not \(batch)", at: .element(name), advice: "leave --batch out")
        }
        dims.append(value)
      } else if axis == 0 {
        dims.append(batch)
      } else {
        throw Failure(.badRunInput, "axis \(axis) of the input '\(name)' is '\(dim)'", at: .element(name), advice: "fix it with --shape \(name)=…")
      }
    }
    return dims
  }

  private static func tensor(_ type: ElementType, dims: [Int], count: Int, random: inout SplitMix64, name: String) throws(Failure) -> Tensor {
    switch type {
    case .float32: return try Tensor(float32: numbers(count, random: &random).map { Float($0) }, dims: dims)
    case .float64: return try Tensor(float64: numbers(count, random: &random), dims: dims)
    case .float16: return try Tensor(.float16, dims: dims, values: numbers(count, random: &random).map { Float16($0) })
    case .bfloat16:
      let exact = try Tensor(float32: numbers(count, random: &random).map { Float($0) }, dims: dims)
      guard let cast = Op.cast(to: .bfloat16).semantics else { return exact }
      return try cast.evaluate([exact], resultCount: 1)[0]
    case .int64: return try Tensor(int64: (0..<count).map { _ in Int64(random.next() % 8) }, dims: dims)
    case .int32: return try Tensor(.int32, dims: dims, values: (0..<count).map { _ in Int32(random.next() % 8) })
    case .uint8: return try Tensor(.uint8, dims: dims, values: (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) })
    case .bool: return try Tensor(.bool, dims: dims, values: (0..<count).map { _ in UInt8(random.next() & 1) })
    default: throw Failure(.badRunInput, "there are no made-up inputs of type \(type.name) for '\(name)'", at: .element(name))
    }
  }

  /// Uniform numbers of mean 0 and variance 1.
  private static func numbers(_ count: Int, random: inout SplitMix64) -> [Double] {
    let bound = 3.0.squareRoot()
    return (0..<count).map { _ in Double.random(in: -bound..<bound, using: &random) }
  }
}
