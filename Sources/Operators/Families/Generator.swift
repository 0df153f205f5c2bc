public import Diagnostics
public import GraphIR
public import Tensors

extension GeneratorOp: Operator {
  public var mnemonic: String {
    switch self {
    case .shape: "Shape"
    case .size: "Size"
    case .constantOfShape: "ConstantOfShape"
    case .range: "Range"
    case .eyeLike: "EyeLike"
    }
  }
  public var domain: String { "" }
  public var arity: Arity { if case .range = self { Arity(3...3) } else { Arity(1...1) } }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    switch self {
    case .shape(let start, let end):
      guard let shape = x.type.shape else { return [Fact(TensorType(.int64, .unknown(rank: 1)))] }
      let dims = GeneratorOp.taken(shape.dims, start, end)
      let type = TensorType(.int64, Shape([Dim(dims.count)]))
      if dims.contains(.unknown) { return [Fact(type)] }
      return [Fact(type, value: ShapeArithmetic.value(SymbolicVector(dims: [dims.count], elements: dims), .int64))]
    case .size:
      let type = TensorType(.int64, Shape([Dim]()))
      guard let shape = x.type.shape, !shape.dims.contains(.unknown) else { return [Fact(type)] }
      guard let count = shape.elementCount else { throw Failure(.sizeOverflow, "Size of \(shape) overflows") }
      return [Fact(type, value: ShapeArithmetic.value(SymbolicVector(dims: [], elements: [count]), .int64))]
    case .constantOfShape(let fill):
      guard x.type.element == .int64 else { throw Failure(.typeMismatch, "ConstantOfShape of \(x.type.element.name)") }
      if let shape = x.type.shape, shape.rank != 1 { throw mismatch("a target of shape \(shape)") }
      if let dims = x.value?.dimensions {
        guard dims.allSatisfy({ ($0.value ?? 0) >= 0 }) else { throw mismatch("a target of \(dims)") }
        return [Fact(TensorType(fill.elementType, Shape(dims)))]
      }
      return [Fact(TensorType(fill.elementType, x.type.shape?[0].value.flatMap { $0 <= 64 ? .unknown(rank: $0) : nil }))]
    case .range:
      let element = try operands.sharedElement([0, 1, 2], of: mnemonic)
      try checkNumeric(element)
      return [Fact(TensorType(element, Shape([try rangeCount(operands, element)])))]
    case .eyeLike(let target, _):
      if let shape = x.type.shape { try checkRank(shape, 2...2, "the input") }
      return [Fact(TensorType(target ?? x.type.element, x.type.shape ?? .unknown(rank: 2)))]
    }
  }

  private static func taken(_ dims: [Dim], _ start: Int, _ end: Int?) -> [Dim] {
    let range = SliceBounds.range(start, end ?? dims.count, 1, size: dims.count)
    return Array(dims[range.first..<range.first + range.count])
  }

  /// `max(ceil((limit - start) / delta), 0)`
  private func rangeCount(_ operands: [Fact?], _ element: ElementType) throws(Failure) -> Dim {
    if element.isFloatingPoint {
      var numbers: [Double] = []
      for index in 0..<3 {
        guard case .tensor(let tensor)? = try operands.required(index).value else { return .unknown }
        guard let number = tensor.scalar else { throw mismatch("operand \(index) is no scalar") }
        numbers.append(number)
      }
      let count = ((numbers[1] - numbers[0]) / numbers[2]).rounded(.up)
      guard numbers[2] != 0, let whole = Int(exactly: max(count, 0)) else {
        throw Failure(.sizeOverflow, "Range from \(numbers[0]) to \(numbers[1]) by \(numbers[2])")
      }
      return Dim(whole)
    }
    var bounds: [Dim] = []
    for index in 0..<3 {
      guard let vector = ShapeArithmetic.elements(try operands.required(index)) else { return .unknown }
      guard vector.elements.count == 1 else { throw mismatch("operand \(index) is no scalar") }
      bounds.append(vector.elements[0])
    }
    if bounds[2].value == 0 { throw mismatch("the step is 0") }
    return try bounds[1].minus(bounds[0]).ceiled(by: bounds[2]).atLeast(0)
  }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost() }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    switch self {
    case .shape(let start, let end):
      return [try Tensor(.int64, dims: dims, wholes: GeneratorOp.taken(x.dims.map { Dim($0) }, start, end).compactMap(\.value))]
    case .size: return [try Tensor(.int64, dims: dims, wholes: [x.count])]
    case .constantOfShape(let fill):
      let count = dims.reduce(1, *)
      if element.isFloatingPoint { return [try Tensor(element, dims: dims, reals: [Double](repeating: fill.value, count: count))] }
      return [try Tensor(element, dims: dims, wholes: [Int](repeating: saturated(fill.value), count: count))]
    case .range:
      let delta = try operands.required(2)
      if element.isFloatingPoint {
        let start = try x.reals(for: mnemonic)[0]
        let step = try delta.reals(for: mnemonic)[0]
        return [try Tensor(element, dims: dims, reals: (0..<dims[0]).map { start + Double($0) * step })]
      }
      let start = try x.wholes(for: mnemonic)[0]
      let step = try delta.wholes(for: mnemonic)[0]
      return [try Tensor(element, dims: dims, wholes: (0..<dims[0]).map { start &+ $0 &* step })]
    case .eyeLike(_, let diagonal):
      var values = [Int](repeating: 0, count: dims.reduce(1, *))
      for row in 0..<dims[0] {
        let (column, overflow) = row.addingReportingOverflow(diagonal)
        if !overflow, 0..<dims[1] ~= column { values[row * dims[1] + column] = 1 }
      }
      if element.isFloatingPoint { return [try Tensor(element, dims: dims, reals: values.map { Double($0) })] }
      return [try Tensor(element, dims: dims, wholes: values)]
    }
  }
}
