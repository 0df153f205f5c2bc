internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Normalizations, softmax and reductions.
enum NormalizationRules {
  static let standard: [String: ReadingRule] = [
    // ONNX Runtime's optimizer writes these two into the standard domain whatever its version.
    "LayerNormalization": layer, "SimplifiedLayerNormalization": rms,
    "RMSNormalization": rms,
    "BatchNormalization": { view throws(Failure) in
      view.ignore("is_test", "consumed_inputs")
      let momentum = try view.float("momentum", default: 0.9)
      if view.version >= 14, try view.flag("training_mode") {
        return .op(.normalization(.batchTraining(epsilon: try view.float("epsilon", default: 1e-5), momentum: momentum)), of: view)
      }
      let epsilon = try view.float("epsilon", default: 1e-5)
      return try earlierBatch(view, epsilon: epsilon, momentum: momentum, spatial: try view.flag("spatial", default: true))
    },
    "InstanceNormalization": { view throws(Failure) in
      view.ignore("consumed_inputs")
      return .op(.normalization(.instance(epsilon: try view.float("epsilon", default: 1e-5))), of: view)
    },
    "GroupNormalization": { view throws(Failure) in
      guard let groups = try view.int("num_groups"), groups > 0 else { throw view.bad("num_groups", "is missing or not positive") }
      let epsilon = try view.float("epsilon", default: 1e-5)
      guard view.version < 21 else { return try normalized(.group(groups: groups, epsilon: epsilon), &view) }
      // Before version 21 there was one scale and bias for each group, which is then what a channel is to an instance.
      return .steps([
        .init(.generator(.shape(start: 0, end: nil)), [.operand(0)]),
        .init(.layout(.reshape(allowZero: false)), [.operand(0), .constant(try Tensor.vector([0, groups, -1]))]),
        .init(.normalization(.instance(epsilon: epsilon)), [.step(1), .operand(1), .operand(2)]),
        .init(.layout(.reshape(allowZero: false)), [.step(2), .step(0)]),
      ])
    },
    "LRN": { view throws(Failure) in
      guard let size = try view.int("size"), size > 0 else { throw view.bad("size", "is missing or not positive") }
      let alpha = try view.float("alpha", default: 1e-4)
      let beta = try view.float("beta", default: 0.75)
      return .op(.normalization(.localResponse(size: size, alpha: alpha, beta: beta, bias: try view.float("bias", default: 1))), of: view)
    },
    "MeanVarianceNormalization": { view throws(Failure) in .op(.normalization(.meanVariance(axes: try view.ints("axes") ?? [0, 2, 3])), of: view) },
    "LpNormalization": { view throws(Failure) in
      let axis = try view.int("axis", default: -1)
      return .op(.normalization(.lp(axis: axis, p: try view.int("p", default: 2))), of: view)
    },
    "Softmax": softmax { .softmax(axis: $0) },
    "LogSoftmax": softmax { .logSoftmax(axis: $0) },
    "Hardmax": softmax { .hardmax(axis: $0) },
    "ReduceSum": reduction(.sum, axesAreInputSince: 13), "ReduceMean": reduction(.mean), "ReduceMax": reduction(.max), "ReduceMin": reduction(.min),
    "ReduceProd": reduction(.prod), "ReduceL1": reduction(.l1), "ReduceL2": reduction(.l2), "ReduceSumSquare": reduction(.sumSquare),
    "ReduceLogSum": reduction(.logSum), "ReduceLogSumExp": reduction(.logSumExp),
    "ArgMax": argument(.argMax, last: .lastArgMax), "ArgMin": argument(.argMin, last: .lastArgMin),
  ]

  static let microsoft: [String: ReadingRule] = [
    "LayerNormalization": layer, "SimplifiedLayerNormalization": rms,
    "SkipLayerNormalization": { view throws(Failure) in
      .op(.normalization(.skipLayer(epsilon: try view.float("epsilon", default: 1e-12))), of: view)
    },
    "SkipSimplifiedLayerNormalization": { view throws(Failure) in
      .op(.normalization(.skipRMS(epsilon: try view.float("epsilon", default: 1e-12))), of: view)
    },
  ]

