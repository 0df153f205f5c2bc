internal import Glibc
internal import Kernels

extension ContextMaps {
  /// By head, the temperature that brings the context maps nearest to the mean rows of the original attention: it
  /// minimizes `-sum abar log softmax(tau t)` over the calibration samples (convex in tau, Newton), and stays 1 where the
  /// held-out samples do not agree.
  ///
  /// - Parameter mean: rows of the original maps averaged as the queries are, `[sample][head][context][token]`.
  func fittedTemperature(to mean: [Double], calibration: Range<Int>, heldOut: Range<Int>, steps: Int = 8) -> [Double] {
    let scores = Parallel.map(heldOut.upperBound) { self.scores(sample: $0) }.flatMap { $0 }
    return (0..<heads).map { head in
      var tau = 1.0
      for _ in 0..<steps {
        var gradient = 0.0
        var curvature = 0.0
        forEachRow(of: head, in: calibration) { start in
          var p = Array(scores[start..<(start + tokens)])
          softmax(&p, at: 0, count: tokens, temperature: tau)
          var (first, second, wanted) = (0.0, 0.0, 0.0)
          for j in 0..<tokens {
            let t = scores[start + j]
            first += p[j] * t
            second += p[j] * t * t
            wanted += mean[start + j] * t
          }
          gradient += first - wanted
          curvature += second - first * first
        }
        guard curvature > 0 else { break }
        let step = gradient / curvature
        tau -= step
        if abs(step) <= 1e-14 * abs(tau) { break }
      }
      guard tau.isFinite, tau > 0 else { return 1 }
      return crossEntropy(head, tau, scores, mean, heldOut) < crossEntropy(head, 1, scores, mean, heldOut) ? tau : 1
    }
  }

  private func crossEntropy(_ head: Int, _ tau: Double, _ scores: [Double], _ mean: [Double], _ samples: Range<Int>) -> Double {
    var sum = 0.0
    forEachRow(of: head, in: samples) { start in
      var top = -Double.infinity
      for j in 0..<tokens { top = max(top, tau * scores[start + j]) }
      var partition = 0.0
      for j in 0..<tokens { partition += exp(tau * scores[start + j] - top) }
      let offset = top + log(partition)
      for j in 0..<tokens { sum += mean[start + j] * (offset - tau * scores[start + j]) }
    }
    return sum
  }

  private func forEachRow(of head: Int, in samples: Range<Int>, _ body: (Int) -> Void) {
    for sample in samples {
      for r in 0..<contexts { body(((sample * heads + head) * contexts + r) * tokens) }
    }
  }
}

extension AttentionTarget {
  /// Rows of the original maps averaged over the cells of `contexts`: `[sample][head][context][token]`.
  func meanRows(_ weights: BlockWeights, contexts: ContextGrid) -> [Double] {
    let (p, n, count) = (grid.patches, grid.tokens, contexts.count)
    let pooling = contexts.pooling(of: grid)
    var result = [Double](repeating: 0, count: samples * weights.heads * count * n)
    let numerics = AttentionNumerics(weights: weights, grid: grid)
    for sample in 0..<samples {
      numerics.forEachMap(inputs, sample: sample) { head, map in
        for r in 0..<count {
          let base = ((sample * weights.heads + head) * count + r) * n
          for i in 0..<p where pooling[r * p + i] != 0 {
            let weight = pooling[r * p + i]
            for j in 0..<n { result[base + j] += weight * map[i * n + j] }
          }
        }
      }
    }
    return result
  }
}
