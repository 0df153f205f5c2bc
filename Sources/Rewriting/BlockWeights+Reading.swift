internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Recognition
internal import Tensors

extension BlockWeights {
  /// The weights of a recognized block.
  ///
  /// - Throws: `rewriteRefused` when a weight cannot be read as numbers or has another size than the block says.
  init(_ block: ProjectedAttention, in graph: TypedGraph) throws(Failure) {
    func elements(_ view: WeightView?, _ what: String) throws(Failure) -> [Double]? {
      guard let view else { return nil }
      guard let elements = view.materialized(), elements.allSatisfy(\.isFinite) else {
        throw Failure(.rewriteRefused, "the \(what) cannot be read as finite numbers", at: .element(block.name))
      }
      return elements
    }
    guard let query = try elements(block.query.weight, "query weight"), let key = try elements(block.key.weight, "key weight"),
      let value = try elements(block.value.weight, "value weight")
    else { throw Failure(.rewriteRefused, "a projection has no weight", at: .element(block.name)) }
    var bias: [Double] = []
    if case .constant(let id) = block.bias {
      guard let tokens = block.queryTokens.value, let tensor = graph.constant(id), let expanded = expandedBias(tensor, heads: block.heads, tokens: tokens)
      else {
        throw Failure(.rewriteRefused, "the constant score bias does not broadcast to (heads, queries, keys)", at: .element(block.name))
      }
      bias = expanded
    }
    try self.init(
      heads: block.heads, headDim: block.headDim, valueDim: block.valueDim, inputChannels: block.query.weight.rows, scale: block.scale, queryIO: query,
      queryBias: try elements(block.query.bias, "query bias"), keyIO: key, valueIO: value, valueBias: try elements(block.value.bias, "value bias"),
      scoreBias: bias)
  }
}

/// A bias that broadcasts to (heads, tokens, tokens), spelled out.
func expandedBias(_ tensor: Tensor, heads: Int, tokens: Int) -> [Double]? {
  guard let values = tensor.doubles(), values.allSatisfy(\.isFinite) else { return nil }
  var dims = tensor.dims
  while dims.count > 3 {
    guard dims.removeFirst() == 1 else { return nil }
  }
  dims = [Int](repeating: 1, count: 3 - dims.count) + dims
  let wanted = [heads, tokens, tokens]
  guard zip(dims, wanted).allSatisfy({ $0 == 1 || $0 == $1 }) else { return nil }
  var result: [Double] = []
  result.reserveCapacity(heads * tokens * tokens)
  for h in 0..<heads {
    for i in 0..<tokens {
      for j in 0..<tokens {
        let index = ((dims[0] == 1 ? 0 : h) * dims[1] + (dims[1] == 1 ? 0 : i)) * dims[2] + (dims[2] == 1 ? 0 : j)
        result.append(values[index])
      }
    }
  }
  return result
}
