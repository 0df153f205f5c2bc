internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Operators that choose, count and accumulate elements, and losses.
enum SelectionRules {
  static let standard: [String: ReadingRule] = [
    "TopK": { view throws(Failure) in
      // Sorted results are among those that an unsorted request allows.
      view.ignore("sorted")
      let axis = try view.int("axis", default: -1)
      let op = Op.selection(.topK(axis: axis, largest: try view.flag("largest", default: true)))
      guard view.version < 10 else { return .op(op, of: view) }
      guard let count = try view.int("k") else { throw view.bad("k", "is missing") }
      return .op(op, of: view, first: 1, then: [try Tensor.vector([count])])
    },
    "NonZero": { view throws(Failure) in .op(.selection(.nonZero), of: view) },
    "Unique": { view throws(Failure) in
      let axis = try view.int("axis")
      return .op(.selection(.unique(axis: axis, sorted: try view.flag("sorted", default: true))), of: view)
    },
    "Compress": { view throws(Failure) in .op(.selection(.compress(axis: try view.int("axis"))), of: view) },
    "OneHot": { view throws(Failure) in .op(.selection(.oneHot(axis: try view.int("axis", default: -1))), of: view) },
    "CumSum": cumulative(.sum), "CumProd": cumulative(.product),
    "NegativeLogLikelihoodLoss": loss(.negativeLogLikelihood), "SoftmaxCrossEntropyLoss": loss(.softmaxCrossEntropy),
  ]

  private static func cumulative(_ kind: CumulativeOp.Kind) -> ReadingRule {
    { view throws(Failure) in
      let exclusive = try view.flag("exclusive")
      return .op(.cumulative(.init(kind, exclusive: exclusive, reverse: try view.flag("reverse"))), of: view)
    }
  }

  private static func loss(_ kind: LossOp.Kind) -> ReadingRule {
    { view throws(Failure) in
      let ignored = try view.int("ignore_index")
      let reduction: LossOp.Reduction
      switch try view.string("reduction", default: "mean") {
      case "mean": reduction = .mean
      case "sum": reduction = .sum
      case "none": reduction = .none
      default: throw view.bad("reduction", "has an unknown value")
      }
      return .op(.loss(.init(kind, reduction: reduction, ignoredIndex: ignored)), of: view)
    }
  }
}

extension SpellingRequest {
  func spelling(of op: SelectionOp) throws(Failure) -> OperatorSpelling {
    switch op {
    case .topK(let axis, let largest):
      if !largest { try require(11, "TopK of the smallest") }
      if version >= 10 { return try plain("TopK", [("axis", .int(axis))] + (largest ? [] : [("largest", .int(0))])) }
      guard let count = try constantIntegers(at: 1, "the count of TopK", until: 10)?.first else {
        throw Failure(.notExpressible, "TopK without a count", at: .element(node.name))
      }
      return OperatorSpelling("TopK", [("axis", .int(axis)), ("k", .int(count))], operands: [node.input(0)])
    case .nonZero: return try plain("NonZero", since: 9)
    case .unique(let axis, let sorted):
      return try plain("Unique", since: 11, (axis.map { [("axis", .int($0))] } ?? []) + (sorted ? [] : [("sorted", .int(0))]))
    case .compress(let axis): return try plain("Compress", since: 9, axis.map { [("axis", .int($0))] } ?? [])
    case .oneHot(let axis): return try plain("OneHot", since: 9, [("axis", .int(axis))])
    }
  }

  func spelling(of op: CumulativeOp) throws(Failure) -> OperatorSpelling {
    let attributes: [(name: String, value: OperatorSpelling.Attribute)] = [("exclusive", op.exclusive.spelled), ("reverse", op.reverse.spelled)]
    return try op.kind == .sum ? plain("CumSum", since: 11, attributes) : plain("CumProd", since: 26, attributes)
  }

  func spelling(of op: LossOp) throws(Failure) -> OperatorSpelling {
    let reduction =
      switch op.reduction {
      case .none: "none"
      case .sum: "sum"
      case .mean: "mean"
      }
    var attributes: [(name: String, value: OperatorSpelling.Attribute)] = [("reduction", .string(reduction))]
    if let ignored = op.ignoredIndex { attributes.append(("ignore_index", .int(ignored))) }
    return try plain(op.kind == .negativeLogLikelihood ? "NegativeLogLikelihoodLoss" : "SoftmaxCrossEntropyLoss", since: 12, attributes)
  }
}