  private static let layer: ReadingRule = { view throws(Failure) in
    let axis = try view.int("axis", default: -1)
    let epsilon = try view.float("epsilon", default: 1e-5)
    return try normalized(.layer(axis: axis, epsilon: epsilon), &view)
  }

  private static let rms: ReadingRule = { view throws(Failure) in
    let axis = try view.int("axis", default: -1)
    let epsilon = try view.float("epsilon", default: 1e-5)
    if view.wants(1) { return .unsupported("its second result is read") }
    return try normalized(.rms(axis: axis, epsilon: epsilon), &view)
  }

  /// Single precision for the first stage is what the operators of the IR compute in at least.
  private static func normalized(_ op: NormalizationOp, _ view: inout NodeView) throws(Failure) -> Translation {
    guard try view.int("stash_type") ?? 1 != 1 else { return .op(.normalization(op), of: view) }
    guard let stash = try ConversionRules.elementType("stash_type", &view) else { throw view.bad("stash_type", "names no element type") }
    return try stashed(stash, view, op)
  }

  /// Before version 13 the axes from `axis` on were one: flattened, normalized and shaped back.
  private static func softmax(_ make: @escaping @Sendable (Int) -> SoftmaxOp) -> ReadingRule {
    { view throws(Failure) in
      if view.version >= 13 { return .op(.softmax(make(try view.int("axis", default: -1))), of: view) }
      let axis = try view.int("axis", default: 1)
      let rank = view.type(at: 0)?.shape?.rank
      if axis == -1 || rank.map({ axis == $0 - 1 }) ?? false { return .op(.softmax(make(-1)), of: view) }
      return .steps([
        .init(.generator(.shape(start: 0, end: nil)), [.operand(0)]),
        .init(.layout(.flatten(axis: axis)), [.operand(0)]),
        .init(.softmax(make(-1)), [.step(1)]),
        .init(.layout(.reshape(allowZero: false)), [.step(2), .step(0)]),
      ])
    }
  }

  /// Axes were an attribute before version 18 (13 for the sum).
  private static func reduction(_ kind: ReductionOp.Kind, axesAreInputSince change: Int = 18) -> ReadingRule {
    { view throws(Failure) in
      let keepDims = try view.flag("keepdims", default: true)
      if view.version >= change {
        return .op(.reduction(.init(kind, keepDims: keepDims, noopWithEmptyAxes: try view.flag("noop_with_empty_axes"))), of: view)
      }
      let op = Op.reduction(.init(kind, keepDims: keepDims))
      guard let axes = try view.ints("axes"), !axes.isEmpty else { return .op(op, of: view, first: 1, then: []) }
      return .op(op, of: view, first: 1, then: [try Tensor.vector(axes)])
    }
  }

  private static func argument(_ first: ReductionOp.Kind, last: ReductionOp.Kind) -> ReadingRule {
    { view throws(Failure) in
      let kind = try view.flag("select_last_index") ? last : first
      let axis = try view.int("axis", default: 0)
      return .op(.reduction(.init(kind, keepDims: try view.flag("keepdims", default: true))), of: view, first: 1, then: [try Tensor.vector([axis])])
    }
  }
}

