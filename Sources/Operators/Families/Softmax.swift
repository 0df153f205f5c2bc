public import Diagnostics
public import GraphIR
internal import Glibc
public import Tensors

extension SoftmaxOp: Operator {
  public var mnemonic: String {
    switch self {
    case .softmax: "Softmax"
    case .logSoftmax: "LogSoftmax"
    case .hardmax: "Hardmax"
    }
  }
  public var domain: String { "" }
  public var arity: Arity { Arity(1...1) }

  private var axis: Int {
    switch self {
    case .softmax(let axis), .logSoftmax(let axis), .hardmax(let axis): axis
    }
  }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let type = try operands.required(0).type
    try checkFloat(type.element)
    if let shape = type.shape { _ = try self.axis(axis, rank: shape.rank) }
    return [Fact(type)]
  }

  /// Maximum, difference, exponential, sum and quotient.
  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(elementwise: results.elementCount &* 5) }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0).reals(for: mnemonic)
    let rows = AxisRows(dims, axis: try self.axis(axis, rank: dims.count))
    let y: [Double]
    switch self {
    case .softmax: y = rows.map(x) { softmaxRow($0) }
    case .logSoftmax:
      y = rows.map(x) { logSoftmaxRow($0) }
    case .hardmax:
      y = rows.map(x) { row in
        let first = row.indices.reduce(0) { row[$1] > row[$0] ? $1 : $0 }
        return row.indices.map { $0 == first ? 1 : 0 }
      }
    }
    return [try Tensor(element, dims: dims, reals: y)]
  }
}

/// `x - max - log(sum of exp(x - max))`.
func logSoftmaxRow(_ row: [Double]) -> [Double] {
  let top = row.max() ?? 0
  let logSum = log(row.reduce(0) { $0 + exp($1 - top) })
  return row.map { $0 - top - logSum }
}

/// `exp(x - max) / sum`.
func softmaxRow(_ row: [Double]) -> [Double] {
  let top = row.max() ?? 0
  var result = row
  var sum = 0.0
  for index in row.indices {
    result[index] = exp(row[index] - top)
    sum += result[index]
  }
  for index in row.indices { result[index] /= sum }
  return result
}
