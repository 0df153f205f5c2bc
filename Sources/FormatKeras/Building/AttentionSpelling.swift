internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// Attention as exporters spell it, for layers that hold a packed projection.
enum AttentionSpelling {
  /// From a projection (B, T, 3·h·d), packed as (3, h, d), to the context (B, T, h·d).
  ///
  /// - Parameters:
  ///   - bias: added to the scores (…, T, T).
  ///   - prepare: what happens to queries and keys (B, h, T, d) before their product.
  static func packed(
    _ packed: ValueID, heads: Int, bias: ValueID?, scale: Double, _ e: inout Emitter,
    prepare: (ValueID, String, inout Emitter) throws(Failure) -> ValueID = { (x, _, _) throws(Failure) in x }
  ) throws(Failure) -> ValueID {
    let dims = try e.shape(packed)
    let (tokens, width) = (try e.size(packed, 1), try e.size(packed, 2) / 3)
    let parts = try e.reshape(packed, [dims[0], Dim(tokens), 3, Dim(heads), Dim(width / heads)])
    let turned = try e.transpose(parts, [2, 0, 3, 1, 4])
    let query = try prepare(try e.gather(turned, axis: 0, at: 0), "q", &e)
    let key = try prepare(try e.gather(turned, axis: 0, at: 1), "k", &e)
    let value = try e.gather(turned, axis: 0, at: 2)
    return try context(query, key, value, bias: bias, scale: scale, &e)
  }

  /// From heads (B, h, T, d) to (B, T, h·d).
  static func context(_ query: ValueID, _ key: ValueID, _ value: ValueID, bias: ValueID?, scale: Double, _ e: inout Emitter) throws(Failure) -> ValueID {
    let scaled = try e.multiply(query, scale, "Scale")
    var scores = try e.matMul(scaled, try e.transpose(key, [0, 1, 3, 2]), "Scores")
    if let bias { scores = try e.add(scores, bias, "Bias") }
    let mixed = try e.matMul(try e.softmax(scores), value, "Context")
    let dims = try e.shape(mixed)
    guard let width = dims[1].multiplied(by: dims[3]) else { throw Failure(.sizeOverflow, "too many heads", at: .element(e.scope)) }
    return try e.reshape(try e.transpose(mixed, [0, 2, 1, 3]), [dims[0], dims[2], width])
  }
}

/// Learned biases for relative positions.
enum RelativePositions {
  /// Swin (Liu et al. 2021): a table of ((2h−1)·(2w−1), heads) read at the difference of rows and columns; gives
  /// (1, heads, h·w, h·w).
  static func swin(_ table: Tensor, height: Int, width: Int, type: ElementType) throws(Failure) -> Tensor {
    guard table.dims.count == 2, table.dims[0] == (2 * height - 1) * (2 * width - 1), let values = table.doubles() else {
      throw Failure(.shapeMismatch, "\(Shape(table.dims)) biases for a window of \(height) x \(width)")
    }
    let heads = table.dims[1]
    let tokens = height * width
    guard let count = [heads, tokens, tokens].checkedProduct, count <= 1 << 26 else { throw Failure(.limitExceeded, "a window of \(tokens) tokens") }
    var result = [Double](repeating: 0, count: count)
    for query in 0..<tokens {
      for key in 0..<tokens {
        let row = query / width - key / width + height - 1
        let column = query % width - key % width + width - 1
        let entry = (row * (2 * width - 1) + column) * heads
        for head in 0..<heads { result[(head * tokens + query) * tokens + key] = values[entry + head] }
      }
    }
    return try Tensor.filled(result, dims: [1, heads, tokens, tokens], type)
  }
}
