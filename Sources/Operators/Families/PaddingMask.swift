internal import Diagnostics
internal import GraphIR
internal import Tensors

extension ScoreBias {
  /// The padding masks of com.microsoft: lengths (batch); ends and starts (2 * batch); lengths and where the samples'
  /// queries and keys begin (3 * batch + 2); 1 for kept and 0 for hidden, (batch, key), (batch, new key),
  /// (batch, query, key) or, of the longest sequence there may be, (batch, 1, position, position). Hidden keys get `hidden`.
  static func padding(_ mask: Tensor, _ scores: [Int], hidden: Double, _ mnemonic: String) throws(Failure) -> ScoreBias {
    let (batch, queries, keys) = (scores[0], scores[2], scores[3])
    let values = try mask.wholes(for: mnemonic)
    func rows(_ isKept: (Int, Int) -> Bool) -> ScoreBias {
      ScoreBias((0..<batch).flatMap { sample in (0..<keys).map { isKept(sample, $0) ? 0 : hidden } }, [batch, 1, 1, keys], scores: scores)
    }
    switch mask.dims {
    case [batch], [3 * batch + 2]: return rows { $1 < values[$0] }
    case [2 * batch]: return rows { $1 < values[$0] && $1 >= values[batch + $0] }
    case [batch, keys]: return ScoreBias(values.map { $0 == 0 ? hidden : 0 }, [batch, 1, 1, keys], scores: scores)
    case [batch, queries, keys]: return ScoreBias(values.map { $0 == 0 ? hidden : 0 }, [batch, 1, queries, keys], scores: scores)
    default: break
    }
    if mask.dims.count == 2, mask.dims[0] == batch, mask.dims[1] < keys {
      // Of the new keys alone: those of the cache are seen.
      let (new, past) = (mask.dims[1], keys - mask.dims[1])
      return rows { $1 < past || values[$0 * new + $1 - past] != 0 }
    }
    if mask.dims.count == 4, mask.dims[0] == batch, mask.dims[1] == 1, mask.dims[2] == mask.dims[3], mask.dims[3] >= keys, keys >= queries {
      let longest = mask.dims[3]
      var picked: [Double] = []
      for sample in 0..<batch {
        for query in keys - queries..<keys {
          for key in 0..<keys { picked.append(values[(sample * longest + query) * longest + key] == 0 ? hidden : 0) }
        }
      }
      return ScoreBias(picked, [batch, 1, queries, keys], scores: scores)
    }
    throw Failure(.shapeMismatch, "\(mnemonic): a mask of \(mask.dims) for scores of \(scores)")
  }
}
