internal import Diagnostics
internal import GraphIR
internal import Tensors

extension OpSpelling {
  mutating func spell(_ selection: SelectionOp) {
    switch selection {
    case .topK(let axis, let largest):
      mnemonic = "top_k"
      integer("axis", axis, unless: -1)
      flag("smallest", !largest)
    case .nonZero: mnemonic = "non_zero"
    case .unique(let axis, let sorted):
      mnemonic = "unique"
      integer("axis", axis)
      flag("sorted", sorted)
    case .compress(let axis):
      mnemonic = "compress"
      integer("axis", axis)
    case .oneHot(let axis):
      mnemonic = "one_hot"
      integer("axis", axis, unless: -1)
    }
  }

  mutating func spell(_ cumulative: CumulativeOp) {
    mnemonic = cumulative.kind == .sum ? "cum_sum" : "cum_prod"
    flag("exclusive", cumulative.exclusive)
    flag("reverse", cumulative.reverse)
  }

  mutating func spell(_ loss: LossOp) {
    mnemonic = loss.kind == .negativeLogLikelihood ? "nll_loss" : "softmax_cross_entropy_loss"
    choice("reduction", loss.reduction, OpSpelling.lossReductions)
    integer("ignored_index", loss.ignoredIndex)
  }
}

extension OpReading {
  static func selection(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    switch mnemonic {
    case "top_k": .selection(.topK(axis: try attributes.int("axis", default: -1), largest: try !attributes.flag("smallest")))
    case "unique": .selection(.unique(axis: try attributes.optionalInt("axis"), sorted: try attributes.flag("sorted")))
    case "compress": .selection(.compress(axis: try attributes.optionalInt("axis")))
    case "one_hot": .selection(.oneHot(axis: try attributes.int("axis", default: -1)))
    case "cum_sum", "cum_prod":
      .cumulative(
        CumulativeOp(mnemonic == "cum_sum" ? .sum : .product, exclusive: try attributes.flag("exclusive"), reverse: try attributes.flag("reverse")))
    case "nll_loss", "softmax_cross_entropy_loss":
      .loss(
        LossOp(
          mnemonic == "nll_loss" ? .negativeLogLikelihood : .softmaxCrossEntropy,
          reduction: try attributes.choice("reduction", OpSpelling.lossReductions), ignoredIndex: try attributes.optionalInt("ignored_index")))
    default: nil
    }
  }
}
