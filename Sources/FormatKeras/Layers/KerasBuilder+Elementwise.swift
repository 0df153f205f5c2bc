internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// Operations on one value, element by element; nil for a name that is none of them.
  mutating func elementwise(_ name: String, _ x: ValueID, _ argument: (String) -> Argument?, _ call: LayerCall) throws(Failure) -> ValueID? {
    if name == "LogicalNot", try e.element(x) != .bool { return try equals(x, 0) }
    if let op = KerasBuilder.unaryOperations[name] { return try e.unary(op, try floating(x, op), name) }
    switch name {
    case "Rsqrt": return try e.unary(.reciprocal, try e.unary(.sqrt, x, "Sqrt"), "Reciprocal")
    case "Square": return try e.multiply(x, x)
    case "Exp2": return try e.unary(.exp, try e.multiply(x, 0.6931471805599453), "Exp")
    case "Expm1": return try e.add(try e.unary(.exp, x, "Exp"), -1)
    case "Log1p": return try e.unary(.log, try e.add(x, 1), "Log")
    case "Log2": return try e.multiply(try e.unary(.log, x, "Log"), 1.4426950408889634)
    case "Log10": return try e.multiply(try e.unary(.log, x, "Log"), 0.4342944819032518)
    case "Cbrt": return try e.multiply(try e.unary(.sign, x, "Sign"), try power(try e.unary(.abs, x, "Abs"), 1.0 / 3))
    case "Trunc", "Fix": return try truncated(x)
    case "Erfc": return try e.subtract(try e.scalar(1, like: x), try e.unary(.erf, x, "Erf"))
    case "Sinc":
      let angle = try e.multiply(x, Double.pi)
      let ratio = try e.divide(try e.unary(.sin, angle, "Sin"), angle)
      return try e.select(try equals(x, 0), try e.scalar(1, like: x), ratio)
    case "Deg2rad": return try e.multiply(x, Double.pi / 180)
    case "Rad2deg": return try e.multiply(x, 180 / Double.pi)
    case "Isfinite": return try e.unary(.not, try either(try e.unary(.isNaN, x, "IsNaN"), try infinite(x, true, true)), "Not")
    case "Isinf": return try infinite(x, true, true)
    case "Isposinf": return try infinite(x, false, true)
    case "Isneginf": return try infinite(x, true, false)
    case "Signbit": return try e.emit(.binary(.less), [x, try e.scalar(0, like: x)], "Less")
    case "NanToNum":
      let bounded = try e.clip(x, -Double(Float.greatestFiniteMagnitude), Double(Float.greatestFiniteMagnitude))
      return try e.select(try e.unary(.isNaN, x, "IsNaN"), try e.scalar(argument("nan")?.double ?? 0, like: x), bounded)
    case "ZerosLike": return try filled(like: x, 0, argument("dtype")?.string)
    case "OnesLike": return try filled(like: x, 1, argument("dtype")?.string)
    case "FullLike":
      guard let number = call.argument(1, "fill_value")?.double else { throw call.refused("a computed number to fill with") }
      return try filled(like: x, number, argument("dtype")?.string)
    case "StopGradient", "Identity", "Copy", "ConvertToTensor", "Array": return x
    case "Cast", "AsType", "SaturateCast":
      guard let word = argument("dtype")?.string, let type = ElementType(name: word) else { throw call.wrong("'dtype' is missing") }
      let bounds: [ElementType: (Double, Double)] = [
        .uint8: (0, 255), .int8: (-128, 127), .uint16: (0, 65535), .int16: (-32768, 32767), .int32: (-2_147_483_648, 2_147_483_520),
      ]
      if name == "SaturateCast", try e.element(x).isFloatingPoint, let (low, high) = bounds[type] {
        return try e.emit(.cast(to: type), [try e.clip(x, low, high)], "Cast")
      }
      return try e.emit(.cast(to: type), [x], "Cast")
    case "Clip":
      guard let low = argument("x_min")?.double, let high = argument("x_max")?.double else { throw call.refused("bounds that are computed") }
      return try e.clip(x, low, high)
    case "Round":
      let decimals = argument("decimals")?.int ?? 0
      guard (-8...8).contains(decimals) else { throw call.wrong("'decimals' is \(decimals)") }
      if decimals == 0 { return try e.unary(.round, x, "Round") }
      let factor = (0..<abs(decimals)).reduce(1.0) { value, _ in value * 10 }
      return decimals > 0
        ? try e.divide(try e.unary(.round, try e.multiply(x, factor), "Round"), factor)
        : try e.multiply(try e.unary(.round, try e.divide(x, factor), "Round"), factor)
    default: return try activationOperation(name, x, argument, call)
    }
  }

  private static let unaryOperations: [String: UnaryOp] = [
    "Negative": .neg, "Exp": .exp, "Log": .log, "Sqrt": .sqrt, "Reciprocal": .reciprocal, "Absolute": .abs, "Abs": .abs, "Fabs": .abs, "Sin": .sin,
    "Cos": .cos, "Tan": .tan, "Sinh": .sinh, "Cosh": .cosh, "Arcsin": .asin, "Arccos": .acos, "Arctan": .atan, "Arcsinh": .asinh, "Arccosh": .acosh,
    "Arctanh": .atanh, "Erf": .erf, "Floor": .floor, "Ceil": .ceil, "Sign": .sign, "LogicalNot": .not, "Isnan": .isNaN, "BitwiseNot": .bitwiseNot,
    "BitwiseInvert": .bitwiseNot,
  ]

  /// Integers become numbers where the operation has no meaning for them.
  private mutating func floating(_ x: ValueID, _ op: UnaryOp) throws(Failure) -> ValueID {
    switch op {
    case .not, .bitwiseNot, .neg, .abs, .sign: return x
    default: return try e.element(x).isFloatingPoint ? x : try e.emit(.cast(to: .float32), [x], "Cast")
    }
  }

  /// Activations with the parameters that operations have.
  private mutating func activationOperation(_ name: String, _ x: ValueID, _ argument: (String) -> Argument?, _ call: LayerCall) throws(Failure) -> ValueID? {
    switch name {
    case "Tanh", "Relu", "Sigmoid", "Selu", "Softplus", "Softsign", "Silu", "Relu6", "LogSigmoid", "HardSigmoid", "HardSilu", "HardTanh", "Mish",
      "TanhShrink", "SparsePlus", "SparseSigmoid":
      return try activation(named: KerasLayer.snakeCase(name), x, call)
    case "LeakyRelu": return try e.unary(.leakyRelu(alpha: Float(argument("negative_slope")?.double ?? 0.2)), x, "LeakyRelu")
    case "Elu": return try e.unary(.elu(alpha: Float(argument("alpha")?.double ?? 1)), x, "Elu")
    case "Celu": return try celu(x, argument("alpha")?.double ?? 1)
    case "Gelu": return try gelu(x, approximate: argument("approximate")?.bool ?? true)
    case "Squareplus": return try squareplus(x, argument("b")?.double ?? 4)
    case "SoftShrink": return try softShrink(x, argument("threshold")?.double ?? 0.5)
    case "HardShrink": return try hardShrink(x, argument("threshold")?.double ?? 0.5)
    case "Threshold":
      guard let threshold = argument("threshold")?.double ?? call.argument(1, "threshold")?.double,
        let standard = (argument("default_value") ?? argument("value"))?.double
      else { throw call.wrong("its numbers are missing") }
      let above = try e.emit(.binary(.greater), [x, try e.scalar(threshold, like: x)], "Greater")
      return try e.select(above, x, try e.scalar(standard, like: x))
    case "Glu": return try glu(x, axis: argument("axis")?.int ?? -1, call)
    case "Softmax": return try softmax(x, argument("axis"), call)
    case "LogSoftmax": return try e.emit(.softmax(.logSoftmax(axis: argument("axis")?.int ?? -1)), [x], "LogSoftmax")
    case "Sparsemax": return try sparsemax(x, axis: argument("axis")?.int ?? -1, call)
    default: return nil
    }
  }

  /// α·expm1(min(x, 0)/α) + max(x, 0)
  mutating func celu(_ x: ValueID, _ alpha: Double) throws(Failure) -> ValueID {
    let negative = try e.emit(.binary(.minimum), [x, try e.scalar(0, like: x)], "Min")
    let scaled = alpha == 1 ? negative : try e.divide(negative, alpha)
    let below = try e.add(try e.unary(.exp, scaled, "Exp"), -1)
    return try e.add(try e.unary(.relu, x, "Relu"), alpha == 1 ? below : try e.multiply(below, alpha))
  }

  mutating func squareplus(_ x: ValueID, _ b: Double) throws(Failure) -> ValueID {
    let root = try e.unary(.sqrt, try e.add(try e.multiply(x, x), b), "Sqrt")
    return try e.multiply(try e.add(x, root), 0.5)
  }

  mutating func softShrink(_ x: ValueID, _ threshold: Double) throws(Failure) -> ValueID {
    try e.subtract(x, try e.clip(x, -threshold, threshold))
  }

  mutating func hardShrink(_ x: ValueID, _ threshold: Double) throws(Failure) -> ValueID {
    let large = try e.emit(.binary(.greater), [try e.unary(.abs, x, "Abs"), try e.scalar(threshold, like: x)], "Greater")
    return try e.select(large, x, try e.scalar(0, like: x))
  }

  /// The first half of an axis, gated by the second.
  mutating func glu(_ x: ValueID, axis: Int, _ call: LayerCall) throws(Failure) -> ValueID {
    let axis = try e.axis(axis, rank: try e.rank(x))
    let width = try e.size(x, axis)
    guard width % 2 == 0 else { throw call.wrong("glu of an odd number of channels") }
    let first = try e.slice(x, axis: axis, from: 0, to: width / 2)
    return try e.multiply(first, try e.unary(.sigmoid, try e.slice(x, axis: axis, from: width / 2, to: width), "Sigmoid"))
  }

  /// Over one axis, or over several at once.
  mutating func softmax(_ x: ValueID, _ axis: Argument?, _ call: LayerCall) throws(Failure) -> ValueID {
    guard let axes = axis?.ints, axes.count > 1 else { return try e.softmax(x, axis: axis?.int ?? axis?.ints?.first ?? -1) }
    let highest = try e.reduce(.max, x, axes: axes, keep: true, "ReduceMax")
    let powers = try e.unary(.exp, try e.subtract(x, highest), "Exp")
    return try e.divide(powers, try e.reduce(.sum, powers, axes: axes, keep: true, "ReduceSum"))
  }

  /// As Keras 3 computes it. With z sorted downwards, the support is the k for which 1 + k·z(k) > Σ of the first k. The
  /// threshold takes the sum of those sums, where Martins and Astudillo (2016) have the last one alone.
  mutating func sparsemax(_ x: ValueID, axis: Int, _ call: LayerCall) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    let axis = try e.axis(axis, rank: rank)
    let count = try e.size(x, axis)
    guard count > 0, count <= 1 << 20 else { throw call.refused("sparsemax of \(count) entries") }
    let type = try e.element(x)
    let sorted = try ordered(x, axis: axis, count: count, largest: true).values
    let sums = try e.emit(.cumulative(CumulativeOp(.sum)), [sorted, try e.constantScalar(Int64(axis))], "CumSum")
    var dims = [Int](repeating: 1, count: rank - axis)
    dims[0] = count
    let steps = try e.floats((1...count).map { Double($0) }, dims: dims, type, "steps")
    let bound = try e.add(try e.multiply(sorted, steps), 1)
    let support = try e.cast(try e.emit(.binary(.greater), [bound, sums], "Greater"), type)
    let size = try e.reduce(.sum, support, axes: [axis], keep: true, "ReduceSum")
    let total = try e.reduce(.sum, try e.multiply(sums, support), axes: [axis], keep: true, "ReduceSum")
    let threshold = try e.divide(try e.add(total, -1), size)
    return try e.unary(.relu, try e.subtract(x, threshold), "Relu")
  }

  /// |a − b| ≤ atol + rtol·|b|
  mutating func isClose(_ argument: (Int, String) -> Argument?, _ call: LayerCall) throws(Failure) -> ValueID {
    let (a, b) = try pair(call.argument(0, "x1"), call.argument(1, "x2"), call)
    let distance = try e.unary(.abs, try e.subtract(a, b), "Abs")
    let relative = try e.multiply(try e.unary(.abs, b, "Abs"), argument(2, "rtol")?.double ?? 1e-5)
    return try e.emit(.binary(.lessOrEqual), [distance, try e.add(relative, argument(3, "atol")?.double ?? 1e-8)], "LessOrEqual")
  }

  private mutating func infinite(_ x: ValueID, _ negative: Bool, _ positive: Bool) throws(Failure) -> ValueID {
    try e.unary(.isInfinite(negative: negative, positive: positive), x, "IsInf")
  }

  mutating func either(_ a: ValueID, _ b: ValueID) throws(Failure) -> ValueID { try e.emit(.binary(.or), [a, b], "Or") }

  mutating func equals(_ x: ValueID, _ number: Double) throws(Failure) -> ValueID {
    try e.emit(.binary(.equal), [x, try e.scalar(number, like: x)], "Equal")
  }

  mutating func power(_ x: ValueID, _ exponent: Double) throws(Failure) -> ValueID {
    try e.emit(.binary(.power), [x, try e.scalar(exponent, like: x)], "Pow")
  }

  /// Towards zero.
  mutating func truncated(_ x: ValueID) throws(Failure) -> ValueID {
    try e.multiply(try e.unary(.sign, x, "Sign"), try e.unary(.floor, try e.unary(.abs, x, "Abs"), "Floor"))
  }

  /// A number everywhere, in the shape of `x`.
  mutating func filled(like x: ValueID, _ number: Double, _ word: String?) throws(Failure) -> ValueID {
    var type = try e.element(x)
    if let own = word.flatMap({ ElementType(name: $0) }) { type = own }
    let shape = try e.emit(.generator(.shape(start: 0, end: nil)), [x], "Shape")
    return try e.emit(.layout(.expand), [try e.scalar(number, type), shape], "Expand")
  }

  // MARK: Two values

  /// Operations on two values; nil for a name that is none of them.
  mutating func pairwise(_ name: String, _ a: ValueID, _ b: ValueID) throws(Failure) -> ValueID? {
    switch name {
    case "Add": return try e.add(a, b)
    case "Subtract": return try e.subtract(a, b)
    case "Multiply": return try e.multiply(a, b)
    case "TrueDivide", "Divide": return try e.divide(a, b)
    case "Minimum", "Fmin": return try e.emit(.binary(.minimum), [a, b], "Min")
    case "Maximum", "Fmax": return try e.emit(.binary(.maximum), [a, b], "Max")
    case "Greater": return try e.emit(.binary(.greater), [a, b], "Greater")
    case "GreaterEqual": return try e.emit(.binary(.greaterOrEqual), [a, b], "GreaterOrEqual")
    case "Less": return try e.emit(.binary(.less), [a, b], "Less")
    case "LessEqual": return try e.emit(.binary(.lessOrEqual), [a, b], "LessOrEqual")
    case "Equal": return try e.emit(.binary(.equal), [a, b], "Equal")
    case "NotEqual": return try e.unary(.not, try e.emit(.binary(.equal), [a, b], "Equal"), "Not")
    case "Power": return try e.emit(.binary(.power), [a, b], "Pow")
    case "LogicalAnd", "BitwiseAnd": return try e.emit(.binary(name == "LogicalAnd" ? .and : .bitwiseAnd), [a, b], "And")
    case "LogicalOr", "BitwiseOr": return try e.emit(.binary(name == "LogicalOr" ? .or : .bitwiseOr), [a, b], "Or")
    case "LogicalXor", "BitwiseXor": return try e.emit(.binary(name == "LogicalXor" ? .xor : .bitwiseXor), [a, b], "Xor")
    case "FloorDivide": return try e.unary(.floor, try e.divide(a, b), "Floor")
    case "Mod":
      // The sign of the divisor, as Python has it.
      if try !e.element(a).isFloatingPoint { return try e.emit(.binary(.modulo(truncated: false)), [a, b], "Mod") }
      return try e.subtract(a, try e.multiply(try e.unary(.floor, try e.divide(a, b), "Floor"), b))
    case "Fmod": return try e.emit(.binary(.modulo(truncated: true)), [a, b], "Mod")
    case "Hypot": return try e.unary(.sqrt, try e.add(try e.multiply(a, a), try e.multiply(b, b)), "Sqrt")
    case "Logaddexp", "Logaddexp2":
      let base = name == "Logaddexp" ? 1 : 0.6931471805599453
      let larger = try e.emit(.binary(.maximum), [a, b], "Max")
      let distance = try e.unary(.neg, try e.unary(.abs, try e.subtract(a, b), "Abs"), "Neg")
      let power = try e.unary(.exp, base == 1 ? distance : try e.multiply(distance, base), "Exp")
      let log = try e.unary(.log, try e.add(power, 1), "Log")
      return try e.add(larger, base == 1 ? log : try e.divide(log, base))
    case "SquaredDifference":
      let difference = try e.subtract(a, b)
      return try e.multiply(difference, difference)
    case "DivideNoNan":
      let isZero = try equals(b, 0)
      let divisor = try e.select(isZero, try e.scalar(1, like: b), b)
      return try e.select(isZero, try e.scalar(0, like: a), try e.divide(a, divisor))
    case "Heaviside":
      let above = try e.cast(try e.emit(.binary(.greater), [a, try e.scalar(0, like: a)], "Greater"), try e.element(a))
      return try e.select(try equals(a, 0), b, above)
    case "Arctan2":
      // The angle of (b, a): that of a/b, half a turn further left of the axis.
      let base = try e.unary(.atan, try e.divide(a, b), "Atan")
      let isLeft = try e.emit(.binary(.less), [b, try e.scalar(0, like: b)], "Less")
      let isBelow = try e.emit(.binary(.less), [a, try e.scalar(0, like: a)], "Less")
      let turn = try e.select(isBelow, try e.scalar(-Double.pi, like: a), try e.scalar(Double.pi, like: a))
      let turned = try e.select(isLeft, try e.add(base, turn), base)
      let isOrigin = try e.emit(.binary(.and), [try equals(a, 0), try equals(b, 0)], "And")
      return try e.select(isOrigin, try e.scalar(0, like: a), turned)
    default: return nil
    }
  }

  static let pairwiseNames: Set<String> = [
    "Add", "Subtract", "Multiply", "TrueDivide", "Divide", "Minimum", "Maximum", "Fmin", "Fmax", "Greater", "GreaterEqual", "Less", "LessEqual", "Equal",
    "NotEqual", "Power", "LogicalAnd", "LogicalOr", "LogicalXor", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "FloorDivide", "Mod", "Fmod", "Hypot",
    "Logaddexp", "Logaddexp2", "DivideNoNan", "Heaviside", "Arctan2", "SquaredDifference",
  ]
}
