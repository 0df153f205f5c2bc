/// What a converted model may lose, always measured on held-out samples.
public enum BudgetMetric: String, Sendable, Hashable, CaseIterable {
  /// Accuracy of the reference minus accuracy of the model; needs labels.
  case top1Drop = "top1-drop"
  /// 1 minus the share of samples with the same largest logit.
  case agreementDrop = "agreement-drop"
  /// Squared error of the outputs over their energy.
  case nmse
  /// Divergence of the logits, in nats.
  case kl

  /// The metric's value in a comparison; nil where it cannot be told (no labels, no logits).
  public func value(of comparison: Comparison) -> Double? {
    switch self {
    case .top1Drop:
      guard let model = comparison.top1, let reference = comparison.top1Reference else { return nil }
      return reference - model
    case .agreementDrop: return comparison.top1Agreement.map { 1 - $0 }
    case .nmse: return comparison.nmse
    case .kl: return comparison.kl
    }
  }
}

/// A metric and the most it may come to.
public struct Budget: Sendable, Hashable {
  public var metric: BudgetMetric
  public var limit: Double
  public init(_ metric: BudgetMetric, _ limit: Double) {
    self.metric = metric
    self.limit = limit
  }
}
