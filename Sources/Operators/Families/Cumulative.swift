public import Diagnostics
public import GraphIR
public import Tensors

extension CumulativeOp: Operator {
  public var mnemonic: String { kind == .sum ? "CumSum" : "CumProd" }
  public var domain: String { "" }
  public var arity: Arity { Arity(2...2) }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkNumeric(x.type.element)
    let axis = try operands.required(1)
    guard axis.type.element == .int64 || axis.type.element == .int32 else {
      throw Failure(.typeMismatch, "\(mnemonic) has an axis of \(axis.type.element.name)")
    }
    if let shape = axis.type.shape { guard shape.elementCount?.agrees(with: 1) ?? false else { throw mismatch("an axis of shape \(shape)") } }
    if let list = axis.value?.integers, let rank = x.type.shape?.rank { _ = try axes(list, rank: rank) }
    return [Fact(x.type)]
  }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(elementwise: results.elementCount) }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    guard let given = try operands.required(1).wholes(for: mnemonic).first else { throw mismatch("no axis") }
    let rows = AxisRows(dims, axis: try axis(given, rank: dims.count))
    if element.isFloatingPoint {
      let numbers = try x.reals(for: mnemonic)
      let result = kind == .sum ? scanned(numbers, rows, from: 0) { $0 + $1 } : scanned(numbers, rows, from: 1) { $0 * $1 }
      return [try Tensor(element, dims: dims, reals: result)]
    }
    let numbers = try x.wholes(for: mnemonic)
    let result = kind == .sum ? scanned(numbers, rows, from: 0) { $0 &+ $1 } : scanned(numbers, rows, from: 1) { $0 &* $1 }
    return [try Tensor(element, dims: dims, wholes: result)]
  }

  private func scanned<T>(_ x: [T], _ rows: AxisRows, from start: T, _ body: (T, T) -> T) -> [T] {
    var result = x
    for outer in 0..<rows.outer {
      for inner in 0..<rows.inner {
        var total = start
        for step in 0..<rows.length {
          let place = (outer * rows.length + (reverse ? rows.length - 1 - step : step)) * rows.inner + inner
          let next = body(total, x[place])
          result[place] = exclusive ? total : next
          total = next
        }
      }
    }
    return result
  }
}
