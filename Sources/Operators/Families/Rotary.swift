public import Diagnostics
public import GraphIR
public import Tensors

extension RotaryEmbedding: Operator {
  public var mnemonic: String { "RotaryEmbedding" }
  public var domain: String { "" }
  public var arity: Arity { Arity(3...4) }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let element = try operands.sharedElement([0, 1, 2], of: mnemonic)
    try checkFloat(element)
    let x = try operands.required(0).type
    guard let shape = x.shape else { return [Fact(x)] }
    try checkRank(shape, 3...4, "the input")
    if shape.rank == 3 {
      guard heads > 0, shape[2].value.map({ $0 % heads == 0 }) ?? true else { throw mismatch("\(shape[2]) channels in \(heads) heads") }
    }
    let headDim = shape.rank == 4 ? shape[3] : try shape[2].floored(by: Dim(heads))
    let rotated = rotatedDims == 0 ? headDim : Dim(rotatedDims)
    if let count = rotated.value {
      guard count >= 0, count % 2 == 0, headDim.value.map({ count <= $0 }) ?? true else { throw mismatch("\(count) of \(headDim) channels to rotate") }
    }
    let half = try rotated.floored(by: 2)
    let batch = shape[0]
    let tokens = shape[shape.rank == 4 ? 2 : 1]
    if let positions = operands.fact(3)?.type {
      guard positions.element == .int64 || positions.element == .int32 else {
        throw Failure(.typeMismatch, "\(mnemonic) has positions of \(positions.element.name)")
      }
      if let own = positions.shape { try check(own, [batch, tokens], "positions") }
    }
    for index in 1...2 {
      guard let own = operands.fact(index)?.type.shape else { continue }
      try check(own, operands.fact(3) == nil ? [batch, tokens, half] : [own.dims.first ?? 0, half], index == 1 ? "cosines" : "sines")
    }
    return [Fact(x)]
  }

  private func check(_ own: Shape, _ dims: [Dim], _ what: String) throws(Failure) {
    guard own.rank == dims.count else { throw mismatch("\(what) of shape \(own), expected \(Shape(dims))") }
    for (dim, size) in zip(own.dims, dims) { try checkAgree(dim, size, "\(what) of shape \(own), expected \(Shape(dims))") }
  }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(elementwise: results.elementCount &* 3) }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0).reals(for: mnemonic)
    let cosines = try operands.required(1)
    let (cosine, sine) = (try cosines.reals(for: mnemonic), try operands.required(2).reals(for: mnemonic))
    let positions = try operands.tensor(3)?.wholes(for: mnemonic)
    let separate = dims.count == 4
    let (heads, tokens) = separate ? (dims[1], dims[2]) : (self.heads, dims[1])
    let headDim = separate ? dims[3] : dims[2] / self.heads
    let half = (rotatedDims == 0 ? headDim : rotatedDims) / 2
    guard half > 0 else { return [try operands.required(0)] }
    var y = x
    for batch in 0..<dims[0] {
      for token in 0..<tokens {
        var row = batch * tokens + token
        if let positions {
          let position = positions[row]
          let count = min(cosines.dims[0], try operands.required(2).dims[0])
          guard position >= -count, position < count else { throw Failure(.indexOutOfRange, "\(mnemonic): position \(position) of \(count)") }
          row = position < 0 ? position + count : position
        }
        for head in 0..<heads {
          let start = (separate ? (batch * heads + head) * tokens + token : (batch * tokens + token) * heads + head) * headDim
          for pair in 0..<half {
            let (first, second) = interleaved ? (start + 2 * pair, start + 2 * pair + 1) : (start + pair, start + half + pair)
            let (c, s) = (cosine[row * half + pair], sine[row * half + pair])
            y[first] = c * x[first] - s * x[second]
            y[second] = s * x[first] + c * x[second]
          }
        }
      }
    }
    return [try Tensor(element, dims: dims, reals: y)]
  }
}
