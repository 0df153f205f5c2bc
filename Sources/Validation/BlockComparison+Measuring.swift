public import Diagnostics
public import Recognition
public import Rewriting
public import Tensors

extension BlockComparison {
  /// Holds the output of an attention block against the reference's.
  ///
  /// - Parameters:
  ///   - grid: tells prefix rows from patch rows; nil measures all together.
  ///   - residualSum: the reference's residual stream after the block, against which the error is put as well.
  public init(
    index: Int, name: String, reference: Tensor, model: Tensor, layout: TokenLayout, grid: PatchGrid?, residualSum: Tensor?
  ) throws(Failure) {
    guard reference.dims == model.dims else { throw Failure(.modelsDiffer, "the block's output has another shape", at: .element(name)) }
    if reference.dims.count != 3 {
      guard let r = reference.doubles(), let m = model.doubles() else { throw Failure(.modelsDiffer, "the block's output is no numbers", at: .element(name)) }
      self.init(index: index, name: name, nmse: normalizedError(reference: r, model: m, columns: reference.dims.last ?? 1))
      return
    }
    let wanted = try TokenBatch(reference, layout: layout)
    let got = try TokenBatch(model, layout: layout)
    let columns = wanted.channels
    self.init(index: index, name: name, nmse: normalizedError(reference: wanted.values, model: got.values, columns: columns))
    if let grid, grid.tokens == wanted.tokens, grid.prefix > 0 {
      let (patches, prefix) = (grid.prefix..<grid.tokens, 0..<grid.prefix)
      patchNMSE = normalizedError(reference: wanted.rows(patches), model: got.rows(patches), columns: columns)
      prefixNMSE = normalizedError(reference: wanted.rows(prefix), model: got.rows(prefix), columns: columns)
    }
    if let residualSum, residualSum.dims == reference.dims {
      let stream = try TokenBatch(residualSum, layout: layout)
      let energy = stream.values.reduce(0) { $0 + $1 * $1 }
      var error = 0.0
      for (a, b) in zip(wanted.values, got.values) { error += (a - b) * (a - b) }
      if energy > 0 { residualError = (error / energy).squareRoot() }
    }
  }
}

extension TokenBatch {
  /// Some tokens of every sample.
  fileprivate func rows(_ range: Range<Int>) -> [Double] {
    var result: [Double] = []
    for sample in 0..<samples {
      let start = sample * tokens * channels
      result += values[(start + range.lowerBound * channels)..<(start + range.upperBound * channels)]
    }
    return result
  }
}
