internal import CVector

/// Sums and extremes over the middle of `[outer, reduced, inner]`.
public enum Reduction {
  public enum Kind: Hashable, Sendable { case sum, mean, maximum, minimum, sumSquare, sumAbs, l2 }

  /// `y[o, i] = reduce over r of x[o, r, i]`, all dense. Nothing to reduce gives the neutral element (0, or infinities).
  public static func apply(_ kind: Kind, _ x: UnsafePointer<Float>, outer: Int, reduced: Int, inner: Int, _ y: UnsafeMutablePointer<Float>) {
    let code = kind.code
    let neutral: Float = kind == .maximum ? -.infinity : kind == .minimum ? .infinity : 0
    Parallel.forRanges(outer, grain: Swift.max(1, 16384 / Swift.max(reduced &* inner, 1))) { range in
      for o in range {
        let x = unsafe x + o &* reduced &* inner
        let y = unsafe y + o &* inner
        if inner == 1 {
          unsafe y[0] = vc_reduce(code, x, reduced)
        } else {
          for i in 0..<inner { unsafe y[i] = neutral }
          for r in 0..<reduced { unsafe vc_reduce_into(code, x + r &* inner, y, inner) }
        }
        if kind == .mean { unsafe vc_unary(.affine, y, y, inner, 1 / Float(reduced), 0) }
        if kind == .l2 { unsafe vc_unary(.sqrt, y, y, inner, 0, 0) }
      }
    }
  }
}

extension Reduction.Kind {
  var code: VCReduce {
    switch self {
    case .sum, .mean: .sum
    case .maximum: .maximum
    case .minimum: .minimum
    case .sumSquare, .l2: .sumSquare
    case .sumAbs: .sumAbs
    }
  }
}
