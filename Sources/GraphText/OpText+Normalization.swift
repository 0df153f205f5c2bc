internal import Diagnostics
internal import GraphIR
internal import Tensors

extension OpSpelling {
  mutating func spell(_ normalization: NormalizationOp) {
    switch normalization {
    case .layer(let axis, let epsilon):
      mnemonic = "layer_norm"
      integer("axis", axis, unless: -1)
      number("epsilon", epsilon, unless: 1e-5)
    case .rms(let axis, let epsilon):
      mnemonic = "rms_norm"
      integer("axis", axis, unless: -1)
      number("epsilon", epsilon, unless: 1e-5)
    case .batch(let epsilon):
      mnemonic = "batch_norm"
      number("epsilon", epsilon, unless: 1e-5)
    case .instance(let epsilon):
      mnemonic = "instance_norm"
      number("epsilon", epsilon, unless: 1e-5)
    case .group(let groups, let epsilon):
      mnemonic = "group_norm"
      integer("groups", groups)
      number("epsilon", epsilon, unless: 1e-5)
    case .batchTraining(let epsilon, let momentum):
      mnemonic = "batch_norm_training"
      number("epsilon", epsilon, unless: 1e-5)
      number("momentum", momentum, unless: 0.9)
    case .localResponse(let size, let alpha, let beta, let bias):
      mnemonic = "local_response_norm"
      integer("size", size)
      number("alpha", alpha, unless: 1e-4)
      number("beta", beta, unless: 0.75)
      number("bias", bias, unless: 1)
    case .meanVariance(let axes):
      mnemonic = "mean_variance_norm"
      list("axes", axes)
    case .lp(let axis, let p):
      mnemonic = "lp_norm"
      integer("axis", axis, unless: -1)
      integer("p", p, unless: 2)
    case .skipLayer(let epsilon):
      mnemonic = "skip_layer_norm"
      number("epsilon", epsilon, unless: 1e-5)
    case .skipRMS(let epsilon):
      mnemonic = "skip_rms_norm"
      number("epsilon", epsilon, unless: 1e-5)
    }
  }

  mutating func spell(_ softmax: SoftmaxOp) {
    switch softmax {
    case .softmax(let axis):
      mnemonic = "softmax"
      integer("axis", axis, unless: -1)
    case .logSoftmax(let axis):
      mnemonic = "log_softmax"
      integer("axis", axis, unless: -1)
    case .hardmax(let axis):
      mnemonic = "hardmax"
      integer("axis", axis, unless: -1)
    }
  }

  mutating func spell(_ reduction: ReductionOp) {
    mnemonic = OpSpelling.reductions.first { $0.1 == reduction.kind }?.0 ?? "reduce"
    flag("keep_dims", reduction.keepDims)
    flag("noop_with_empty_axes", reduction.noopWithEmptyAxes)
  }
}

extension OpReading {
  static func normalization(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    if let kind = reductions[mnemonic] {
      return .reduction(ReductionOp(kind, keepDims: try attributes.flag("keep_dims"), noopWithEmptyAxes: try attributes.flag("noop_with_empty_axes")))
    }
    return switch mnemonic {
    case "layer_norm": .normalization(.layer(axis: try attributes.int("axis", default: -1), epsilon: try epsilon(&attributes)))
    case "rms_norm": .normalization(.rms(axis: try attributes.int("axis", default: -1), epsilon: try epsilon(&attributes)))
    case "batch_norm": .normalization(.batch(epsilon: try epsilon(&attributes)))
    case "instance_norm": .normalization(.instance(epsilon: try epsilon(&attributes)))
    case "group_norm": .normalization(.group(groups: try attributes.int("groups"), epsilon: try epsilon(&attributes)))
    case "hardmax": .softmax(.hardmax(axis: try attributes.int("axis", default: -1)))
    case "batch_norm_training":
      .normalization(.batchTraining(epsilon: try epsilon(&attributes), momentum: try attributes.float("momentum", default: 0.9)))
    case "local_response_norm":
      .normalization(
        .localResponse(
          size: try attributes.int("size"), alpha: try attributes.float("alpha", default: 1e-4), beta: try attributes.float("beta", default: 0.75),
          bias: try attributes.float("bias", default: 1)))
    case "mean_variance_norm": .normalization(.meanVariance(axes: try attributes.integers("axes")))
    case "lp_norm": .normalization(.lp(axis: try attributes.int("axis", default: -1), p: try attributes.int("p", default: 2)))
    case "skip_layer_norm": .normalization(.skipLayer(epsilon: try epsilon(&attributes)))
    case "skip_rms_norm": .normalization(.skipRMS(epsilon: try epsilon(&attributes)))
    case "softmax": .softmax(.softmax(axis: try attributes.int("axis", default: -1)))
    case "log_softmax": .softmax(.logSoftmax(axis: try attributes.int("axis", default: -1)))
    default: nil
    }
  }

  private static let reductions = Dictionary(uniqueKeysWithValues: OpSpelling.reductions)

  private static func epsilon(_ attributes: inout AttributeReader) throws(Failure) -> Float { try attributes.float("epsilon", default: 1e-5) }
}
