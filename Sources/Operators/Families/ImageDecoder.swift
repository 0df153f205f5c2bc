internal import Diagnostics
internal import GraphIR
internal import Tensors

/// ImageDecoder (ONNX 20): the bytes of a picture file; (height, width, channels).
struct ImageDecoder: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let bytes = try operands.required(0)
    try checkElement(bytes, [.uint8], "a file")
    try checkRank(bytes, 1, "the file")
    return [Fact(TensorType(.uint8, Shape([.unknown, .unknown, op.word("pixel_format") == "Grayscale" ? 1 : 3])))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    throw Failure(.operatorNotRunnable, "there is no kernel for \(mnemonic)")
  }
}
