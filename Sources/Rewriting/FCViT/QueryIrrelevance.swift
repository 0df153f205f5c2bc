internal import Glibc

/// How little a head's attention depends on the query, over patch queries and averaged over samples.
public struct QueryIrrelevance: Sendable, Hashable {
  /// Jensen-Shannon divergence of the rows, `H(mean row) - mean H(row)` in nats: the smallest mean KL that one row for all
  /// queries can reach.
  public var divergence: Double
  /// Entropy of the mean row.
  public var entropy: Double
  /// Mean cosine of two different rows.
  public var cosine: Double
  /// Share of the map's energy that depends on the query.
  public var energy: Double
  /// `divergence / entropy`, between 0 and 1.
  public var relativeDivergence: Double { entropy > 0 ? divergence / entropy : 0 }
}

/// Sums the measures of one head over samples.
struct QueryIrrelevanceSums {
  private var samples = 0.0
  private var divergence = 0.0, entropy = 0.0, cosine = 0.0
  private var meanEnergy = 0.0, rowEnergy = 0.0

  /// - Parameter map: (rows, tokens), each row a distribution.
  mutating func add(_ map: [Double], rows: Int, tokens: Int) {
    var mean = [Double](repeating: 0, count: tokens)
    var direction = [Double](repeating: 0, count: tokens)
    var rowEntropy = 0.0
    for i in 0..<rows {
      var norm = 0.0
      for j in 0..<tokens {
        let a = map[i * tokens + j]
        mean[j] += a
        norm += a * a
        if a > 0 { rowEntropy -= a * log(a) }
      }
      rowEnergy += norm
      let inverse = norm > 0 ? 1 / norm.squareRoot() : 0
      for j in 0..<tokens { direction[j] += map[i * tokens + j] * inverse }
    }
    let count = Double(rows)
    var meanEntropy = 0.0
    for j in 0..<tokens {
      let a = mean[j] / count
      meanEnergy += count * a * a
      if a > 0 { meanEntropy -= a * log(a) }
    }
    samples += 1
    entropy += meanEntropy
    divergence += meanEntropy - rowEntropy / count
    if rows > 1 { cosine += (direction.reduce(0) { $0 + $1 * $1 } - count) / (count * (count - 1)) }
  }

  /// Adds the sums of other samples.
  mutating func add(_ other: QueryIrrelevanceSums) {
    samples += other.samples
    divergence += other.divergence
    entropy += other.entropy
    cosine += other.cosine
    meanEnergy += other.meanEnergy
    rowEnergy += other.rowEnergy
  }

  var result: QueryIrrelevance {
    QueryIrrelevance(
      divergence: divergence / samples, entropy: entropy / samples, cosine: cosine / samples,
      energy: rowEnergy > 0 ? 1 - meanEnergy / rowEnergy : 0)
  }
}
