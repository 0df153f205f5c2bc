/// What this CPU can do at best.
public enum PeakSpeed {
  /// GFLOP/s of a matrix product of a size that oneDNN runs at full speed on `threads` threads: the best of a few, about
  /// 50 ms in all. Nil where it cannot be measured.
  public static func gigaflops(threads: Int) -> Double? {
    Parallel.use(threads: threads)
    let (rows, depth, columns) = (768, 768, 768)
    let (a, b) = ([Float](repeating: 1, count: rows * depth), [Float](repeating: 1, count: depth * columns))
    var c = [Float](repeating: 0, count: rows * columns)
    var best = Double.infinity
    let clock = ContinuousClock()
    do {
      try unsafe b.withUnsafeBytes { b in
        let product = try unsafe MatrixProduct(
          a: Strided(dense: [rows, depth]), b: Strided(dense: [depth, columns]), c: Strided(dense: [rows, columns]), constantB: b.baseAddress,
          weights: WeightCache(), workspace: Workspace())
        try unsafe a.withUnsafeBytes { a in
          try unsafe c.withUnsafeMutableBytes { c in
            guard let a = a.baseAddress, let c = c.baseAddress else { return }
            for _ in 0..<12 {
              let start = clock.now
              try unsafe product.run(a: a, b: nil, c: c)
              let time = start.duration(to: clock.now).components
              best = Swift.min(best, Double(time.seconds) + Double(time.attoseconds) * 1e-18)
            }
          }
        }
      }
    } catch {
      return nil
    }
    return best > 0 && best < .infinity ? 2e-9 * Double(rows * depth * columns) / best : nil
  }
}
