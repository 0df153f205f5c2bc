public import Diagnostics
public import Tensors

/// An output of a model on some samples.
public struct MeasuredOutput: Sendable {
  public var name: String
  public var tensor: Tensor
  public init(_ name: String, _ tensor: Tensor) {
    self.name = name
    self.tensor = tensor
  }
}

extension Comparison {
  /// Holds the outputs of a model against those of its reference on the same samples, by place.
  ///
  /// - Parameters:
  ///   - labels: classes of the samples, for accuracies of the first output that is class scores.
  ///   - tolerances: what rounding explains, by place.
  /// - Throws: `modelsDiffer` when there are not as many outputs or one has another shape.
  public init(reference: [MeasuredOutput], model: [MeasuredOutput], labels: [Int]?, samples: Int, tolerances: [Tolerance?] = []) throws(Failure) {
    self.init(samples: samples)
    guard reference.count == model.count else {
      throw Failure(.modelsDiffer, "the models have \(model.count) and \(reference.count) outputs")
    }
    var (error, scale) = (0.0, 0.0)
    for (index, (wanted, got)) in zip(reference, model).enumerated() {
      guard wanted.tensor.dims == got.tensor.dims, let r = wanted.tensor.doubles(), let m = got.tensor.doubles() else {
        throw Failure(.modelsDiffer, "the output is \(got.tensor.type) here and \(wanted.tensor.type) in the reference", at: .element(got.name))
      }
      var (maxAbs, magnitude) = (0.0, 0.0)
      for (a, b) in zip(r, m) {
        maxAbs = largest(maxAbs, abs(a - b))
        magnitude = max(magnitude, abs(a))
      }
      let columns = max(1, r.count / max(1, wanted.tensor.dims.first ?? 1))
      let tolerance = index < tolerances.count ? tolerances[index] : nil
      let output = OutputComparison(
        name: wanted.name, maxAbs: maxAbs, maxRel: magnitude > 0 ? maxAbs / magnitude : maxAbs == 0 ? 0 : .infinity,
        nmse: normalizedError(reference: r, model: m, columns: columns), tolerance: tolerance?.limit, toleranceBasis: tolerance?.basis)
      outputs.append(output)
      self.maxAbs = largest(self.maxAbs ?? 0, maxAbs)
      maxRel = largest(maxRel ?? 0, output.maxRel)
      let energy = r.reduce(0) { $0 + $1 * $1 }
      error += output.nmse * energy
      scale += energy
    }
    // Several outputs count by their energy; one counts as it is.
    nmse = outputs.count == 1 ? outputs[0].nmse : scale > 0 ? error / scale : outputs.map(\.nmse).max()
    try measureDecisions(reference, model, labels)
  }

  private mutating func measureDecisions(_ reference: [MeasuredOutput], _ model: [MeasuredOutput], _ labels: [Int]?) throws(Failure) {
    guard let place = reference.firstIndex(where: { Logits.accepts($0.tensor.type) }) else { return }
    let wanted = try Logits(reference[place].tensor)
    let got = try Logits(model[place].tensor)
    kl = try wanted.divergence(to: got)
    top1Agreement = wanted.agreement(with: got)
    guard let labels, labels.count == wanted.samples else { return }
    top1 = got.accuracy(labels)
    top1Reference = wanted.accuracy(labels)
  }
}

/// The larger one; a NaN is larger than anything, so that it cannot hide.
func largest(_ a: Double, _ b: Double) -> Double { a.isNaN || b.isNaN ? .infinity : max(a, b) }
