internal import GraphIR
internal import Tensors

/// How each operator stands in the text: a mnemonic and attributes. Those at their default are left out.
///
/// A new operator fails to compile here; `OpReading` takes the same spelling back.
struct OpSpelling {
  let mnemonic: String
  private(set) var attributes: [(name: String, value: AttributeValue)] = []

  /// Operators without attributes: written and read through this one table.
  static let plain: [(String, Op)] =
    [
      ("abs", UnaryOp.abs), ("neg", .neg), ("ceil", .ceil), ("floor", .floor), ("round", .round), ("sqrt", .sqrt), ("reciprocal", .reciprocal),
      ("exp", .exp), ("log", .log), ("sin", .sin), ("cos", .cos), ("tan", .tan), ("tanh", .tanh), ("sigmoid", .sigmoid), ("erf", .erf), ("relu", .relu),
      ("sign", .sign), ("not", .not), ("softplus", .softplus), ("softsign", .softsign), ("mish", .mish), ("identity", .identity),
      ("hard_swish", .hardSwish), ("is_nan", .isNaN),
    ].map { ($0.0, Op.unary($0.1)) }
    + [
      ("add", BinaryOp.add), ("sub", .subtract), ("mul", .multiply), ("div", .divide), ("pow", .power), ("mod", .modulo(truncated: false)),
      ("fmod", .modulo(truncated: true)), ("min", .minimum), ("max", .maximum), ("equal", .equal), ("less", .less), ("less_or_equal", .lessOrEqual),
      ("greater", .greater), ("greater_or_equal", .greaterOrEqual), ("and", .and), ("or", .or), ("xor", .xor), ("prelu", .prelu),
      ("bias_gelu", .biasGelu),
    ].map { ($0.0, Op.binary($0.1)) }
    + [
      ("where", .select), ("clip", .clip), ("matmul", .matrix(.matMul)), ("global_average_pool", .pooling(.globalAverage)),
      ("global_max_pool", .pooling(.globalMax)),
      ("squeeze", .layout(.squeeze)), ("unsqueeze", .layout(.unsqueeze)), ("expand", .layout(.expand)), ("slice", .layout(.slice)), ("tile", .layout(.tile)),
      ("scatter_nd", .indexing(.scatterND)), ("size", .generator(.size)), ("range", .generator(.range)),
    ]

  static let reductions: [(String, ReductionOp.Kind)] = [
    ("reduce_sum", .sum), ("reduce_mean", .mean), ("reduce_max", .max), ("reduce_min", .min), ("reduce_prod", .prod), ("reduce_l1", .l1), ("reduce_l2", .l2),
    ("reduce_sum_square", .sumSquare), ("reduce_log_sum", .logSum), ("reduce_log_sum_exp", .logSumExp), ("arg_max", .argMax), ("arg_min", .argMin),
  ]
  static let padModes: [(String, PadMode)] = [("constant", .constant), ("reflect", .reflect), ("edge", .edge), ("wrap", .wrap)]
  static let resizeModes: [(String, ResizeOp.Mode)] = [("nearest", .nearest), ("linear", .linear), ("cubic", .cubic)]
  static let coordinates: [(String, ResizeOp.Coordinates)] = [
    ("half_pixel", .halfPixel), ("pytorch_half_pixel", .pytorchHalfPixel), ("align_corners", .alignCorners), ("asymmetric", .asymmetric),
  ]
  static let nearestModes: [(String, ResizeOp.NearestMode)] = [
    ("round_prefer_floor", .roundPreferFloor), ("round_prefer_ceil", .roundPreferCeil), ("floor", .floor), ("ceil", .ceil),
  ]

  private static let plainNames = Dictionary(uniqueKeysWithValues: plain.map { ($0.1, $0.0) })

