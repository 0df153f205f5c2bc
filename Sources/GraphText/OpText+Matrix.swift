internal import Diagnostics
internal import GraphIR
internal import Tensors

extension OpSpelling {
  mutating func spell(_ matrix: MatrixOp) {
    switch matrix {
    case .matMul: mnemonic = "matmul"
    case .determinant: mnemonic = "det"
    case .gemm(let alpha, let beta, let transposeA, let transposeB):
      mnemonic = "gemm"
      number("alpha", alpha, unless: 1)
      number("beta", beta, unless: 1)
      flag("trans_a", transposeA)
      flag("trans_b", transposeB)
    case .fusedMatMul(let fused):
      mnemonic = "fused_matmul"
      number("alpha", fused.alpha, unless: 1)
      flag("trans_a", fused.transposeA)
      flag("trans_b", fused.transposeB)
      flag("trans_batch_a", fused.transposeBatchA)
      flag("trans_batch_b", fused.transposeBatchB)
    case .einsum(let equation):
      mnemonic = "einsum"
      put("equation", .string(equation))
    }
  }
}

extension OpReading {
  static func matrix(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    switch mnemonic {
    case "gemm":
      .matrix(
        .gemm(
          alpha: try attributes.float("alpha", default: 1), beta: try attributes.float("beta", default: 1),
          transposeA: try attributes.flag("trans_a"), transposeB: try attributes.flag("trans_b")))
    case "fused_matmul":
      .matrix(
        .fusedMatMul(
          FusedMatMul(
            alpha: try attributes.float("alpha", default: 1), transposeA: try attributes.flag("trans_a"), transposeB: try attributes.flag("trans_b"),
            transposeBatchA: try attributes.flag("trans_batch_a"), transposeBatchB: try attributes.flag("trans_batch_b"))))
    case "einsum": .matrix(.einsum(equation: try attributes.string("equation")))
    default: nil
    }
  }
}
