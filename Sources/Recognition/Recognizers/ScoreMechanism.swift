internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Names the catalogue's mechanisms that change scores or probabilities between the two products.
enum ScoreMechanism {
  static func name(_ attention: ProductAttention) -> String? { nil }
}