  init(_ op: Op) {
    if let name = OpSpelling.plainNames[op] {
      mnemonic = name
      return
    }
    var attributes: [(name: String, value: AttributeValue)] = []
    func put(_ name: String, _ value: AttributeValue) { attributes.append((name, value)) }
    func flag(_ name: String, _ value: Bool) { if value { put(name, .word("true")) } }
    func number(_ name: String, _ value: Float?, unless standard: Float? = nil) { if let value, value != standard { put(name, .float(value)) } }
    func integer(_ name: String, _ value: Int?, unless standard: Int? = nil) { if let value, value != standard { put(name, .int(value)) } }
    func list(_ name: String, _ value: [Int]) { if !value.isEmpty { put(name, .integers(value)) } }
    func choice<T: Equatable>(_ name: String, _ value: T, _ choices: [(String, T)]) {
      if let index = choices.firstIndex(where: { $0.1 == value }), index > 0 { put(name, .word(choices[index].0)) }
    }
    func window(_ window: Window) {
      list("kernel", window.kernel)
      list("strides", window.strides)
      list("dilations", window.dilations)
      switch window.padding {
      case .explicit(let pads): list("pads", pads)
      case .sameUpper: put("padding", .word("same_upper"))
      case .sameLower: put("padding", .word("same_lower"))
      case .valid: put("padding", .word("valid"))
      }
    }

    switch op {
    case .unary(let unary):
      switch unary {
      case .hardSigmoid(let alpha, let beta):
        mnemonic = "hard_sigmoid"
        number("alpha", alpha)
        number("beta", beta)
      case .leakyRelu(let alpha):
        mnemonic = "leaky_relu"
        number("alpha", alpha)
      case .elu(let alpha):
        mnemonic = "elu"
        number("alpha", alpha, unless: 1)
      case .selu(let alpha, let gamma):
        mnemonic = "selu"
        number("alpha", alpha)
        number("gamma", gamma)
      case .gelu(let form):
        mnemonic = "gelu"
        if form == .tanh { put("approximate", .word("tanh")) }
      case .swish(let alpha):
        mnemonic = "swish"
        number("alpha", alpha, unless: 1)
      case .abs, .neg, .ceil, .floor, .round, .sqrt, .reciprocal, .exp, .log, .sin, .cos, .tan, .tanh, .sigmoid, .erf, .relu, .sign, .not, .softplus, .softsign,
        .mish, .identity, .hardSwish, .isNaN:
        mnemonic = "unary"
      }
    case .binary: mnemonic = "binary"
    case .select: mnemonic = "where"
    case .clip: mnemonic = "clip"
    case .cast(let to):
      mnemonic = "cast"
      put("to", .word(TypeText.spelled(to)))
    case .matrix(let matrix):
      switch matrix {
      case .matMul: mnemonic = "matmul"
      case .gemm(let alpha, let beta, let transposeA, let transposeB):
        mnemonic = "gemm"
        number("alpha", alpha, unless: 1)
        number("beta", beta, unless: 1)
        flag("trans_a", transposeA)
        flag("trans_b", transposeB)
      case .fusedMatMul(let fused):
        mnemonic = "fused_matmul"
        number("alpha", fused.alpha, unless: 1)
        flag("trans_a", fused.transposeA)
        flag("trans_b", fused.transposeB)
        flag("trans_batch_a", fused.transposeBatchA)
        flag("trans_batch_b", fused.transposeBatchB)
      case .einsum(let equation):
        mnemonic = "einsum"
        put("equation", .string(equation))
      }
    case .convolution(let convolution):
      switch convolution {
      case .conv(let geometry, let groups):
        mnemonic = "conv"
        window(geometry)
        integer("groups", groups, unless: 1)
      case .convTranspose(let geometry, let groups, let outputPadding):
        mnemonic = "conv_transpose"
        window(geometry)
        integer("groups", groups, unless: 1)
        list("output_padding", outputPadding)
      }
    case .pooling(let pooling):
      switch pooling {
      case .max(let geometry, let ceilMode):
        mnemonic = "max_pool"
        window(geometry)
        flag("ceil_mode", ceilMode)
      case .average(let geometry, let ceilMode, let countIncludePad):
        mnemonic = "average_pool"
        window(geometry)
        flag("ceil_mode", ceilMode)
        flag("count_include_pad", countIncludePad)
      case .globalAverage: mnemonic = "global_average_pool"
      case .globalMax: mnemonic = "global_max_pool"
      }
    case .normalization(let normalization):
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
    case .softmax(let softmax):
      switch softmax {
      case .softmax(let axis):
        mnemonic = "softmax"
        integer("axis", axis, unless: -1)
      case .logSoftmax(let axis):
        mnemonic = "log_softmax"
        integer("axis", axis, unless: -1)
      }
    case .reduction(let reduction):
      mnemonic = OpSpelling.reductions.first { $0.1 == reduction.kind }?.0 ?? "reduce"
      flag("keep_dims", reduction.keepDims)
      flag("noop_with_empty_axes", reduction.noopWithEmptyAxes)
    case .layout(let layout):
      switch layout {
      case .reshape(let allowZero):
        mnemonic = "reshape"
        flag("allow_zero", allowZero)
      case .transpose(let permutation):
        mnemonic = "transpose"
        list("perm", permutation)
      case .squeeze: mnemonic = "squeeze"
      case .unsqueeze: mnemonic = "unsqueeze"
      case .flatten(let axis):
        mnemonic = "flatten"
        integer("axis", axis, unless: 1)
      case .expand: mnemonic = "expand"
      case .concat(let axis):
        mnemonic = "concat"
        integer("axis", axis)
      case .split(let axis):
        mnemonic = "split"
        integer("axis", axis)
      case .slice: mnemonic = "slice"
      case .pad(let mode):
        mnemonic = "pad"
        choice("mode", mode, OpSpelling.padModes)
      case .tile: mnemonic = "tile"
      case .depthToSpace(let blockSize, let columnRowDepth):
        mnemonic = "depth_to_space"
        integer("block_size", blockSize)
        flag("column_row_depth", columnRowDepth)
      case .spaceToDepth(let blockSize):
        mnemonic = "space_to_depth"
        integer("block_size", blockSize)
      }
    case .indexing(let indexing):
      switch indexing {
      case .gather(let axis):
        mnemonic = "gather"
        integer("axis", axis)
      case .gatherElements(let axis):
        mnemonic = "gather_elements"
        integer("axis", axis)
      case .gatherND(let batchDims):
        mnemonic = "gather_nd"
        integer("batch_dims", batchDims, unless: 0)
      case .scatterND: mnemonic = "scatter_nd"
      case .scatterElements(let axis):
        mnemonic = "scatter_elements"
        integer("axis", axis)
      case .resize(let resize):
        mnemonic = "resize"
        choice("mode", resize.mode, OpSpelling.resizeModes)
        choice("coordinates", resize.coordinates, OpSpelling.coordinates)
        choice("nearest", resize.nearest, OpSpelling.nearestModes)
      case .trilu(let upper):
        mnemonic = "trilu"
        flag("upper", upper)
      }
    case .generator(let generator):
      switch generator {
      case .shape(let start, let end):
        mnemonic = "shape"
        integer("start", start, unless: 0)
        integer("end", end)
      case .size: mnemonic = "size"
      case .constantOfShape(let fill):
        mnemonic = "constant_of_shape"
        put("type", .word(TypeText.spelled(fill.elementType)))
        put("value", .number(fill.value.description))
      case .range: mnemonic = "range"
      }
    case .attention(let attention):
      switch attention {
      case .standard(let standard):
        mnemonic = "attention"
        integer("q_heads", standard.queryHeads, unless: 0)
        integer("kv_heads", standard.keyHeads, unless: 0)
        number("scale", standard.scale)
        number("softcap", standard.softcap, unless: 0)
        flag("causal", standard.causal)
      case .packedProjection(let heads, let scale, let sizes, let causal):
        mnemonic = "packed_attention"
        integer("heads", heads)
        number("scale", scale)
        list("qkv_hidden_sizes", sizes)
        flag("causal", causal)
      case .multiHead(let heads, let scale, let causal):
        mnemonic = "multi_head_attention"
        integer("heads", heads)
        number("scale", scale)
        flag("causal", causal)
      }
    case .catalogued(let catalogued):
      mnemonic = catalogued.kind.rawValue
      for attribute in catalogued.attributes { put(attribute.name, AttributeValue(attribute.value)) }
    case .foreign(let foreign):
      mnemonic = "foreign"
      put("domain", .string(foreign.domain))
      put("name", .string(foreign.name))
    }
    self.attributes = attributes
  }
}
