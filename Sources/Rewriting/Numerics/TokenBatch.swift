public import Diagnostics
public import Recognition
public import Tensors

/// Token activations of several samples in float64, `values[(sample * tokens + token) * channels + channel]`.
public struct TokenBatch: Sendable {
  public var samples, tokens, channels: Int
  public var values: [Double]

  public init(samples: Int, tokens: Int, channels: Int, values: [Double]) {
    precondition(values.count == samples * tokens * channels, "values do not fill the batch")
    self.samples = samples
    self.tokens = tokens
    self.channels = channels
    self.values = values
  }

  /// Reads a rank-3 tensor whose axes lie as `layout` says.
  ///
  /// - Throws: `shapeMismatch` for another rank, `nonFiniteSample` where an element is NaN or infinite.
  public init(_ tensor: Tensor, layout: TokenLayout) throws(Failure) {
    guard tensor.dims.count == 3, let all = tensor.doubles() else {
      throw Failure(.shapeMismatch, "token activations are \(tensor.type), expected numbers of rank 3")
    }
    guard all.allSatisfy(\.isFinite) else { throw Failure(.nonFiniteSample, "an activation is NaN or infinite") }
    let dims = tensor.dims
    let strides = [dims[1] * dims[2], dims[2], 1]
    samples = dims[layout.batch]
    tokens = dims[layout.token]
    channels = dims[layout.channel]
    if layout == .batchFirst {
      values = all
      return
    }
    let (b, t, c) = (strides[layout.batch], strides[layout.token], strides[layout.channel])
    values = []
    values.reserveCapacity(all.count)
    for sample in 0..<samples {
      for token in 0..<tokens {
        for channel in 0..<channels { values.append(all[sample * b + token * t + channel * c]) }
      }
    }
  }

  /// The given samples, in the given order.
  public func selecting(_ indices: some Sequence<Int>) -> TokenBatch {
    let size = tokens * channels
    var picked: [Double] = []
    var count = 0
    for index in indices {
      picked.append(contentsOf: values[(index * size)..<((index + 1) * size)])
      count += 1
    }
    return TokenBatch(samples: count, tokens: tokens, channels: channels, values: picked)
  }
}
