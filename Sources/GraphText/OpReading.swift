internal import Diagnostics
internal import GraphIR
internal import Tensors

/// From mnemonic and attributes back to the operator: the reverse of `OpSpelling`.
enum OpReading {
  private static let plain = Dictionary(uniqueKeysWithValues: OpSpelling.plain)
  private static let reductions = Dictionary(uniqueKeysWithValues: OpSpelling.reductions)

  /// nil for a mnemonic that is not known.
  static func op(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    if let op = plain[mnemonic] { return op }
    if let kind = reductions[mnemonic] {
      return .reduction(ReductionOp(kind, keepDims: try attributes.flag("keep_dims"), noopWithEmptyAxes: try attributes.flag("noop_with_empty_axes")))
    }
    return switch mnemonic {
    case "hard_sigmoid": .unary(.hardSigmoid(alpha: try attributes.float("alpha", default: 0.2), beta: try attributes.float("beta", default: 0.5)))
    case "leaky_relu": .unary(.leakyRelu(alpha: try attributes.float("alpha", default: 0.01)))
    case "elu": .unary(.elu(alpha: try attributes.float("alpha", default: 1)))
    case "selu": .unary(.selu(alpha: try attributes.float("alpha", default: 1.6732632), gamma: try attributes.float("gamma", default: 1.050701)))
    case "gelu": .unary(.gelu(try attributes.choice("approximate", [("none", .exact), ("tanh", .tanh)])))
    case "swish": .unary(.swish(alpha: try attributes.float("alpha", default: 1)))
    case "cast": .cast(to: try elementType("to", &attributes))
    case "gemm":
      .matrix(
        .gemm(
          alpha: try attributes.float("alpha", default: 1), beta: try attributes.float("beta", default: 1),
          transposeA: try attributes.flag("trans_a"), transposeB: try attributes.flag("trans_b")))
    case "fused_matmul":
      .matrix(
        .fusedMatMul(
          FusedMatMul(
            alpha: try attributes.float("alpha", default: 1), transposeA: try attributes.flag("trans_a"), transposeB: try attributes.flag("trans_b"),
            transposeBatchA: try attributes.flag("trans_batch_a"), transposeBatchB: try attributes.flag("trans_batch_b"))))
    case "einsum": .matrix(.einsum(equation: try attributes.string("equation")))
    case "conv": .convolution(.conv(try window(&attributes), groups: try attributes.int("groups", default: 1)))
    case "conv_transpose":
      .convolution(
        .convTranspose(try window(&attributes), groups: try attributes.int("groups", default: 1), outputPadding: try attributes.integers("output_padding")))
    case "max_pool": .pooling(.max(try window(&attributes), ceilMode: try attributes.flag("ceil_mode")))
    case "average_pool":
      .pooling(.average(try window(&attributes), ceilMode: try attributes.flag("ceil_mode"), countIncludePad: try attributes.flag("count_include_pad")))
    case "layer_norm": .normalization(.layer(axis: try attributes.int("axis", default: -1), epsilon: try epsilon(&attributes)))
    case "rms_norm": .normalization(.rms(axis: try attributes.int("axis", default: -1), epsilon: try epsilon(&attributes)))
    case "batch_norm": .normalization(.batch(epsilon: try epsilon(&attributes)))
    case "instance_norm": .normalization(.instance(epsilon: try epsilon(&attributes)))
    case "group_norm": .normalization(.group(groups: try attributes.int("groups"), epsilon: try epsilon(&attributes)))
    case "lp_norm": .normalization(.lp(axis: try attributes.int("axis", default: -1), p: try attributes.int("p", default: 2)))
    case "skip_layer_norm": .normalization(.skipLayer(epsilon: try epsilon(&attributes)))
    case "skip_rms_norm": .normalization(.skipRMS(epsilon: try epsilon(&attributes)))
    case "softmax": .softmax(.softmax(axis: try attributes.int("axis", default: -1)))
    case "log_softmax": .softmax(.logSoftmax(axis: try attributes.int("axis", default: -1)))
    case "attention", "packed_attention", "multi_head_attention": .attention(try attention(mnemonic, &attributes))
    case "foreign": .foreign(ForeignOp(domain: try attributes.string("domain"), name: try attributes.string("name")))
    default: try movement(mnemonic, &attributes)
    }
  }

