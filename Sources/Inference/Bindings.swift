internal import Diagnostics
internal import GraphIR
internal import Tensors

/// What the caller fixes of a graph's symbolic sizes.
struct Bindings: Sendable {
  private(set) var symbols: [String: Int]
  private(set) var inputShapes: [String: [Int]]

  init(_ graph: Graph, inputShapes: [String: [Int]], symbols: [String: Int]) throws(Failure) {
    self.symbols = symbols
    self.inputShapes = inputShapes
    let inputs = graph.inputs.map { graph[$0] }
    var declared = Set<String>()
    for input in inputs { for dim in input.declaredType?.shape?.dims ?? [] { declared.formUnion(dim.symbols) } }
    for (name, value) in symbols {
      guard declared.contains(name) else { throw Failure(.badRunInput, "no input has a symbolic dimension '\(name)'", at: .element(name)) }
      guard value >= 0 else { throw Failure(.badRunInput, "the dimension '\(name)' cannot be \(value)", at: .element(name)) }
    }
    for (name, dims) in inputShapes.sorted(by: { $0.key < $1.key }) {
      guard let input = inputs.first(where: { $0.name == name }) else {
        throw Failure(.badRunInput, "the graph has no input '\(name)'; its inputs are \(inputs.map(\.name).joined(separator: ", "))", at: .element(name))
      }
      guard dims.checkedProduct != nil else { throw Failure(.badRunInput, "the shape \(dims) is no shape", at: .element(name)) }
      guard let shape = input.declaredType?.shape else { continue }
      guard shape.rank == dims.count else { throw Failure(.badRunInput, "'\(name)' has shape \(shape) and was given \(dims)", at: .element(name)) }
      for (dim, size) in zip(shape.dims, dims) {
        guard let symbol = dim.symbol else { continue }
        if let bound = self.symbols[symbol], bound != size {
          throw Failure(.badRunInput, "the dimension '\(symbol)' is \(bound) and \(size)", at: .element(name))
        }
        self.symbols[symbol] = size
      }
    }
    for (name, dims) in inputShapes.sorted(by: { $0.key < $1.key }) {
      guard let shape = inputs.first(where: { $0.name == name })?.declaredType?.shape?.substituting(self.symbols) else { continue }
      for (dim, size) in zip(shape.dims, dims) where dim.value != nil && dim.value != size {
        throw Failure(.badRunInput, "'\(name)' has shape \(shape) and was given \(dims)", at: .element(name))
      }
    }
  }

  /// The type of a graph input, what is fixed put in.
  func type(ofInput input: Value) throws(Failure) -> TensorType? {
    guard let dims = inputShapes[input.name], let element = input.declaredType?.element else { return try declaredType(of: input) }
    return TensorType(element, Shape(dims))
  }

  func declaredType(of value: Value) throws(Failure) -> TensorType? {
    guard let type = value.declaredType else { return nil }
    guard let shape = type.shape else { return type }
    if shape.concrete != nil {
      for dim in shape.dims {
        if let size = dim.value, size < 0 { throw Failure(.shapeMismatch, "'\(value.name)' has a size of \(size)", at: .element(value.name)) }
      }
      return type
    }
    guard let bound = shape.substituting(symbols) else {
      throw Failure(.sizeOverflow, "the shape \(shape) of '\(value.name)' overflows", at: .element(value.name))
    }
    return TensorType(type.element, bound)
  }
}
