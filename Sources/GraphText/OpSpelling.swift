internal import GraphIR
internal import Tensors

/// How each operator stands in the text: a mnemonic and attributes. Those at their default are left out.
///
/// A new operator fails to compile here; `OpReading` takes the same spelling back.
struct OpSpelling {
  var mnemonic: String
  private(set) var attributes: [(name: String, value: AttributeValue)] = []

  /// Operators without attributes: written and read through this one table.
  static let plain: [(String, Op)] =
    [
      ("abs", UnaryOp.abs), ("neg", .neg), ("ceil", .ceil), ("floor", .floor), ("round", .round), ("sqrt", .sqrt), ("reciprocal", .reciprocal),
      ("exp", .exp), ("log", .log), ("sin", .sin), ("cos", .cos), ("tan", .tan), ("tanh", .tanh), ("sigmoid", .sigmoid), ("erf", .erf), ("relu", .relu),
      ("sign", .sign), ("not", .not), ("softplus", .softplus), ("softsign", .softsign), ("mish", .mish), ("identity", .identity),
      ("hard_swish", .hardSwish), ("is_nan", .isNaN), ("sinh", .sinh), ("cosh", .cosh), ("asin", .asin), ("acos", .acos), ("atan", .atan),
      ("asinh", .asinh), ("acosh", .acosh), ("atanh", .atanh), ("bitwise_not", .bitwiseNot),
    ].map { ($0.0, Op.unary($0.1)) }
    + [
      ("add", BinaryOp.add), ("sub", .subtract), ("mul", .multiply), ("div", .divide), ("pow", .power), ("mod", .modulo(truncated: false)),
      ("fmod", .modulo(truncated: true)), ("min", .minimum), ("max", .maximum), ("equal", .equal), ("less", .less), ("less_or_equal", .lessOrEqual),
      ("greater", .greater), ("greater_or_equal", .greaterOrEqual), ("and", .and), ("or", .or), ("xor", .xor), ("prelu", .prelu),
      ("bias_gelu", .biasGelu), ("bitwise_and", .bitwiseAnd), ("bitwise_or", .bitwiseOr), ("bitwise_xor", .bitwiseXor), ("shift_left", .shiftLeft),
      ("shift_right", .shiftRight),
    ].map { ($0.0, Op.binary($0.1)) }
    + [
      ("where", .select), ("clip", .clip), ("matmul", .matrix(.matMul)), ("global_average_pool", .pooling(.globalAverage)),
      ("global_max_pool", .pooling(.globalMax)),
      ("squeeze", .layout(.squeeze)), ("unsqueeze", .layout(.unsqueeze)), ("expand", .layout(.expand)), ("slice", .layout(.slice)), ("tile", .layout(.tile)),
      ("det", .matrix(.determinant)), ("non_zero", .selection(.nonZero)), ("size", .generator(.size)), ("range", .generator(.range)),
    ]

  static let reductions: [(String, ReductionOp.Kind)] = [
    ("reduce_sum", .sum), ("reduce_mean", .mean), ("reduce_max", .max), ("reduce_min", .min), ("reduce_prod", .prod), ("reduce_l1", .l1), ("reduce_l2", .l2),
    ("reduce_sum_square", .sumSquare), ("reduce_log_sum", .logSum), ("reduce_log_sum_exp", .logSumExp), ("arg_max", .argMax), ("arg_min", .argMin),
    ("last_arg_max", .lastArgMax), ("last_arg_min", .lastArgMin),
  ]
  static let padModes: [(String, PadMode)] = [("constant", .constant), ("reflect", .reflect), ("edge", .edge), ("wrap", .wrap)]
  static let resizeModes: [(String, ResizeOp.Mode)] = [("nearest", .nearest), ("linear", .linear), ("cubic", .cubic)]
  static let coordinates: [(String, ResizeOp.Coordinates)] = [
    ("half_pixel", .halfPixel), ("pytorch_half_pixel", .pytorchHalfPixel), ("align_corners", .alignCorners), ("asymmetric", .asymmetric),
    ("half_pixel_symmetric", .halfPixelSymmetric), ("crop_and_resize", .cropAndResize),
  ]
  static let nearestModes: [(String, ResizeOp.NearestMode)] = [
    ("round_prefer_floor", .roundPreferFloor), ("round_prefer_ceil", .roundPreferCeil), ("floor", .floor), ("ceil", .ceil),
  ]

