internal import Diagnostics

/// `matrix * theta = right` of one channel (or of channels that share a filter); features are taps, context, prefix, 1.
struct NormalEquations {
  private let size: Int
  private let context: Int
  private var matrix: [Double]
  private var right: [Double]

  /// - Parameters:
  ///   - localFeatures: which of the local features are used, in order.
  ///   - context: where the context's feature goes in between.
  init(_ local: LocalSums, _ sums: ContextSums, localFeatures: [Int], context: Int) {
    size = localFeatures.count + 1
    self.context = context
    matrix = [Double](repeating: 0, count: size * size)
    right = [Double](repeating: 0, count: size)
    func place(_ index: Int) -> Int { index < context ? index : index + 1 }
    for (i, a) in localFeatures.enumerated() {
      let row = place(i)
      for (j, b) in localFeatures.enumerated() { matrix[row * size + place(j)] = local.matrix[a * local.features + b] }
      matrix[row * size + context] = sums.withLocal[a]
      matrix[context * size + row] = sums.withLocal[a]
      right[row] = local.right[a]
    }
    matrix[context * size + context] = sums.square
    right[context] = sums.withTarget
  }

  mutating func add(_ other: NormalEquations) {
    for index in matrix.indices { matrix[index] += other.matrix[index] }
    for index in right.indices { right[index] += other.right[index] }
  }

  /// The ridge solution with the context alone as prior.
  func solved() throws(Failure) -> [Double] {
    var m = matrix
    var r = right
    let mean = (0..<size).reduce(0) { $0 + matrix[$1 * size + $1] } / Double(size)
    for i in 0..<size { m[i * size + i] += mean * (i == size - 1 ? FCViTProblem.constantRidge : FCViTProblem.ridge) }
    r[context] += mean * FCViTProblem.ridge
    return try solveSymmetric(m, size: size, r)
  }

  /// `sum (target - theta phi)^2` from the sums.
  func squaredError(_ theta: [Double], targetSquares: Double) -> Double {
    var error = targetSquares
    for i in 0..<size {
      var row = 0.0
      for j in 0..<size { row += matrix[i * size + j] * theta[j] }
      error += theta[i] * (row - 2 * right[i])
    }
    return error
  }
}
