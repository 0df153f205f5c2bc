/// Squared error over the reference's variance: `sum |model - reference|^2 / sum |reference - mean|^2`, the mean taken by
/// column over rows. Where the reference does not vary, over its energy; where it is zero, 0 for no error, else infinite.
func normalizedError(reference: some Collection<Double>, model: some Collection<Double>, columns: Int) -> Double {
  var means = [Double](repeating: 0, count: columns)
  var rows = 0
  var column = 0
  for value in reference {
    means[column] += value
    column += 1
    if column == columns {
      column = 0
      rows += 1
    }
  }
  for index in means.indices { means[index] /= Double(max(rows, 1)) }
  var (error, variance, energy) = (0.0, 0.0, 0.0)
  column = 0
  for (r, m) in zip(reference, model) {
    error += (m - r) * (m - r)
    variance += (r - means[column]) * (r - means[column])
    energy += r * r
    column = column + 1 == columns ? 0 : column + 1
  }
  if variance > 0 { return error / variance }
  if energy > 0 { return error / energy }
  return error == 0 ? 0 : .infinity
}