extension SpellingRequest {
  func spelling(of op: NormalizationOp) throws(Failure) -> OperatorSpelling {
    switch op {
    case .layer(let axis, let epsilon): try plain("LayerNormalization", since: 17, [("axis", .int(axis)), ("epsilon", .float(epsilon))])
    case .rms(let axis, let epsilon): try plain("RMSNormalization", since: 23, [("axis", .int(axis)), ("epsilon", .float(epsilon))])
    case .batch(let epsilon): try plain("BatchNormalization", since: 9, [("epsilon", .float(epsilon))])
    case .instance(let epsilon): try plain("InstanceNormalization", since: 6, [("epsilon", .float(epsilon))])
    case .group(let groups, let epsilon): try plain("GroupNormalization", since: 21, [("num_groups", .int(groups)), ("epsilon", .float(epsilon))])
    case .batchTraining(let epsilon, let momentum):
      try plain("BatchNormalization", since: 14, [("epsilon", .float(epsilon)), ("momentum", .float(momentum)), ("training_mode", .int(1))])
    case .localResponse(let size, let alpha, let beta, let bias):
      try plain("LRN", [("size", .int(size)), ("alpha", .float(alpha)), ("beta", .float(beta)), ("bias", .float(bias))])
    case .meanVariance(let axes): try plain("MeanVarianceNormalization", since: 9, [("axes", .ints(axes))])
    case .lp(let axis, let p): try plain("LpNormalization", [("axis", .int(axis)), ("p", .int(p))])
    case .skipLayer(let epsilon): contrib("SkipLayerNormalization", [("epsilon", .float(epsilon))])
    case .skipRMS(let epsilon): contrib("SkipSimplifiedLayerNormalization", [("epsilon", .float(epsilon))])
    }
  }

  /// Before version 13 the axes from `axis` on were one, which is the same for the last axis only.
  func softmax(_ name: String, axis: Int) throws(Failure) -> OperatorSpelling {
    if version >= 13 { return try plain(name, [("axis", .int(axis))]) }
    let last = rank.map { $0 - 1 }
    guard axis == -1 || axis == last else { throw needs(13, "\(name) along an axis before the last") }
    if version >= 11 { return try plain(name, [("axis", .int(-1))]) }
    guard let last else { throw needs(11, "\(name) along the last axis of a tensor of unknown rank") }
    return try plain(name, [("axis", .int(last))])
  }

  func spelling(of op: ReductionOp) throws(Failure) -> OperatorSpelling {
    let keepDims = ("keepdims", op.keepDims.spelled) as (name: String, value: OperatorSpelling.Attribute)
    let name = op.kind.onnxName
    if [.argMax, .argMin, .lastArgMax, .lastArgMin].contains(op.kind) {
      guard let axes = try constantIntegers(at: 1, "an axis of \(name)", until: .max), axes.count == 1 else {
        throw Failure(.notExpressible, "\(name) takes one axis", at: .element(node.name))
      }
      let isLast = op.kind == .lastArgMax || op.kind == .lastArgMin
      if isLast { try require(12, "\(name) of the last among equals") }
      return OperatorSpelling(name, [("axis", .int(axes[0])), keepDims] + (isLast ? [("select_last_index", .int(1))] : []), operands: [node.input(0)])
    }
    let change = op.kind == .sum ? 13 : 18
    if version >= change {
      return try plain(name, op.noopWithEmptyAxes ? [keepDims, ("noop_with_empty_axes", .int(1))] : [keepDims])
    }
    guard let axes = try constantIntegers(at: 1, "axes of \(name)", until: change), !axes.isEmpty else {
      if op.noopWithEmptyAxes { return OperatorSpelling("Identity", operands: [node.input(0)]) }
      return OperatorSpelling(name, [keepDims], operands: [node.input(0)])
    }
    return OperatorSpelling(name, [("axes", .ints(axes)), keepDims], operands: [node.input(0)])
  }
}

extension ReductionOp.Kind {
  fileprivate var onnxName: String {
    switch self {
    case .sum: "ReduceSum"
    case .mean: "ReduceMean"
    case .max: "ReduceMax"
    case .min: "ReduceMin"
    case .prod: "ReduceProd"
    case .l1: "ReduceL1"
    case .l2: "ReduceL2"
    case .sumSquare: "ReduceSumSquare"
    case .logSum: "ReduceLogSum"
    case .logSumExp: "ReduceLogSumExp"
    case .argMax, .lastArgMax: "ArgMax"
    case .argMin, .lastArgMin: "ArgMin"
    }
  }
}
