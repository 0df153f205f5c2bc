public import Diagnostics
public import GraphIR
internal import Glibc
public import Tensors

extension ReductionOp: Operator {
  public var mnemonic: String {
    switch kind {
    case .sum: "ReduceSum"
    case .mean: "ReduceMean"
    case .max: "ReduceMax"
    case .min: "ReduceMin"
    case .prod: "ReduceProd"
    case .l1: "ReduceL1"
    case .l2: "ReduceL2"
    case .sumSquare: "ReduceSumSquare"
    case .logSum: "ReduceLogSum"
    case .logSumExp: "ReduceLogSumExp"
    case .argMax, .lastArgMax: "ArgMax"
    case .argMin, .lastArgMin: "ArgMin"
    }
  }
  public var domain: String { "" }
  public var arity: Arity { Arity(1...2) }

  private var isIndex: Bool {
    switch kind {
    case .argMax, .argMin, .lastArgMax, .lastArgMin: true
    default: false
    }
  }

  /// The reduced axes, sorted; nil when they are not known.
  private func reducedAxes(_ operands: [Fact?], rank: Int) throws(Failure) -> [Int]? {
    guard let list = operands.fact(1) else { return noopWithEmptyAxes ? [] : Array(0..<rank) }
    if let shape = list.type.shape, shape.rank > 1 { throw mismatch("axes of shape \(shape)") }
    guard let axes = list.value?.integers else { return nil }
    if axes.isEmpty { return noopWithEmptyAxes ? [] : Array(0..<rank) }
    return try self.axes(axes, rank: rank).sorted()
  }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try x.type.element == .bool && (kind == .max || kind == .min) ? () : checkNumeric(x.type.element)
    if let axes = operands.fact(1), axes.type.element != .int64 { throw Failure(.typeMismatch, "\(mnemonic) has axes of \(axes.type.element.name)") }
    let element: ElementType = isIndex ? .int64 : x.type.element
    guard let shape = x.type.shape else { return [Fact(TensorType(element, nil))] }
    guard let axes = try reducedAxes(operands, rank: shape.rank) else {
      if keepDims { return [Fact(TensorType(element, .unknown(rank: shape.rank)))] }
      if let count = operands.fact(1)?.type.shape?.dims.first?.value, count > 0, count <= shape.rank {
        return [Fact(TensorType(element, .unknown(rank: shape.rank - count)))]
      }
      return [Fact(TensorType(element, nil))]
    }
    var dims: [Dim] = []
    for (index, dim) in shape.dims.enumerated() {
      if !axes.contains(index) { dims.append(dim) } else if keepDims { dims.append(1) }
    }
    return [Fact(TensorType(element, Shape(dims)), value: symbolicValue(x, axes, rank: shape.rank))]
  }

  /// Sums, products and extremes of a whole vector of sizes.
  private func symbolicValue(_ x: Fact, _ axes: [Int], rank: Int) -> KnownValue? {
    guard ShapeArithmetic.isSymbolic(x), let vector = ShapeArithmetic.elements(x), axes.count == rank, let first = vector.elements.first else { return nil }
    var result = first
    for dim in vector.elements.dropFirst() {
      let next: Dim?
      switch kind {
      case .sum: next = result.adding(dim)
      case .prod: next = result.multiplied(by: dim)
      case .max: next = result.maximum(dim)
      case .min: next = result.minimum(dim)
      default: next = nil
      }
      guard let next else { return nil }
      result = next
    }
    switch kind {
    case .sum, .prod, .max, .min: break
    default: return nil
    }
    return ShapeArithmetic.value(SymbolicVector(dims: keepDims ? [Int](repeating: 1, count: rank) : [], elements: [result]), x.type.element)
  }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(elementwise: operands.first??.elementCount ?? 0) }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0)
    let facts = operands.map { $0.map { Fact($0.type, value: .tensor($0)) } }
    guard let axes = try reducedAxes(facts, rank: x.dims.count) else { throw Failure(.operatorNotRunnable, "\(mnemonic): the axes are not known") }
    if axes.isEmpty, noopWithEmptyAxes, !isIndex, kind != .l1, kind != .l2, kind != .sumSquare, kind != .logSum, kind != .logSumExp { return [x] }
    let strides = rowMajorStrides(x.dims)
    let kept = x.dims.indices.filter { !axes.contains($0) }
    let starts = offsets(dims: kept.map { x.dims[$0] }, strides: kept.map { strides[$0] })
    let places = offsets(dims: axes.map { x.dims[$0] }, strides: axes.map { strides[$0] })
    // Of nothing the maximum is the least number there is, and the other way round; an index there is none.
    guard !places.isEmpty || !isIndex else { throw mismatch("an empty axis has no extreme") }
    if x.elementType == .bool {
      let truths = x.truths()
      let result = starts.map { start in kind == .max ? places.contains { truths[start + $0] } : places.allSatisfy { truths[start + $0] } }
      return [try Tensor(dims: dims, truths: result)]
    }
    if x.elementType.isInteger, let reduce = wholeReduction {
      guard !places.isEmpty || (kind != .max && kind != .min) else { throw notRunnable(x.elementType) }
      if isIndex || kind == .max || kind == .min {
        let values = try x.ordered(for: mnemonic)
        let result = starts.map { start in reduce(values, start, places) }
        return [isIndex ? try Tensor(element, dims: dims, wholes: result) : try Tensor(element, dims: dims, ordered: result)]
      }
      let values = try x.wholes(for: mnemonic)
      return [try Tensor(element, dims: dims, wholes: starts.map { start in reduce(values, start, places) })]
    }
    let values = try x.reals(for: mnemonic)
    let result = starts.map { start in realReduction(values, start, places) }
    if element.isFloatingPoint { return [try Tensor(element, dims: dims, reals: result)] }
    return [try Tensor(element, dims: dims, wholes: result.map { saturated($0) })]
  }

  private var wholeReduction: (([Int], Int, [Int]) -> Int)? {
    switch kind {
    case .sum: { x, start, places in places.reduce(0) { $0 &+ x[start + $1] } }
    case .prod: { x, start, places in places.reduce(1) { $0 &* x[start + $1] } }
    case .max: { x, start, places in places.reduce(.min) { Swift.max($0, x[start + $1]) } }
    case .min: { x, start, places in places.reduce(.max) { Swift.min($0, x[start + $1]) } }
    case .l1: { x, start, places in places.reduce(0) { $0 &+ (x[start + $1] < 0 ? 0 &- x[start + $1] : x[start + $1]) } }
    case .sumSquare: { x, start, places in places.reduce(0) { $0 &+ x[start + $1] &* x[start + $1] } }
    case .mean: { x, start, places in places.isEmpty ? 0 : places.reduce(0) { $0 &+ x[start + $1] } / places.count }
    case .argMax: { x, start, places in places.indices.reduce(0) { x[start + places[$1]] > x[start + places[$0]] ? $1 : $0 } }
    case .argMin: { x, start, places in places.indices.reduce(0) { x[start + places[$1]] < x[start + places[$0]] ? $1 : $0 } }
    case .lastArgMax: { x, start, places in places.indices.reduce(0) { x[start + places[$1]] >= x[start + places[$0]] ? $1 : $0 } }
    case .lastArgMin: { x, start, places in places.indices.reduce(0) { x[start + places[$1]] <= x[start + places[$0]] ? $1 : $0 } }
    case .l2, .logSum, .logSumExp: nil
    }
  }

  private func realReduction(_ x: [Double], _ start: Int, _ places: [Int]) -> Double {
    switch kind {
    case .sum: return places.reduce(0) { $0 + x[start + $1] }
    case .mean: return places.reduce(0) { $0 + x[start + $1] } / Double(places.count)
    case .prod: return places.reduce(1) { $0 * x[start + $1] }
    case .max: return places.reduce(-.infinity) { $0.isNaN || x[start + $1].isNaN ? .nan : Swift.max($0, x[start + $1]) }
    case .min: return places.reduce(.infinity) { $0.isNaN || x[start + $1].isNaN ? .nan : Swift.min($0, x[start + $1]) }
    case .l1: return places.reduce(0) { $0 + abs(x[start + $1]) }
    case .l2: return places.reduce(0) { $0 + x[start + $1] * x[start + $1] }.squareRoot()
    case .sumSquare: return places.reduce(0) { $0 + x[start + $1] * x[start + $1] }
    case .logSum: return log(places.reduce(0) { $0 + x[start + $1] })
    case .logSumExp:
      let top = places.reduce(-Double.infinity) { Swift.max($0, x[start + $1]) }
      return top.isFinite ? top + log(places.reduce(0) { $0 + exp(x[start + $1] - top) }) : top
    case .argMax: return Double(places.indices.reduce(0) { x[start + places[$1]] > x[start + places[$0]] ? $1 : $0 })
    case .lastArgMax: return Double(places.indices.reduce(0) { x[start + places[$1]] >= x[start + places[$0]] ? $1 : $0 })
    case .lastArgMin: return Double(places.indices.reduce(0) { x[start + places[$1]] <= x[start + places[$0]] ? $1 : $0 })
    case .argMin: return Double(places.indices.reduce(0) { x[start + places[$1]] < x[start + places[$0]] ? $1 : $0 })
    }
  }
}
