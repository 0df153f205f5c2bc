public import Diagnostics
internal import Glibc
public import Tensors

/// Class scores of some samples, before the softmax.
public struct Logits: Sendable {
  public let samples, classes: Int
  private let values: [Double]

  /// - Parameter tensor: (samples, classes); further axes of size one are dropped.
  /// - Throws: `shapeMismatch` for other ranks, fewer than two classes or no numbers.
  public init(_ tensor: Tensor) throws(Failure) {
    let dims = tensor.dims.prefix(1) + tensor.dims.dropFirst().filter { $0 != 1 }
    guard dims.count == 2, dims[1] > 1, let values = tensor.doubles() else {
      throw Failure(.shapeMismatch, "class scores have two axes and two classes or more, not \(tensor.type)")
    }
    samples = dims[0]
    classes = dims[1]
    self.values = values
  }

  /// Whether an output can be read as class scores.
  public static func accepts(_ type: TensorType) -> Bool {
    guard type.element.isFloatingPoint, let dims = type.shape?.dims, dims.count >= 2 else { return false }
    let wide = dims.dropFirst().filter { $0 != Dim(1) }
    return wide.count == 1 && (wide.first?.value ?? 2) > 1
  }

  /// The class with the largest score of each sample; the first of equals, as NumPy's argmax.
  public var decisions: [Int] {
    (0..<samples).map { sample in
      var best = 0
      for c in 1..<classes where values[sample * classes + c] > values[sample * classes + best] { best = c }
      return best
    }
  }

  /// Share of samples decided as the labels say.
  public func accuracy(_ labels: [Int]) -> Double {
    samples == 0 ? 0 : Double(zip(decisions, labels).count { $0 == $1 }) / Double(samples)
  }

  public func agreement(with other: Logits) -> Double {
    samples == 0 ? 1 : Double(zip(decisions, other.decisions).count { $0 == $1 }) / Double(samples)
  }

  /// Mean over samples of `KL(softmax(self) || softmax(other))` in nats.
  public func divergence(to other: Logits) throws(Failure) -> Double {
    guard samples == other.samples, classes == other.classes else {
      throw Failure(.modelsDiffer, "\(samples)x\(classes) class scores cannot be held against \(other.samples)x\(other.classes)")
    }
    var total = 0.0
    for sample in 0..<samples {
      let (a, b) = (logProbabilities(sample), other.logProbabilities(sample))
      for (p, q) in zip(a, b) where p > -.infinity { total += exp(p) * (p - q) }
    }
    return samples == 0 ? 0 : max(0, total / Double(samples))
  }

  /// Mean over samples of `-log softmax(self)[label]`.
  public func crossEntropy(_ labels: [Int]) throws(Failure) -> Double {
    guard labels.count == samples, labels.allSatisfy({ $0 >= 0 && $0 < classes }) else {
      throw Failure(.calibrationData, "labels are not one class of \(classes) for each of \(samples) samples")
    }
    var total = 0.0
    for (sample, label) in labels.enumerated() { total -= logProbabilities(sample)[label] }
    return samples == 0 ? 0 : total / Double(samples)
  }

  private func logProbabilities(_ sample: Int) -> [Double] {
    let row = values[(sample * classes)..<((sample + 1) * classes)]
    let top = row.max() ?? 0
    let partition = log(row.reduce(0) { $0 + exp($1 - top) }) + top
    return row.map { $0 - partition }
  }
}