  static let aspectRatios: [(String, ResizeOp.AspectRatio)] = [("stretch", .stretch), ("not_larger", .notLarger), ("not_smaller", .notSmaller)]
  static let scatterReductions: [(String, ScatterReduction)] = [
    ("none", .none), ("add", .add), ("mul", .multiply), ("min", .minimum), ("max", .maximum),
  ]
  static let lossReductions: [(String, LossOp.Reduction)] = [("mean", .mean), ("sum", .sum), ("none", .none)]
  static let attentionScores: [(String, AttentionScores)] = [
    ("raw", .raw), ("capped", .capped), ("biased", .biased), ("probabilities", .probabilities),
  ]
  static let attentionRules: [(String, LinearAttention.Rule)] = [
    ("gated_delta", .gatedDelta), ("delta", .delta), ("gated", .gated), ("linear", .linear),
  ]
  static let scaleRoundings: [(String, ScaleRounding)] = [("up", .up), ("down", .down), ("nearest", .nearest)]

  private static let plainNames = Dictionary(uniqueKeysWithValues: plain.map { ($0.1, $0.0) })
  init(_ op: Op) {
    mnemonic = OpSpelling.plainNames[op] ?? ""
    guard mnemonic.isEmpty else { return }
    switch op {
    case .unary(let op): spell(op)
    // All but those of the plain table.
    case .binary: mnemonic = "binary"
    case .select: mnemonic = "where"
    case .clip: mnemonic = "clip"
    case .cast(let to):
      mnemonic = "cast"
      put("to", .word(TypeText.spelled(to)))
    case .conversion(let op): spell(op)
    case .matrix(let op): spell(op)
    case .convolution(let op): spell(op)
    case .pooling(let op): spell(op)
    case .normalization(let op): spell(op)
    case .softmax(let op): spell(op)
    case .reduction(let op): spell(op)
    case .layout(let op): spell(op)
    case .indexing(let op): spell(op)
    case .selection(let op): spell(op)
    case .cumulative(let op): spell(op)
    case .generator(let op): spell(op)
    case .random(let op): spell(op)
    case .attention(let op): spell(op)
    case .rotary(let op): spell(op)
    case .recurrence(let op): spell(op)
    case .loss(let op): spell(op)
    case .control(let op): spell(op)
    case .call(let op): spell(op)
    case .sequence(let op): spell(op)
    case .catalogued(let op):
      mnemonic = op.kind.rawValue
      for attribute in op.attributes { put(attribute.name, AttributeValue(attribute.value)) }
    case .foreign(let foreign):
      mnemonic = "foreign"
      put("domain", .string(foreign.domain))
      put("name", .string(foreign.name))
    }
  }

  // MARK: Pieces for the families

  mutating func put(_ name: String, _ value: AttributeValue) { attributes.append((name, value)) }
  mutating func flag(_ name: String, _ value: Bool) { if value { put(name, .word("true")) } }
  mutating func number(_ name: String, _ value: Float?, unless standard: Float? = nil) { if let value, value != standard { put(name, .float(value)) } }
  mutating func integer(_ name: String, _ value: Int?, unless standard: Int? = nil) { if let value, value != standard { put(name, .int(value)) } }
  mutating func list(_ name: String, _ value: [Int]) { if !value.isEmpty { put(name, .integers(value)) } }
  mutating func choice<T: Equatable>(_ name: String, _ value: T, _ choices: [(String, T)]) {
    if let index = choices.firstIndex(where: { $0.1 == value }), index > 0 { put(name, .word(choices[index].0)) }
  }
  mutating func window(_ window: Window) {
    list("kernel", window.kernel)
    list("strides", window.strides)
    list("dilations", window.dilations)
    switch window.padding {
    case .explicit(let pads): list("pads", pads)
    case .sameUpper: put("padding", .word("same_upper"))
    case .sameLower: put("padding", .word("same_lower"))
    case .valid: put("padding", .word("valid"))
    case .toSizes(let sizes, let restAtEnd):
      list("to_sizes", sizes)
      flag("rest_at_end", restAtEnd)
    }
  }
}
