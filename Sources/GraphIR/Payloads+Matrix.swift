/// Matrix products.
public enum MatrixOp: Hashable, Sendable {
  /// MatMul (ONNX 13): A, B.
  case matMul
  /// Gemm (ONNX 13): A, B, C?: `alpha * A' B' + beta * C`.
  case gemm(alpha: Float, beta: Float, transposeA: Bool, transposeB: Bool)
  /// FusedMatMul (com.microsoft): `alpha * A' B'`, batch transposes included.
  case fusedMatMul(FusedMatMul)
  /// Det (ONNX 22): the determinants of the matrices in the last two axes.
  case determinant
  /// Einsum (ONNX 28).
  case einsum(equation: String)
}

public struct FusedMatMul: Hashable, Sendable {
  public var alpha: Float
  public var transposeA, transposeB, transposeBatchA, transposeBatchB: Bool
  public init(alpha: Float, transposeA: Bool, transposeB: Bool, transposeBatchA: Bool = false, transposeBatchB: Bool = false) {
    self.alpha = alpha
    self.transposeA = transposeA
    self.transposeB = transposeB
    self.transposeBatchA = transposeBatchA
    self.transposeBatchB = transposeBatchB
  }
}
