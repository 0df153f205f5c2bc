public import GraphIR
internal import Inference
internal import Operators
public import Tensors

/// What a run must show of a softmax over a product: values of the canonical graph, and the formula between them.
///
/// Two equations are held against the graph's own tensors. What is left of the softmax's operand after `scale Q K^T` is
/// taken away is the bias that the block claims (nothing, or the same for every input); and `softmax(scores) V` is what
/// the second product gives.
public struct BlockCheck: Sendable {
  public enum Bias: Sendable, Hashable { case none, constant, free }
  var query, key, value: ValueID
  var queryIsLeft: Bool
  var probabilitiesAreLeft: Bool
  var scores: ValueID
  var axis: Int
  var result: ValueID
  var scale: Double
  public var bias: Bias
  /// Rearrangements from the product to the softmax, and from there to the values.
  var before, after: [Node]

  /// The canonical values to keep while the graph runs.
  public var values: [ValueID] {
    [query, key, value, scores, result] + (before + after).flatMap { $0.inputs.dropFirst().compactMap { $0 } }
  }

  /// What a run of one input showed.
  public struct Measured: Sendable {
    /// The largest deviation of the result from its formula, relative to its size; not finite where the graph's result is not.
    public var deviation: Double
    /// What the scores contain beside `scale Q K^T`, and how much of it rounding may be.
    public var bias: [Double]
    public var slack: [Double]
    /// The size of scores that are not masked.
    public var size: Double
  }

  /// nil where a tensor is missing or the steps cannot be followed.
  public func measured(_ tensors: [ValueID: Tensor]) -> Measured? {
    guard let q = tensors[query], let k = tensors[key], let v = tensors[value], let s = tensors[scores], let expected = tensors[result],
      let raw = BlockCheck.product(queryIsLeft ? q : k, queryIsLeft ? k : q, factor: scale), let moved = replayed(raw, before, tensors), moved.dims == s.dims,
      let scoreElements = s.doubles(), let productElements = moved.doubles(), let probabilities = BlockCheck.softmax(s, axis: axis),
      let ready = replayed(probabilities, after, tensors),
      let product = BlockCheck.product(probabilitiesAreLeft ? ready : v, probabilitiesAreLeft ? v : ready, factor: 1), product.dims == expected.dims,
      let got = product.doubles(), let wanted = expected.doubles()
    else { return nil }
    let size = max(wanted.map { abs($0) }.max() ?? 0, 1e-12)
    let isFinite = wanted.allSatisfy(\.isFinite) && got.allSatisfy(\.isFinite)
    let deviation = isFinite ? zip(got, wanted).map { abs($0 - $1) }.max() ?? 0 : .infinity
    let spread = max(scoreElements.filter { $0 > -1e4 }.map { abs($0) }.max() ?? 1, 1e-6)
    return Measured(
      deviation: deviation / size, bias: zip(scoreElements, productElements).map { $0 - $1 },
      // A masked score keeps none of the product's digits.
      slack: scoreElements.map { $0.isFinite && abs($0) > 1e4 ? abs($0) * 1e-6 : 0 }, size: spread)
  }

  private func replayed(_ tensor: Tensor, _ steps: [Node], _ tensors: [ValueID: Tensor]) -> Tensor? {
    var result = tensor
    for step in steps {
      guard let semantics = step.op.semantics else { return nil }
      var operands: [Tensor?] = [result]
      for input in step.inputs.dropFirst() {
        guard let input else {
          operands.append(nil)
          continue
        }
        guard let known = tensors[input] else { return nil }
        operands.append(known)
      }
      guard let next = try? semantics.evaluate(operands, resultCount: 1).first else { return nil }
      result = next
    }
    return result
  }

  /// A batched product of matrices in float64, rounded once.
  private static func product(_ a: Tensor, _ b: Tensor, factor: Double) -> Tensor? {
    guard a.dims.count >= 2, b.dims.count >= 2, let x = a.doubles(), let y = b.doubles() else { return nil }
    let (m, k, n) = (a.dims[a.dims.count - 2], a.dims[a.dims.count - 1], b.dims[b.dims.count - 1])
    guard b.dims[b.dims.count - 2] == k else { return nil }
    let rank = max(a.dims.count, b.dims.count)
    func padded(_ dims: [Int]) -> [Int] { Array(repeating: 1, count: rank - dims.count) + dims.dropLast(2) }
    let (left, right) = (padded(a.dims), padded(b.dims))
    let batch = zip(left, right).map { max($0, $1) }
    guard zip(left, right).allSatisfy({ $0 == $1 || $0 == 1 || $1 == 1 }), let groups = batch.checkedProduct, let count = [groups, m, n].checkedProduct,
      count <= 1 << 26
    else { return nil }
    var result = [Float](repeating: 0, count: count)
    for group in 0..<groups {
      let (p, q) = (place(group, batch, left) * m * k, place(group, batch, right) * k * n)
      for row in 0..<m {
        for column in 0..<n {
          var sum = 0.0
          for inner in 0..<k { sum += x[p + row * k + inner] * y[q + inner * n + column] }
          result[(group * m + row) * n + column] = Float(factor * sum)
        }
      }
    }
    return try? Tensor(float32: result, dims: batch + [m, n])
  }

  /// The group of an operand whose batch axes may be 1.
  private static func place(_ group: Int, _ batch: [Int], _ own: [Int]) -> Int {
    var rest = group
    var index = 0
    var step = 1
    for axis in batch.indices.reversed() {
      let position = rest % batch[axis]
      rest /= batch[axis]
      if own[axis] > 1 { index += position * step }
      step *= own[axis]
    }
    return index
  }

  private static func softmax(_ tensor: Tensor, axis: Int) -> Tensor? {
    guard tensor.dims.indices.contains(axis), let x = tensor.doubles() else { return nil }
    let inner = tensor.dims[(axis + 1)...].reduce(1, *)
    let size = tensor.dims[axis]
    var result = [Float](repeating: 0, count: x.count)
    guard size > 0, inner > 0 else { return nil }
    for outer in 0..<(x.count / (size * inner)) {
      for offset in 0..<inner {
        let base = outer * size * inner + offset
        var top = -Double.infinity
        for index in 0..<size { top = max(top, x[base + index * inner]) }
        var sum = 0.0
        for index in 0..<size { sum += exponential(x[base + index * inner] - top) }
        for index in 0..<size { result[base + index * inner] = Float(exponential(x[base + index * inner] - top) / sum) }
      }
    }
    return try? Tensor(float32: result, dims: tensor.dims)
  }

  /// e^x for x <= 0, by halving and squaring a Taylor series: exact to the last bits that float32 keeps.
  private static func exponential(_ x: Double) -> Double {
    if x < -700 { return 0 }
    let parts = 1024.0
    let small = x / parts
    var term = 1.0
    var sum = 1.0
    for index in 1...10 {
      term *= small / Double(index)
      sum += term
    }
    var result = sum
    for _ in 0..<10 { result *= result }
    return result
  }
}
