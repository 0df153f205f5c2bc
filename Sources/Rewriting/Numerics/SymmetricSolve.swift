internal import Diagnostics

/// Solves `m x = rhs` for a symmetric positive definite `n x n` matrix by Cholesky factorization in float64; only the
/// lower triangle of `m` is read.
///
/// - Throws: `numericalFailure` when the matrix is not positive definite or not finite.
func solveSymmetric(_ m: [Double], size n: Int, _ rhs: [Double]) throws(Failure) -> [Double] {
  var l = m
  for j in 0..<n {
    var pivot = l[j * n + j]
    for k in 0..<j { pivot -= l[j * n + k] * l[j * n + k] }
    guard pivot > 0, pivot.isFinite else { throw Failure(.numericalFailure, "the normal equations are singular or not finite at unknown \(j) of \(n)") }
    let diagonal = pivot.squareRoot()
    l[j * n + j] = diagonal
    for i in (j + 1)..<max(n, j + 1) {
      var sum = l[i * n + j]
      for k in 0..<j { sum -= l[i * n + k] * l[j * n + k] }
      l[i * n + j] = sum / diagonal
    }
  }
  var x = rhs
  for i in 0..<n {
    var sum = x[i]
    for k in 0..<i { sum -= l[i * n + k] * x[k] }
    x[i] = sum / l[i * n + i]
  }
  for i in stride(from: n - 1, through: 0, by: -1) {
    var sum = x[i]
    for k in (i + 1)..<max(n, i + 1) { sum -= l[k * n + i] * x[k] }
    x[i] = sum / l[i * n + i]
  }
  return x
}
