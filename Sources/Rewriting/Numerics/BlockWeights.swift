public import Diagnostics

/// The weights of one attention block in float64, laid out for products of rows with rows.
public struct BlockWeights: Sendable {
  public var heads, headDim, valueDim: Int
  /// Channels of X~ and of the merged heads.
  public var inputChannels: Int
  public var scale: Double
  /// (heads * headDim, inputChannels), out x in.
  public var query: [Double]
  public var queryBias: [Double]
  /// (inputChannels, heads * headDim), in x out: what folds a query into input channels. The keys' bias adds the same to
  /// every score of a query and cancels in the softmax, so it is left out.
  public var keyFold: [Double]
  /// The same matrix, out x in.
  public var key: [Double]
  /// (heads * valueDim, inputChannels), out x in.
  public var value: [Double]
  public var valueBias: [Double]
  /// What is added to the scores: (heads, tokens, tokens), or empty.
  public var scoreBias: [Double]

  /// Channels of the merged heads.
  public var mergedChannels: Int { heads * valueDim }

  /// Weights as (in, out) matrices, as projections give them.
  ///
  /// - Parameter scoreBias: (heads, tokens, tokens), or empty.
  /// - Throws: `shapeMismatch` when they are not as large as heads and dimensions demand.
  public init(
    heads: Int, headDim: Int, valueDim: Int, inputChannels: Int, scale: Double, queryIO: [Double], queryBias: [Double]?, keyIO: [Double],
    valueIO: [Double], valueBias: [Double]?, scoreBias: [Double] = []
  ) throws(Failure) {
    let (q, v) = (heads * headDim, heads * valueDim)
    guard queryIO.count == inputChannels * q, keyIO.count == inputChannels * q, valueIO.count == inputChannels * v,
      (queryBias?.count ?? q) == q, (valueBias?.count ?? v) == v
    else { throw Failure(.shapeMismatch, "the projections do not have \(heads) heads of \(headDim) and \(valueDim) channels") }
    self.heads = heads
    self.headDim = headDim
    self.valueDim = valueDim
    self.inputChannels = inputChannels
    self.scale = scale
    self.query = transposed(queryIO, rows: inputChannels, columns: q)
    self.queryBias = queryBias ?? [Double](repeating: 0, count: q)
    keyFold = keyIO
    key = transposed(keyIO, rows: inputChannels, columns: q)
    value = transposed(valueIO, rows: inputChannels, columns: v)
    self.valueBias = valueBias ?? [Double](repeating: 0, count: v)
    self.scoreBias = scoreBias
  }
}

/// The transpose of a row-major matrix.
func transposed(_ m: [Double], rows: Int, columns: Int) -> [Double] {
  var result = [Double](repeating: 0, count: m.count)
  for i in 0..<rows {
    for j in 0..<columns { result[j * rows + i] = m[i * columns + j] }
  }
  return result
}