  /// Layout, indexing and generators.
  private static func movement(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    switch mnemonic {
    case "reshape": .layout(.reshape(allowZero: try attributes.flag("allow_zero")))
    case "transpose": .layout(.transpose(try attributes.integers("perm")))
    case "flatten": .layout(.flatten(axis: try attributes.int("axis", default: 1)))
    case "concat": .layout(.concat(axis: try attributes.int("axis")))
    case "split": .layout(.split(axis: try attributes.int("axis")))
    case "pad": .layout(.pad(try attributes.choice("mode", OpSpelling.padModes)))
    case "depth_to_space":
      .layout(.depthToSpace(blockSize: try attributes.int("block_size"), columnRowDepth: try attributes.flag("column_row_depth")))
    case "space_to_depth": .layout(.spaceToDepth(blockSize: try attributes.int("block_size")))
    case "gather": .indexing(.gather(axis: try attributes.int("axis")))
    case "gather_elements": .indexing(.gatherElements(axis: try attributes.int("axis")))
    case "gather_nd": .indexing(.gatherND(batchDims: try attributes.int("batch_dims", default: 0)))
    case "scatter_elements": .indexing(.scatterElements(axis: try attributes.int("axis")))
    case "resize":
      .indexing(
        .resize(
          ResizeOp(
            mode: try attributes.choice("mode", OpSpelling.resizeModes), coordinates: try attributes.choice("coordinates", OpSpelling.coordinates),
            nearest: try attributes.choice("nearest", OpSpelling.nearestModes))))
    case "trilu": .indexing(.trilu(upper: try attributes.flag("upper")))
    case "shape": .generator(.shape(start: try attributes.int("start", default: 0), end: try attributes.optionalInt("end")))
    case "constant_of_shape": .generator(.constantOfShape(FillValue(try elementType("type", &attributes), try attributes.double("value"))))
    default: try CataloguedOp.Kind(rawValue: mnemonic).map { (kind) throws(Failure) in .catalogued(try CataloguedOp(kind, attributes.takeAll())) }
    }
  }

  private static func attention(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> AttentionOp {
    switch mnemonic {
    case "attention":
      .standard(
        StandardAttention(
          queryHeads: try attributes.int("q_heads", default: 0), keyHeads: try attributes.int("kv_heads", default: 0),
          scale: try attributes.optionalFloat("scale"), softcap: try attributes.float("softcap", default: 0), causal: try attributes.flag("causal")))
    case "packed_attention":
      .packedProjection(
        heads: try attributes.int("heads"), scale: try attributes.optionalFloat("scale"), qkvHiddenSizes: try attributes.integers("qkv_hidden_sizes"),
        causal: try attributes.flag("causal"))
    default:
      .multiHead(heads: try attributes.int("heads"), scale: try attributes.optionalFloat("scale"), causal: try attributes.flag("causal"))
    }
  }

  private static func epsilon(_ attributes: inout AttributeReader) throws(Failure) -> Float { try attributes.float("epsilon", default: 1e-5) }

  private static func elementType(_ name: String, _ attributes: inout AttributeReader) throws(Failure) -> ElementType {
    guard let word = try attributes.word(name), let type = TypeText.element(word) else {
      throw Failure(.graphText, "the attribute '\(name)' is missing or no element type")
    }
    return type
  }

  private static func window(_ attributes: inout AttributeReader) throws(Failure) -> Window {
    let padding: WindowPadding? = try attributes.choice(
      "padding", [("explicit", nil), ("same_upper", .sameUpper), ("same_lower", .sameLower), ("valid", .valid)])
    let pads = try attributes.integers("pads")
    return Window(
      kernel: try attributes.integers("kernel"), strides: try attributes.integers("strides"), dilations: try attributes.integers("dilations"),
      padding: padding ?? .explicit(pads))
  }
}
