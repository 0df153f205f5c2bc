internal import Diagnostics
internal import Tensors

/// Integer arithmetic on shapes, done while types are inferred: what `Shape`, `Gather`, `Concat`, `Mul` … make of
/// symbolic dimensions.
///
/// Only operands with a symbol in them are handled here; where all are tensors, `Inference` runs the reference kernel.
/// Numbers may also pass through float types (exporters cast a size to float and back), as long as they stay whole.
enum ShapeArithmetic {
  /// Longer vectors are data and not shapes.
  static let countLimit = 1024

  /// The elements of a small tensor as dimensions, of any rank; nil for what is not whole.
  static func elements(_ fact: Fact?) -> SymbolicVector? {
    switch fact?.value {
    case .symbolic(let vector): return vector
    case .tensor(let tensor):
      guard tensor.count <= countLimit else { return nil }
      if let integers = tensor.integers() { return SymbolicVector(dims: tensor.dims, elements: integers.map { Dim($0) }) }
      guard tensor.elementType.isFloatingPoint, let doubles = tensor.doubles() else { return nil }
      let whole = doubles.compactMap { Int(exactly: $0) }
      return whole.count == doubles.count ? SymbolicVector(dims: tensor.dims, elements: whole.map { Dim($0) }) : nil
    case nil: return nil
    }
  }

  static func isSymbolic(_ fact: Fact?) -> Bool { if case .symbolic = fact?.value { true } else { false } }

  /// A value of these elements: a tensor once no symbol is left.
  static func value(_ vector: SymbolicVector, _ element: ElementType) -> KnownValue {
    guard let numbers = Shape(vector.elements).concrete else { return .symbolic(vector) }
    let tensor =
      element.isFloatingPoint
      ? try? Tensor(element, dims: vector.dims, reals: numbers.map { Double($0) }) : try? Tensor(element, dims: vector.dims, wholes: numbers)
    return tensor.map { .tensor($0) } ?? .symbolic(vector)
  }

  /// The result of an element-wise operator of one operand; nil when `body` cannot tell an element.
  static func map(_ operand: Fact?, _ element: ElementType, _ body: (Dim) -> Dim?) -> KnownValue? {
    guard isSymbolic(operand), let vector = elements(operand) else { return nil }
    let results = vector.elements.compactMap(body)
    return results.count == vector.elements.count ? value(SymbolicVector(dims: vector.dims, elements: results), element) : nil
  }

  /// The result of a broadcasting operator of two operands.
  static func combine(_ a: Fact?, _ b: Fact?, shape: Shape?, _ element: ElementType, _ body: (Dim, Dim) -> Dim?) -> KnownValue? {
    guard isSymbolic(a) || isSymbolic(b), let dims = shape?.concrete, let first = elements(a), let second = elements(b),
      let count = dims.checkedProduct, count <= countLimit
    else { return nil }
    let results = broadcastMap(first.elements, first.dims, second.elements, second.dims, to: dims, body).compactMap { $0 }
    return results.count == count ? value(SymbolicVector(dims: dims, elements: results), element) : nil
  }

  /// What an operator that only moves elements makes of symbolic ones: its kernel is run on the elements' numbers.
  ///
  /// - Parameter moved: the operands whose elements are moved; all others must be known tensors.
  static func moved(by op: some Operator, _ operands: [Fact?], moved: [Int], resultCount: Int) -> [KnownValue?] {
    let nothing = [KnownValue?](repeating: nil, count: resultCount)
    guard moved.contains(where: { isSymbolic(operands.fact($0)) }), let element = operands.fact(moved[0])?.type.element else { return nothing }
    var pool: [Dim] = []
    var stand: [Tensor?] = []
    for (index, operand) in operands.enumerated() {
      guard let operand else {
        stand.append(nil)
        continue
      }
      if moved.contains(index) {
        guard let vector = elements(operand),
          let numbered = try? Tensor(.int64, dims: vector.dims, wholes: Array(pool.count..<pool.count + vector.elements.count))
        else { return nothing }
        pool += vector.elements
        stand.append(numbered)
      } else {
        guard case .tensor(let tensor)? = operand.value, tensor.count <= countLimit else { return nothing }
        stand.append(tensor)
      }
    }
    let facts = stand.map { $0.map { Fact($0.type, value: .tensor($0)) } }
    guard let types = try? op.infer(facts, resultCount: resultCount),
      types.allSatisfy({ $0.type.shape?.concrete?.checkedProduct.map { $0 <= countLimit } ?? false }),
      let results = try? op.evaluate(stand, resultCount: resultCount)
    else { return nothing }
    return results.map { result in
      guard let places = result.integers(), places.allSatisfy({ pool.indices.contains($0) }) else { return nil }
      return value(SymbolicVector(dims: result.dims, elements: places.map { pool[$0] }), element)
    }
  }
}
